//! Unmodified clients of version 2 (Engine.IO protocol 3): their sid is their public id, so it is learned, not tagged.

use limpet_testkit::limpet::Launch;
use limpet_testkit::peers;

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

fn exchange(transports: &str) {
    let servers =
        peers::node_servers(&["a", "b", "c"], &peers::QUICK_HEARTBEATS_OF_BOTH_VERSIONS).expect("the replicas start");
    let limpet = Launch::proxy(BINARY, peers::addresses(&servers)).start().expect("the balancer starts");
    let arguments = ["--eio", "3", "--count", "12", "--transports", transports];
    let client = peers::node_client(&limpet.url(), &arguments).expect("the client starts");
    let verdict = client.verdict().expect("a verdict");
    verdict.assert_good();
    assert_eq!(verdict.nodes().len(), 3, "every replica has sessions: {verdict:?}");
}

#[test]
fn polling_only() {
    exchange("polling");
}

#[test]
fn polling_then_upgrade() {
    exchange("polling,websocket");
}

#[test]
fn websocket_only() {
    exchange("websocket");
}

/// Both versions at once, through the same balancer and to the same replicas.
#[test]
fn both_versions_side_by_side() {
    let servers =
        peers::node_servers(&["a", "b"], &peers::QUICK_HEARTBEATS_OF_BOTH_VERSIONS).expect("the replicas start");
    let limpet = Launch::proxy(BINARY, peers::addresses(&servers)).start().expect("the balancer starts");
    let start = |version| peers::node_client(&limpet.url(), &["--count", "10", "--eio", version]).expect("it starts");
    let (old, new) = (start("3"), start("4"));
    old.verdict().expect("a verdict").assert_good();
    new.verdict().expect("a verdict").assert_good();
}
