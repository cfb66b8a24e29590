//! HAProxy and Apache in front of the balancer and behind it, as people have them when they add it. (nginx: `nginx.rs`.)

use std::net::SocketAddr;

use limpet_testkit::apache::Apache;
use limpet_testkit::haproxy::Haproxy;
use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::peers::{self, Server};

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");
const TRANSPORTS: [&str; 3] = ["polling", "polling,websocket", "websocket"];

fn replicas() -> Vec<Server> {
    peers::node_servers(&["a", "b", "c"], &peers::QUICK_HEARTBEATS).unwrap()
}

fn limpet(endpoints: impl IntoIterator<Item = SocketAddr>) -> Limpet {
    Launch::proxy(BINARY, endpoints).start().unwrap()
}

fn exchange(address: SocketAddr) {
    let url = format!("http://{address}");
    let start = |transports| peers::node_client(&url, &["--count", "6", "--transports", transports]).unwrap();
    for client in TRANSPORTS.map(start) {
        let verdict = client.verdict().unwrap();
        verdict.assert_good();
        assert_eq!(verdict.nodes().len(), 3, "every replica has sessions: {verdict:?}");
    }
}

fn haproxy(next: SocketAddr) -> Haproxy {
    let text = format!(
        "defaults\n    mode http\n    timeout connect 5s\n    timeout client 1m\n    timeout server 1m\n    timeout tunnel 1h\n\
         listen web\n    bind {{listen}}\n    option forwardfor\n    server next {next}\n"
    );
    Haproxy::start(&text).unwrap()
}

fn apache(next: SocketAddr) -> Apache {
    let text = format!(
        "RewriteEngine On\nRewriteCond %{{HTTP:Upgrade}} =websocket [NC]\nRewriteRule /(.*) ws://{next}/$1 [P,L]\n\
         ProxyPass / http://{next}/\nProxyTimeout 60\n"
    );
    Apache::start(&text).unwrap()
}

#[test]
fn haproxy_in_front_of_limpet() {
    let replicas = replicas();
    let limpet = limpet(peers::addresses(&replicas));
    let front = haproxy(limpet.address);
    exchange(front.address);
}

#[test]
fn limpet_in_front_of_haproxy() {
    let replicas = replicas();
    let behind: Vec<_> = replicas.iter().map(|replica| haproxy(replica.address)).collect();
    exchange(limpet(behind.iter().map(|proxy| proxy.address)).address);
}

#[test]
fn apache_in_front_of_limpet() {
    let replicas = replicas();
    let limpet = limpet(peers::addresses(&replicas));
    let front = apache(limpet.address);
    exchange(front.address);
}

#[test]
fn limpet_in_front_of_apache() {
    let replicas = replicas();
    let behind: Vec<_> = replicas.iter().map(|replica| apache(replica.address)).collect();
    exchange(limpet(behind.iter().map(|proxy| proxy.address)).address);
}
