//! Two balancers with one key: a client may reach either with any request, and one may be restarted in between.
//!
//! The client sends each request to one of the two at random, as behind a TCP balancer or DNS round robin.
//! Before a restart the client turns away from the balancer and waits for its open requests; what is tested is
//! that the successor knows the sessions without having seen them, not how a balancer treats open polls at its end.

use limpet_testkit::limpet::{KeyFile, Launch};
use limpet_testkit::peers;

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

fn alternating(version: &str, transports: &str, restart: bool) {
    let servers =
        peers::node_servers(&["a", "b", "c"], &peers::QUICK_HEARTBEATS_OF_BOTH_VERSIONS).expect("the replicas start");
    let key = KeyFile::create().expect("a key file");
    let launch = Launch::proxy(BINARY, peers::addresses(&servers)).key(&key);
    let (first, second) = (launch.start().expect("it starts"), launch.start().expect("it starts"));

    let targets = peers::ports(&[first.address, second.address]);
    let arguments = ["--hold", "--count", "12", "--eio", version, "--transports", transports, "--targets", &targets];
    let mut client = peers::node_client(&first.url(), &arguments).expect("the client starts");
    client.connected().expect("all sessions connect");

    let mut successor = None;
    if restart {
        client.retarget(&[first.address]).expect("the client turns to the first");
        second.stop().expect("the second balancer ends");
        let started = launch.start().expect("it starts again");
        client.retarget(&[first.address, started.address]).expect("the client turns to both");
        successor = Some(started);
    }
    client.finish().expect("the client still runs");
    let verdict = client.verdict().expect("a verdict");
    verdict.assert_good();
    assert_eq!(verdict.nodes().len(), 3, "every replica has sessions: {verdict:?}");
    drop(successor);
}

#[test]
fn polling_of_version_4_with_a_restart() {
    alternating("4", "polling", true);
}

#[test]
fn polling_of_version_3_with_a_restart() {
    alternating("3", "polling", true);
}

#[test]
fn upgrades_of_version_4() {
    alternating("4", "polling,websocket", false);
}

#[test]
fn upgrades_of_version_3() {
    alternating("3", "polling,websocket", false);
}
