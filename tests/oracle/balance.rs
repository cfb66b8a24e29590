//! The turns that the originals take without any affinity: equal and weighted, while endpoints go down and up.

use limpet_testkit::oracle::{Comparison, Habits, Looks, Recorders, Script};

use crate::program::{Program, turn};
use crate::{With, assert_all_equal, seed};

/// An algorithm of HAProxy, the weights of its three servers, and the same in Limpet's words.
const ALGORITHMS: [(&str, [u32; 3], &str); 4] = [
    ("roundrobin", [1, 1, 1], "round_robin"),
    ("leastconn", [1, 1, 1], "least_conn"),
    ("leastconn", [3, 2, 1], "least_conn"),
    ("first", [1, 1, 1], "first"),
];

fn haproxy(algorithm: &'static str, weights: [u32; 3], restated: &str, with: With) -> Comparison {
    let recorders = Recorders::start(&["a", "b", "c"]).unwrap();
    let mut servers = String::new();
    let mut endpoints = String::new();
    for (recorder, weight) in recorders.all().iter().zip(weights) {
        let (name, address) = (recorder.name(), recorder.address);
        servers.push_str(&format!(
            "    server {name} {address} check inter 400ms fastinter 50ms downinter 50ms weight {weight}\n"
        ));
        endpoints.push_str(&format!("    {{ address = \"{address}\", weight = {weight} }},\n"));
    }
    let original = format!(
        "global\n    nbthread 1\ndefaults\n    mode http\n    timeout connect 5s\n    timeout client 1m\n    \
         timeout server 1m\nlisten web\n    bind {{listen}}\n    balance {algorithm}\n{servers}"
    );
    let limpet = format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\n[[route]]\nupstream = \"app\"\n[upstream.app]\n\
         balance = \"{restated}\"\naffinity = []\nforwarded = []\nprobe = {{ interval = \"50ms\" }}\n\
         endpoints = [\n{endpoints}]\n"
    );
    let start = || Program::original("haproxy.cfg", &original);
    let programs = [start(), if with == With::Itself { start() } else { Program::limpet(&limpet) }];
    let named = programs.each_ref().map(|program| (program.name(), program.address()));
    let mut comparison = Comparison::new(algorithm, seed(), None, Looks::ALL, named).with_knocks();
    let mut script = Script::new(Habits { upgrades: 20, ..Habits::default() }, seed());
    comparison.run(script.steps(100)).unwrap();
    for (down, next) in [("b", "c"), ("a", "b"), ("c", "a")] {
        let servers = [down, next].map(|name| (recorders.named(name), format!("web/{name}")));
        let [one, other] = servers.each_ref().map(|(recorder, server)| (*recorder, server.as_str()));
        turn(&programs, false, &[one]);
        comparison.run(script.steps(31)).unwrap();
        turn(&programs, false, &[other]);
        comparison.run(script.steps(5)).unwrap();
        if algorithm == "roundrobin" {
            // Where one that comes up takes its place in HAProxy's turns is its own.
            break;
        }
        turn(&programs, true, &[one]);
        comparison.run(script.steps(32)).unwrap();
        turn(&programs, true, &[other]);
        comparison.run(script.steps(32)).unwrap();
    }
    comparison
}

#[test]
fn turns_as_haproxy() {
    let compare = |(algorithm, weights, restated)| haproxy(algorithm, weights, restated, With::Limpet);
    assert_all_equal(136, &ALGORITHMS, compare);
}

#[test]
fn haproxy_takes_turns_as_itself() {
    let compare = |(algorithm, weights, restated)| haproxy(algorithm, weights, restated, With::Itself);
    assert_all_equal(136, &ALGORITHMS, compare);
}
