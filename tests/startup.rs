//! What the balancer says when it starts, and when it cannot do what was asked.

use std::net::TcpListener;
use std::process::Command;

use limpet_testkit::limpet::Launch;
use limpet_testkit::misbehave::{Conduct, Endpoint, RefusesConnections};
use limpet_testkit::raw::RawClient;

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

#[test]
fn the_lines_name_listener_endpoints_affinity_and_key() {
    let (up, down) =
        (Endpoint::start(Conduct::Answers("hello")).expect("a port"), RefusesConnections::start().expect("a port"));
    let limpet = Launch::proxy(BINARY, [up.address(), down.address()]).start().expect("it starts");
    let output = limpet.process.output();
    let has = |parts: &[&str]| output.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(has(&["listener ", &limpet.url()]), "{output}");
    assert!(has(&["upstream ", "2 endpoints", "balance least_conn", "affinity sid"]), "{output}");
    assert!(has(&["endpoint ", &up.address().to_string(), " up"]), "{output}");
    assert!(has(&["endpoint ", &down.address().to_string(), " down"]), "{output}");
    assert!(has(&["key ", limpet.state_directory().to_str().expect("a path")]), "{output}");
}

#[test]
fn a_port_in_use_is_said_and_is_an_exit_code() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let state = tempfile::tempdir().expect("a folder");
    let output = Command::new(BINARY)
        .args(["proxy", &address, "127.0.0.1:9", "--state-directory"])
        .arg(state.path())
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("cannot listen on {address}")) && text.contains("choose another port"), "{text}");
}

#[test]
fn a_name_that_does_not_resolve_is_said_and_tried_again() {
    let configuration =
        "[listener.web]\nbind = \"127.0.0.1:0\"\n[upstream.app]\nendpoints = [\"no-such-name.invalid:3000\"]\n";
    let limpet = Launch::run(BINARY, configuration).start().expect("it starts all the same");
    assert!(limpet.process.output().contains("no-such-name.invalid:3000 does not resolve"));
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    let response = client.get("/").expect("an answer");
    assert_eq!((response.status, response.text().as_str()), (503, "no endpoint is available\n"));
}

#[test]
fn no_endpoint_up_is_an_alarm() {
    let down = RefusesConnections::start().expect("a port");
    let limpet = Launch::proxy(BINARY, [down.address()]).start().expect("it starts");
    let says = |line: &str| line.contains("every endpoint is down").then_some(());
    limpet.process.wait_for("the alarm", says).expect("it says so");
}
