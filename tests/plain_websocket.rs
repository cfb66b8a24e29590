//! WebSocket services without Socket.IO: large and fragmented messages, pings, compression, close codes, broken ends.

use limpet_testkit::limpet::Launch;
use limpet_testkit::peers;

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

fn exchange(arguments: &[&str]) {
    let start = |name| peers::ws_server(name, &[]).expect("the replica starts");
    let servers = ["a", "b", "c"].map(start);
    let limpet = Launch::proxy(BINARY, peers::addresses(&servers)).start().expect("the balancer starts");
    let client = peers::ws_client(&limpet.ws_url(), arguments).expect("the client starts");
    let verdict = client.verdict().expect("a verdict");
    verdict.assert_good();
    assert_eq!(verdict.nodes().len(), 3, "every replica has connections: {verdict:?}");
}

#[test]
fn messages_and_closes_pass_unchanged() {
    exchange(&["--count", "12"]);
}

#[test]
fn negotiated_compression_passes_unchanged() {
    exchange(&["--count", "6", "--deflate"]);
}

#[test]
fn a_message_of_sixteen_megabytes_passes() {
    exchange(&["--count", "3", "--messages", "3", "--large", "16777216"]);
}
