//! Unmodified Socket.IO clients of version 4 against three Node replicas behind the balancer.
//!
//! The clients share keep-alive connections between sessions, carry no cookie and count every refusal.

use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::peers::{self, Server};

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

fn three_replicas() -> (Vec<Server>, Limpet) {
    let servers = peers::node_servers(&["a", "b", "c"], &peers::QUICK_HEARTBEATS).expect("the replicas start");
    let limpet = Launch::proxy(BINARY, peers::addresses(&servers)).start().expect("the balancer starts");
    (servers, limpet)
}

fn exchange(transports: &str) {
    let (_servers, limpet) = three_replicas();
    let client = peers::node_client(&limpet.url(), &["--count", "12", "--transports", transports]).expect("it starts");
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

/// The claim of the project: many sessions over several heartbeats, no 400, nothing lost, nothing out of order,
/// although one connection carries requests of many sessions.
#[test]
fn two_hundred_sessions_over_several_heartbeats_lose_nothing() {
    let (_servers, limpet) = three_replicas();
    let start = |transports| {
        let arguments = ["--count", "100", "--every", "500", "--heartbeats", "5", "--transports", transports];
        peers::node_client(&limpet.url(), &arguments).expect("the client starts")
    };
    let (polling, upgraded) = (start("polling"), start("polling,websocket"));
    let (polling, upgraded) = (polling.verdict().expect("a verdict"), upgraded.verdict().expect("a verdict"));
    polling.assert_good();
    upgraded.assert_good();
    assert_eq!((polling.number("transports/polling"), upgraded.number("transports/websocket")), (100, 100));
    assert!(polling.number("shared_connections") > 50, "connections carry several sessions: {polling:?}");
    assert!(polling.number("received") >= 500 && polling.number("sent") >= 500, "messages flow: {polling:?}");
}

/// `least_conn` counts sessions: one after the other, they come to the replicas in equal numbers.
fn spread(transports: &str) {
    let (servers, limpet) = three_replicas();
    let arguments = ["--count", "11", "--sequential", "--hold", "--heartbeats", "0", "--transports", transports];
    let mut client = peers::node_client(&limpet.url(), &arguments).expect("the client starts");
    client.connected().expect("all sessions connect");
    let mut sessions: Vec<_> = servers.iter().map(|server| server.sessions().expect("it answers")).collect();
    sessions.sort_unstable();
    assert_eq!(sessions, [3, 4, 4]);
    client.finish().expect("the client still runs");
    client.verdict().expect("a verdict").assert_good();
}

#[test]
fn least_connections_spreads_polling_sessions_evenly() {
    spread("polling");
}

#[test]
fn least_connections_spreads_upgraded_sessions_evenly() {
    spread("polling,websocket");
}

#[test]
fn least_connections_spreads_websocket_sessions_evenly() {
    spread("websocket");
}
