//! A replica dies by SIGKILL: its sessions are told so at once and come back elsewhere, the others notice nothing. When
//! it is started again it takes part again.

use limpet_testkit::limpet::Launch;
use limpet_testkit::peers;

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

fn survivors(version: &str, transports: &str) {
    let mut servers =
        peers::node_servers(&["a", "b", "c"], &peers::QUICK_HEARTBEATS_OF_BOTH_VERSIONS).expect("the replicas start");
    let limpet = Launch::proxy(BINARY, peers::addresses(&servers)).start().expect("the balancer starts");
    let arguments = ["--survive", "--hold", "--count", "12", "--eio", version, "--transports", transports];
    let mut client = peers::node_client(&limpet.url(), &arguments).expect("the client starts");
    client.connected().expect("all sessions connect");
    let cut = servers[0].sessions().expect("it answers");
    assert!(cut > 0, "the replica that dies has sessions");
    servers[0].process.kill().expect("it dies");
    client.finish().expect("the client still runs");

    let verdict = client.verdict().expect("a verdict");
    verdict.assert_good();
    assert_eq!(verdict.number("disconnects"), cut, "only the sessions of the dead replica were cut: {verdict:?}");
    assert_eq!(verdict.number("nodes/b") + verdict.number("nodes/c"), 12, "all sessions live: {verdict:?}");
}

#[test]
fn polling_sessions_come_back() {
    survivors("4", "polling");
}

#[test]
fn upgraded_sessions_come_back() {
    survivors("4", "polling,websocket");
}

#[test]
fn polling_sessions_of_version_3_come_back() {
    survivors("3", "polling");
}

#[test]
fn a_replica_that_is_started_again_takes_part_again() {
    let mut servers =
        peers::node_servers(&["a", "b"], &peers::QUICK_HEARTBEATS_OF_BOTH_VERSIONS).expect("the replicas start");
    let limpet = Launch::proxy(BINARY, peers::addresses(&servers)).start().expect("the balancer starts");
    let port = servers[0].address.port().to_string();
    let seen = limpet.process.line_count();
    servers[0].process.kill().expect("it dies");
    let says = |what: &'static str| move |line: &str| line.contains(what).then_some(());
    limpet.process.wait_for_after(seen, "that it is down", says("endpoint down")).expect("probes notice");
    let again = peers::node_server("again", &["--port", &port]).expect("it starts on its port");
    limpet.process.wait_for_after(seen, "that it is up", says("endpoint up")).expect("probes notice");
    let client = peers::node_client(&limpet.url(), &["--count", "6", "--heartbeats", "0"]).expect("the client starts");
    let verdict = client.verdict().expect("a verdict");
    verdict.assert_good();
    assert_eq!((verdict.number("nodes/again"), verdict.number("nodes/b")), (3, 3), "{verdict:?}");
    drop(again);
}
