//! WebSocket services without Socket.IO: large and fragmented messages, pings, compression, close codes, broken ends.

use std::collections::HashSet;

use limpet_testkit::limpet::Launch;
use limpet_testkit::peers;
use limpet_testkit::raw::RawClient;
use limpet_testkit::scripted::Scripted;

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

/// The bytes of a request for the WebSocket protocol.
fn upgrade(target: &str) -> Vec<u8> {
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
    format!("GET {target} HTTP/1.1\r\nHost: limpet.test\r\n{upgrade}\r\n{key}\r\n\r\n").into_bytes()
}

#[test]
fn connections_go_on_after_an_upgrade_that_was_refused() {
    let endpoint = Scripted::start().expect("a port");
    endpoint.answer_status("/refused", "400 Bad Request", "not here");
    endpoint.answer_status("/poll", "200 OK", "polled");
    let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    endpoint.answer("/tunnel", [head.as_bytes(), b"\x81\x02hi"].concat());
    let launch = Launch::proxy(BINARY, [endpoint.address()]).arg("--no-probe").arg("--workers").arg("1");
    let limpet = launch.start().expect("it starts");
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    for _ in 0..2 {
        client.send(&upgrade("/refused")).expect("it takes");
        let refused = client.response().expect("an answer");
        assert_eq!((refused.status, refused.text().as_str()), (400, "not here"));
        assert_eq!(client.get("/poll").expect("an answer").text(), "polled");
    }
    let connections: HashSet<usize> = endpoint.asked("/").into_iter().map(|asked| asked.connection).collect();
    assert_eq!(connections.len(), 1, "the endpoint's connection is kept too");
    client.send(&upgrade("/tunnel")).expect("it takes");
    assert_eq!(client.response().expect("an answer").status, 101);
    assert_eq!(client.read_exact(4).expect("a message"), b"\x81\x02hi");
}
