//! Nodes die, Redis restarts, connections are cut: every client has every message once and in order, and has recovered.
//!
//! Short forms; `cargo xtask chaos` runs the long ones, and the same against Node's own server.

use std::env;
use std::time::Duration;

use limpet_testkit::chaos::{Ordeal, Report, Settings, run};
use limpet_testkit::conformance::Maker;

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

fn short(ordeal: Ordeal) -> Settings {
    Settings {
        maker: Maker::Limpet,
        ordeal,
        nodes: 4,
        clients: 100,
        rooms: 10,
        rate: 50,
        duration: Duration::from_secs(10),
        pause: (Duration::from_millis(500), Duration::from_millis(2000)),
        restarts_redis: true,
        patience: Duration::from_secs(30),
        seed: 1,
    }
}

fn report(settings: &Settings) -> Report {
    let report = run(BINARY, settings).expect("everything starts, and there is a verdict");
    println!("{}\n{}", report.story.join("\n"), report.summary());
    report
}

#[test]
fn no_client_notices_that_nodes_die() {
    report(&short(Ordeal::Kill)).verdict.assert_good();
}

#[test]
fn no_client_notices_a_rolling_restart() {
    report(&Settings { clients: 60, ..short(Ordeal::Roll) }).verdict.assert_good();
}

/// Reset, closed, swallowed, and closed towards the client alone, so that it comes back before its node has noticed.
#[test]
fn no_client_notices_that_all_are_cut() {
    let pause = (Duration::from_millis(1000), Duration::from_millis(1500));
    let settings = Settings { clients: 60, pause, restarts_redis: false, ..short(Ordeal::CutAll) };
    let report = report(&settings);
    report.verdict.assert_good();
    assert!(report.verdict.number("reconnects") >= 120, "{:?}", report.verdict);
}

/// The proof of the script: what Node's server loses when one of two nodes dies is seen, and nothing else is.
#[test]
fn the_script_sees_what_is_lost() {
    let once = Duration::from_millis(500);
    let (nodes, clients, rooms) = (2, 40, 5);
    let settings = Settings {
        maker: Maker::Node,
        nodes,
        clients,
        rooms,
        duration: once,
        pause: (once, once),
        restarts_redis: false,
        patience: Duration::from_secs(4),
        ..short(Ordeal::Kill)
    };
    let report = report(&settings);
    assert_eq!(report.blows, 1);
    assert!(report.verdict.number("notRecovered") > 0, "{:?}", report.verdict);
    assert!(report.verdict.number("lost") > 0, "{:?}", report.verdict);
    for count in ["repeated", "disordered", "foreign", "absent", "dismissed"] {
        assert_eq!(report.verdict.number(count), 0, "{count}: {:?}", report.verdict);
    }
}

/// The long forms. `LIMPET_CHAOS` has words like `node`, `seconds=60`, `clients=500`, `rooms=50`, `rate=100`, `seed=1`, `run=kill,roll`.
#[test]
#[ignore = "long: `cargo xtask chaos` runs it"]
fn long_forms() {
    let words = env::var("LIMPET_CHAOS").unwrap_or_default();
    let value = |name: &str| words.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let number = |name: &str, usual: u64| value(name).map_or(usual, |text| text.parse().expect(name));
    let wanted = |ordeal: &Ordeal| value("run").is_none_or(|run| run.split(',').any(|word| word == ordeal.word()));
    let is_node = words.split(' ').any(|word| word == "node");
    let mut bad = Vec::new();
    println!("\n{}", Report::HEAD);
    for ordeal in Ordeal::ALL.into_iter().filter(wanted) {
        let settings = Settings {
            maker: if is_node { Maker::Node } else { Maker::Limpet },
            clients: number("clients", 500) as usize,
            rooms: number("rooms", 50) as usize,
            rate: number("rate", 100) as usize,
            seed: number("seed", 1),
            duration: Duration::from_secs(number("seconds", 60)),
            pause: (Duration::from_millis(500), Duration::from_millis(4000)),
            ..short(ordeal)
        };
        let report = run(BINARY, &settings).expect("everything starts, and there is a verdict");
        println!("{}", report.row(&settings));
        if !report.verdict.is_good() {
            eprintln!("{}\n{:#}", report.story.join("\n"), report.verdict.json());
            bad.push(ordeal.word());
        }
    }
    assert!(is_node || bad.is_empty(), "bad: {bad:?}");
}
