//! What the access log says about exchanges and tunnels.

use limpet_testkit::limpet::Launch;
use limpet_testkit::misbehave::{Conduct, Endpoint, Event};
use limpet_testkit::peers;
use limpet_testkit::raw::RawClient;
use serde_json::Value;

#[test]
fn every_exchange_and_tunnel_has_a_line_without_secrets() {
    let servers = peers::node_servers(&["a"], &peers::QUICK_HEARTBEATS).expect("it starts");
    let limpet = Launch::proxy(env!("CARGO_BIN_EXE_limpet"), peers::addresses(&servers))
        .arg("--access-log")
        .arg("json")
        .start()
        .expect("the balancer starts");
    let client = peers::node_client(&limpet.url(), &["--count", "1", "--heartbeats", "1"]).expect("the client starts");
    client.verdict().expect("a verdict").assert_good();
    let line = |what: &str, wanted: &dyn Fn(&Value) -> bool| {
        let pick = |line: &str| serde_json::from_str::<Value>(line).ok().filter(|value| wanted(value));
        limpet.process.wait_for(what, pick).expect("the line comes")
    };
    let handshake = line("the handshake", &|line| line["event"] == "exchange" && line["affinity"] == "none");
    assert_eq!((&handshake["status"], &handshake["upstream"]), (&200.into(), &"default".into()));
    assert_eq!(handshake["endpoint"], servers[0].address.to_string());
    let upgrade = line("the upgrade", &|line| line["status"] == 101);
    assert_eq!(upgrade["affinity"], "tag");
    let target = upgrade["target"].as_str().expect("a target");
    let sid = target.split("sid=").nth(1).expect("a sid").split('&').next().expect("its value");
    assert!(sid.ends_with('…') && sid.chars().count() == 7, "a whole sid would be a key to the session: {target}");
    let tunnel = line("the tunnel", &|line| line["event"] == "tunnel");
    assert!(tunnel["received_messages"].as_u64() > Some(1) && tunnel["sent_messages"].as_u64() > Some(1), "{tunnel}");
    assert_eq!(tunnel["reason"], "client_closed");
}

#[test]
fn a_body_counts_also_when_it_comes_behind_its_head() {
    let endpoint = Endpoint::start(Conduct::Answers("hello")).expect("a port");
    let launch = Launch::proxy(env!("CARGO_BIN_EXE_limpet"), [endpoint.address()]).arg("--no-probe");
    let limpet = launch.arg("--access-log").arg("json").start().expect("the balancer starts");
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    client.send(b"POST /late HTTP/1.1\r\nHost: h\r\nContent-Length: 100010\r\n\r\n0123456789").expect("sent");
    endpoint.wait_for("a connection", |event| matches!(event, Event::Connected(_)).then_some(()));
    client.send(&[b'x'; 100_000]).expect("sent");
    assert_eq!(client.response().expect("an answer").status, 200);
    let pick = |line: &str| serde_json::from_str::<Value>(line).ok().filter(|value| value["target"] == "/late");
    let line = limpet.process.wait_for("the line", pick).expect("the line comes");
    assert_eq!(line["received_bytes"], 100_010, "{line}");
}
