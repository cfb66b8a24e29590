//! python-socketio as client and as server: another implementation, another HTTP stack, other error bodies.

use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::peers::{self, Server, Verdict};

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");
const TRANSPORTS: [&str; 3] = ["polling", "polling,websocket", "websocket"];

fn python_replicas() -> (Vec<Server>, Limpet) {
    let start = |name| peers::python_server(name, &peers::QUICK_HEARTBEATS).expect("the replica starts");
    behind_limpet(["a", "b", "c"].map(start).into())
}

fn behind_limpet(servers: Vec<Server>) -> (Vec<Server>, Limpet) {
    let limpet = Launch::proxy(BINARY, peers::addresses(&servers)).start().expect("the balancer starts");
    (servers, limpet)
}

fn assert_good(verdict: &Verdict) {
    verdict.assert_good();
    assert_eq!(verdict.nodes().len(), 3, "every replica has sessions: {verdict:?}");
}

#[test]
fn python_clients_of_node_servers() {
    let servers = peers::node_servers(&["a", "b", "c"], &peers::QUICK_HEARTBEATS).expect("the replicas start");
    let (_servers, limpet) = behind_limpet(servers);
    for transports in TRANSPORTS {
        let arguments = ["--count", "9", "--transports", transports];
        let client = peers::python_client(&limpet.url(), &arguments).expect("the client starts");
        assert_good(&client.verdict().expect("a verdict"));
    }
}

#[test]
fn node_clients_of_python_servers() {
    let (_servers, limpet) = python_replicas();
    for transports in TRANSPORTS {
        let arguments = ["--count", "9", "--transports", transports];
        let client = peers::node_client(&limpet.url(), &arguments).expect("the client starts");
        assert_good(&client.verdict().expect("a verdict"));
    }
}

#[test]
fn python_clients_of_python_servers() {
    let (_servers, limpet) = python_replicas();
    for transports in TRANSPORTS {
        let arguments = ["--count", "9", "--transports", transports];
        let client = peers::python_client(&limpet.url(), &arguments).expect("the client starts");
        assert_good(&client.verdict().expect("a verdict"));
    }
}
