//! Chromium with all cookies blocked, on a page of another origin: affinity must not need a cookie.

use limpet_testkit::limpet::Launch;
use limpet_testkit::peers;

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

fn page_of_another_origin(transports: &str) {
    let servers = peers::node_servers(&["a", "b", "c"], &["--cors", "*"]).expect("the replicas start");
    let limpet = Launch::proxy(BINARY, peers::addresses(&servers)).start().expect("the balancer starts");
    let arguments = ["--count", "3", "--transports", transports];
    let verdict = peers::browser(&limpet.url(), &arguments).expect("Chromium starts").verdict().expect("a verdict");
    verdict.assert_good();
    assert_eq!(verdict.nodes().len(), 3, "every replica has sessions: {verdict:?}");
}

#[test]
fn polling() {
    page_of_another_origin("polling");
}

#[test]
fn websocket() {
    page_of_another_origin("websocket");
}

#[test]
fn polling_then_upgrade() {
    page_of_another_origin("polling,websocket");
}
