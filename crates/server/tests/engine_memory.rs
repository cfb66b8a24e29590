//! What an idle session costs, printed: `cargo test --release -p limpet-server --test engine_memory -- --ignored
//! --nocapture`. The server is the whole program, so the clients are in a process of their own.

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use support::{Server, sid_of, slow, text};

const SESSIONS: usize = 5000;
const CLIENTS: &str = "LIMPET_MEMORY_TEST_CLIENTS_OF";

/// Bytes of this process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// The process of the clients: opens the sessions, says so, and stays until its input ends.
fn be_the_clients(address: &str) {
    let address = address.parse().unwrap();
    let mut sockets = Vec::new();
    for n in 0..SESSIONS {
        let target = "/engine.io/?EIO=4&transport=websocket";
        let mut socket = limpet_testkit::raw::websocket::RawWebSocket::connect(address, target).unwrap().unwrap();
        let open = text(&mut socket);
        assert_eq!(sid_of(&open).len(), 20, "{n}");
        sockets.push(socket);
    }
    println!("\nopened");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
#[ignore = "a measurement"]
fn idle_websocket_sessions() {
    if let Ok(address) = std::env::var(CLIENTS) {
        return be_the_clients(&address);
    }
    let server = Server::start(slow());
    // What is made once is not a session's.
    text(&mut server.websocket("EIO=4&transport=websocket"));
    let before = resident();
    let mut clients = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--nocapture", "idle_websocket_sessions"])
        .env(CLIENTS, server.address.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(clients.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "opened"));
    server.seen.handshakes.lock().unwrap().shrink_to_fit();
    let after = resident();
    println!("{} bytes for each of {SESSIONS} idle sessions", (after - before) / SESSIONS);
    drop(clients.stdin.take());
    clients.wait().unwrap();
}
