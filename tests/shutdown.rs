//! What SIGTERM does: no new connections, requests in progress end, tunnels are told, and all by a deadline.

use std::net::TcpStream;
use std::time::Instant;

use limpet_testkit::limpet::Launch;
use limpet_testkit::misbehave::{Conduct, Endpoint};
use limpet_testkit::peers;
use limpet_testkit::process::PATIENCE;
use limpet_testkit::raw::RawClient;
use limpet_testkit::raw::websocket::RawWebSocket;
use rustix::process::Signal;

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

#[test]
fn a_request_in_progress_ends_and_new_connections_are_refused() {
    let slow = Endpoint::start(Conduct::DripsSlowly).expect("a port");
    let mut limpet = Launch::proxy(BINARY, [slow.address()]).arg("--no-probe").start().expect("it starts");
    let mut idle = RawClient::connect(limpet.address).expect("it accepts");
    let mut busy = RawClient::connect(limpet.address).expect("it accepts");
    busy.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").expect("sent");
    slow.wait_for("the request", |event| matches!(event, limpet_testkit::misbehave::Event::Request(_)).then_some(()));
    limpet.process.signal(Signal::TERM).expect("it runs");
    assert_eq!(idle.read_to_end().expect("the end"), b"", "an idle connection ends at once");
    // Each worker closes its own listener; the last one does so in a moment.
    let since = Instant::now();
    while TcpStream::connect(limpet.address).is_ok() {
        assert!(since.elapsed() < PATIENCE, "somebody still listens");
    }
    assert_eq!(busy.response().expect("an answer").body, [b'x'; 20]);
    assert!(limpet.process.wait().expect("it ends").success());
}

#[test]
fn what_has_come_before_the_signal_is_answered() {
    let endpoint = Endpoint::start(Conduct::Answers("hello")).expect("a port");
    let mut limpet = Launch::proxy(BINARY, [endpoint.address()]).arg("--no-probe").start().expect("it starts");
    let mut clients: Vec<RawClient> =
        (0..20).map(|_| RawClient::connect(limpet.address).expect("it accepts")).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").expect("an answer").text(), "hello");
    }
    // While it stands still, requests come on connections that were idle and on those that the kernel holds for it.
    limpet.process.signal(Signal::STOP).expect("it runs");
    clients.extend((0..20).map(|_| RawClient::connect(limpet.address).expect("the kernel accepts")));
    for client in &mut clients {
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").expect("sent");
    }
    limpet.process.signal(Signal::TERM).expect("it runs");
    limpet.process.signal(Signal::CONT).expect("it runs");
    for (n, client) in clients.iter_mut().enumerate() {
        let response = client.response().unwrap_or_else(|error| panic!("client {n}: {error}"));
        assert_eq!(response.text(), "hello");
        assert_eq!(client.read_to_end().expect("the end"), b"", "nothing more is taken");
    }
    assert!(limpet.process.wait().expect("it ends").success());
}

#[test]
fn tunnels_are_told_between_two_frames() {
    let server = peers::ws_server("echo", &[]).expect("the server starts");
    let mut limpet = Launch::proxy(BINARY, [server.address]).start().expect("it starts");
    let mut socket = RawWebSocket::connect(limpet.address, "/").expect("it accepts").expect("an upgrade");
    // The server's name comes first, and would otherwise race with the goodbye.
    assert_eq!(socket.frame().expect("a frame").close_code(), None);
    limpet.process.signal(Signal::TERM).expect("it runs");
    assert_eq!(socket.frame().expect("a frame").close_code(), Some(1001));
    assert!(limpet.process.wait().expect("it ends").success());
}

#[test]
fn the_deadline_holds_also_when_an_endpoint_never_answers() {
    let stalled = Endpoint::start(Conduct::AcceptsAndStalls).expect("a port");
    let configuration = format!(
        "shutdown_timeout = \"1s\"\n[listener.web]\nbind = \"127.0.0.1:0\"\n[upstream.app]\nprobe = \"off\"\nendpoints = [\"{}\"]\n",
        stalled.address()
    );
    let mut limpet = Launch::run(BINARY, configuration).start().expect("it starts");
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").expect("sent");
    stalled
        .wait_for("the request", |event| matches!(event, limpet_testkit::misbehave::Event::Request(_)).then_some(()));
    assert!(limpet.process.terminate().expect("it ends").success());
}
