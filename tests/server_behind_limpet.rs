//! Unmodified clients of our server, three nodes of it joined by the local bus, behind the balancer.

use limpet_testkit::conformance::{Maker, Subject, features_suite, judge, python_features_suite};
use limpet_testkit::limpet::{Launch, Limpet};

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

fn behind_limpet(maker: Maker, options: &[&str]) -> (Subject, Limpet) {
    let subject = Subject::features(maker, &[&["--nodes", "3"], options].concat()).expect("the nodes start");
    let limpet = Launch::proxy(BINARY, subject.addresses.iter().copied()).start().expect("the balancer starts");
    (subject, limpet)
}

fn client(maker: Maker, version: &str, transports: &str) {
    let (_subject, limpet) = behind_limpet(maker, if version == "2" { &["--eio3"] } else { &[] });
    let arguments = ["--nodes", "3", "--client", version, "--transports", transports];
    judge(features_suite(&limpet.url(), &arguments));
}

#[test]
fn client_4_by_polling() {
    client(Maker::Limpet, "4", "polling");
}

#[test]
fn client_4_by_upgrade() {
    client(Maker::Limpet, "4", "polling,websocket");
}

#[test]
fn client_4_by_websocket() {
    client(Maker::Limpet, "4", "websocket");
}

#[test]
fn client_2_by_polling() {
    client(Maker::Limpet, "2", "polling");
}

#[test]
fn client_2_by_upgrade() {
    client(Maker::Limpet, "2", "polling,websocket");
}

#[test]
fn client_2_by_websocket() {
    client(Maker::Limpet, "2", "websocket");
}

#[test]
fn python_by_every_transport() {
    let (_subject, limpet) = behind_limpet(Maker::Limpet, &[]);
    for transports in ["polling", "polling,websocket", "websocket"] {
        judge(python_features_suite(&limpet.url(), &["--nodes", "3", "--transports", transports]));
    }
}

#[test]
fn msgpack() {
    let (_subject, limpet) = behind_limpet(Maker::Limpet, &["--parser", "msgpack"]);
    judge(features_suite(&limpet.url(), &["--nodes", "3", "--parser", "msgpack"]));
}

/// The proof of the suite: the same with three nodes of Node's server.
#[test]
fn the_suite_holds_for_node() {
    client(Maker::Node, "4", "polling,websocket");
}
