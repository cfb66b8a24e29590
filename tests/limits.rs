//! What a listener allows: time for a head and a body, the size of a head, connections in all and per client.

use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::misbehave::{Conduct, Endpoint};
use limpet_testkit::raw::{RawClient, RawError};

fn balancer(endpoint: &Endpoint, listener: &str) -> Limpet {
    let configuration = format!(
        "workers = 1\n[listener.web]\nbind = \"127.0.0.1:0\"\n{listener}\n[upstream.app]\nprobe = \"off\"\nendpoints = [\"{}\"]\n",
        endpoint.address()
    );
    Launch::run(env!("CARGO_BIN_EXE_limpet"), configuration).start().expect("it starts")
}

fn endpoint() -> Endpoint {
    Endpoint::start(Conduct::Answers("hello")).expect("a port")
}

#[test]
fn a_slow_head_is_a_408() {
    let endpoint = endpoint();
    let limpet = balancer(&endpoint, "head_timeout = \"1s\"");
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    client.send(b"GET / HTTP/1.1\r\nHost: h\r\n").expect("sent");
    assert_eq!(client.response().expect("an answer").status, 408);
    assert_eq!(client.read_to_end().expect("the end"), b"");
    assert!(endpoint.requests().is_empty());
}

#[test]
fn a_silent_body_is_a_408() {
    let endpoint = Endpoint::start(Conduct::AcceptsAndStalls).expect("a port");
    let limpet = balancer(&endpoint, "body_timeout = \"1s\"");
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf").expect("sent");
    assert_eq!(client.response().expect("an answer").status, 408);
}

#[test]
fn a_silent_connection_ends_without_a_word() {
    let endpoint = endpoint();
    let limpet = balancer(&endpoint, "idle_timeout = \"1s\"");
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    assert_eq!(client.get("/").expect("an answer").status, 200);
    assert_eq!(client.read_to_end().expect("the end"), b"");
}

#[test]
fn a_large_head_is_a_431() {
    let endpoint = endpoint();
    let limpet = balancer(&endpoint, "max_head = \"1KiB\"");
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    let head = format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "a".repeat(2048));
    client.send(head.as_bytes()).expect("sent");
    assert_eq!(client.response().expect("an answer").status, 431);
    assert!(endpoint.requests().is_empty());
}

#[test]
fn one_client_has_only_its_share() {
    let endpoint = endpoint();
    let limpet = balancer(&endpoint, "max_connections_per_client = 2");
    let mut kept: Vec<RawClient> = (0..2).map(|_| RawClient::connect(limpet.address).expect("it accepts")).collect();
    for client in &mut kept {
        assert_eq!(client.get("/").expect("an answer").status, 200);
    }
    let mut third = RawClient::connect(limpet.address).expect("the kernel accepts");
    assert_eq!(third.response().expect("an answer").status, 429);
    // The place is given back when its connection has ended.
    drop(kept.pop());
    let status = (0..1000).find_map(|_| {
        let mut client = RawClient::connect(limpet.address).expect("the kernel accepts");
        match client.get("/") {
            Ok(response) if response.status == 200 => Some(200),
            Ok(_) | Err(RawError::Closed | RawError::Io(_)) => None,
            Err(error) => panic!("{error}"),
        }
    });
    assert_eq!(status, Some(200));
}

#[test]
fn connections_above_the_limit_wait() {
    let endpoint = endpoint();
    let limpet = balancer(&endpoint, "max_connections = 1");
    let mut first = RawClient::connect(limpet.address).expect("it accepts");
    assert_eq!(first.get("/").expect("an answer").status, 200);
    let mut second = RawClient::connect(limpet.address).expect("the kernel accepts");
    second.send(b"GET /second HTTP/1.1\r\nHost: h\r\n\r\n").expect("sent");
    assert_eq!(first.get("/still").expect("an answer").status, 200);
    assert!(endpoint.requests().iter().all(|request| request.target != "/second"));
    drop(first);
    assert_eq!(second.response().expect("an answer").status, 200);
}
