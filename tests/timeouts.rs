//! A timeout that was configured too short for the sessions behind it must not cut them.

use limpet_testkit::limpet::Launch;
use limpet_testkit::peers;

#[test]
fn polls_and_tunnels_outlive_timeouts_below_their_heartbeat() {
    let servers =
        peers::node_servers(&["a"], &["--ping-interval", "3000", "--ping-timeout", "20000"]).expect("it starts");
    let limpet = Launch::proxy(env!("CARGO_BIN_EXE_limpet"), peers::addresses(&servers))
        .arg("--response-timeout")
        .arg("1s")
        .arg("--tunnel-timeout")
        .arg("1s")
        .start()
        .expect("the balancer starts");
    for transports in ["polling", "polling,websocket"] {
        // No messages for much longer than the configured timeouts: only heartbeats.
        let arguments = ["--count", "3", "--every", "60000", "--heartbeats", "2", "--transports", transports];
        let client = peers::node_client(&limpet.url(), &arguments).expect("the client starts");
        client.verdict().expect("a verdict").assert_good();
    }
    let output = limpet.process.output();
    let warnings = output.lines().filter(|line| line.contains("is not above pingInterval + pingTimeout")).count();
    assert_eq!(warnings, 1, "it says so, once:\n{output}");
}
