//! nginx in front of the balancer and behind it, with the snippet that everybody copies.

use limpet_testkit::limpet::Launch;
use limpet_testkit::nginx::Nginx;
use limpet_testkit::peers;

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");
const TRANSPORTS: [&str; 3] = ["polling", "polling,websocket", "websocket"];

fn exchange(url: &str) {
    for transports in TRANSPORTS {
        let client = peers::node_client(url, &["--count", "9", "--transports", transports]).expect("the client starts");
        let verdict = client.verdict().expect("a verdict");
        verdict.assert_good();
        assert_eq!(verdict.nodes().len(), 3, "every replica has sessions: {verdict:?}");
    }
}

#[test]
fn nginx_in_front_of_limpet() {
    let servers = peers::node_servers(&["a", "b", "c"], &peers::QUICK_HEARTBEATS).expect("the replicas start");
    let limpet = Launch::proxy(BINARY, peers::addresses(&servers)).start().expect("the balancer starts");
    let nginx = Nginx::before(limpet.address).expect("nginx starts");
    exchange(&nginx.url());
}

#[test]
fn limpet_in_front_of_nginx() {
    let servers = peers::node_servers(&["a", "b", "c"], &peers::QUICK_HEARTBEATS).expect("the replicas start");
    let start = |server: &peers::Server| Nginx::before(server.address).expect("nginx starts");
    let proxies: Vec<_> = servers.iter().map(start).collect();
    let limpet = Launch::proxy(BINARY, proxies.iter().map(|nginx| nginx.address)).start().expect("it starts");
    exchange(&limpet.url());
}
