//! HAProxy's cookies: inserted by HAProxy with least connections, and prefixed to the application's own.

use limpet_testkit::oracle::{Comparison, Habits, Looks, Recorder, Recorders, Script, texts};

use crate::example::Example;
use crate::program::{Program, turn, wait_until_down};
use crate::{ENOUGH, With, seed};

/// What is compared: neither configuration tells endpoints about the client.
const LOOKS: Looks = Looks::ALL;

/// Probes that are quick enough for a test. `inter` is their timeout too, which a busy machine must not reach.
const QUICK: &str = "timeout connect 5s\n    default-server inter 400ms fastinter 50ms downinter 50ms";

/// One thread, as the one worker beside it.
const ONE_THREAD: &str = "global\n    nbthread 1\n\ndefaults";

fn compare(example: &Example, cookie: &'static str, with: With) -> (Comparison, [Program; 2]) {
    let programs = example.start(with);
    let named = programs.each_ref().map(|program| (program.name(), program.address()));
    (Comparison::new(example.name, seed(), Some(cookie), LOOKS, named), programs)
}

fn prefix(with: With) -> Comparison {
    let recorders = Recorders::start(&["app01", "app02", "app03"]).unwrap();
    let example = Example::read("haproxy-cookie-prefix", "haproxy.cfg")
        .endpoints(&recorders, ":3000")
        .original("*:80", "{listen}")
        .original("timeout connect 5s", QUICK)
        .original("defaults\n", &format!("{ONE_THREAD}\n"))
        .limpet("0.0.0.0:80", "127.0.0.1:0")
        .limpet("interval = \"2s\"", "interval = \"50ms\"");
    let (mut comparison, programs) = compare(&example, "io", with);
    let [app01, app02, app03] = ["app01", "app02", "app03"].map(|name| recorders.named(name));
    let [one, two, three] = [(app01, "nodes/app01"), (app02, "nodes/app02"), (app03, "nodes/app03")];

    let habits = Habits {
        cookie: Some("io"),
        valid: texts(&["app01~sid", "app02~a~b", "app03~", "app03~x.y-z_0", "app02"]),
        invalid: texts(&["", "~", "~sid", "app04~sid", "APP01~sid", "sid", "\"app01~sid\"", "app01|AAAAA~sid"]),
        targets: &["/socket.io/?EIO=4&transport=polling", "/socket.io/", "/", "/chat?room=1"],
        upgrades: 20,
        application_cookies: 40,
        ..Habits::default()
    };
    let only_bound = Habits {
        valid: texts(&["app01~sid", "app02~sid", "app03~sid"]),
        always_bound: true,
        application_cookies: 40,
        ..habits.clone()
    };
    let mut script = Script::new(habits, seed());
    let mut bound = Script::new(only_bound, seed());
    comparison.run(script.steps(350)).unwrap();
    drop(programs);

    // Where HAProxy's turns go on after a change is its own, so every set of endpoints begins with new processes. In the
    // same process the bound requests are compared.
    two.0.down().unwrap();
    let programs = again(&mut comparison, &example, with, &[two]);
    comparison.run(script.steps(250)).unwrap();
    turn(&programs, true, &[two]);
    comparison.run(bound.steps(100)).unwrap();
    drop(programs);

    one.0.down().unwrap();
    three.0.down().unwrap();
    let programs = again(&mut comparison, &example, with, &[one, three]);
    comparison.run(script.steps(150)).unwrap();
    turn(&programs, false, &[two]);
    comparison.run(script.steps(20)).unwrap();
    turn(&programs, true, &[three, two, one]);
    comparison.run(bound.steps(100)).unwrap();
    drop(programs);

    let _programs = again(&mut comparison, &example, with, &[]);
    comparison.run(script.steps(150)).unwrap();
    comparison
}

/// Starts both programs anew and waits until they know which endpoints are down.
fn again(comparison: &mut Comparison, example: &Example, with: With, down: &[(&Recorder, &str)]) -> [Program; 2] {
    let programs = example.start(with);
    comparison.go_on_with(programs.each_ref().map(Program::address));
    wait_until_down(&programs, down);
    programs
}

fn insert(with: With) -> Comparison {
    let recorders = Recorders::start(&["localhost:8200", "localhost:8400", "localhost:8600"]).unwrap();
    let mut example = Example::read("haproxy-cookie-insert", "haproxy.cfg")
        .original("localhost:80\n", "{listen}\n")
        .original("timeout connect 5s", QUICK)
        .original("defaults\n", &format!("{ONE_THREAD}\n"))
        .limpet("127.0.0.1:80\"", "127.0.0.1:0\"")
        .limpet("interval = \"2s\"", "interval = \"50ms\"");
    for recorder in recorders.all() {
        let address = recorder.address.to_string();
        example = example.original(recorder.name(), &address).limpet(recorder.name(), &address);
    }
    let (comparison, programs) = compare(&example, "SERVERID", with);
    // Whose load is least depends on which requests are over.
    let mut comparison = comparison.with_knocks();
    let [one, two, three] = [
        (recorders.named("localhost:8200"), "websockets/ws-server1"),
        (recorders.named("localhost:8400"), "websockets/ws-server2"),
        (recorders.named("localhost:8600"), "websockets/ws-server3"),
    ];

    let crowd = Habits {
        cookie: Some("SERVERID"),
        valid: texts(&["s1", "s2", "s3"]),
        invalid: texts(&["", "s4", "S1", "s1x", "\"s1\"", "s2~s1", "%73%31"]),
        targets: &["/socket.io/?EIO=4&transport=polling", "/socket.iox", "/Socket.IO/", "/", "/chat?room=1"],
        hosts: &["chat.test", "chat.test", "ws.chat.test", "WSS.chat.test", "news.test"],
        upgrades: 20,
        application_cookies: 10,
        ..Habits::default()
    };
    // The default section's servers have no `check`: HAProxy goes on trying one that is down, 3 s for each request.
    let only_checked = Habits { targets: &["/socket.io/?EIO=4&transport=polling", "/socket.io/x"], ..crowd.clone() };
    let mut all = Script::new(crowd, seed());
    let mut checked = Script::new(only_checked, seed());
    comparison.run(all.steps(350)).unwrap();
    turn(&programs, false, &[three]);
    comparison.run(all.steps(200)).unwrap();
    turn(&programs, true, &[three]);
    comparison.run(all.steps(200)).unwrap();
    turn(&programs, false, &[one]);
    comparison.run(checked.steps(150)).unwrap();
    turn(&programs, false, &[two, three]);
    comparison.run(checked.steps(20)).unwrap();
    turn(&programs, true, &[one, two, three]);
    comparison.run(all.steps(200)).unwrap();
    comparison
}

#[test]
fn a_prefixed_cookie_as_haproxy() {
    prefix(With::Limpet).assert_equal(ENOUGH);
}

#[test]
fn an_inserted_cookie_as_haproxy() {
    insert(With::Limpet).assert_equal(ENOUGH);
}

#[test]
fn haproxy_answers_as_itself() {
    prefix(With::Itself).assert_equal(ENOUGH);
    insert(With::Itself).assert_equal(ENOUGH);
}
