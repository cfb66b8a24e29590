//! The limits of our own listener: how long a head may take, and how many connections there may be.

mod support;

use std::time::{Duration, Instant};

use limpet_server::engine::Message;
use limpet_server::listen::ListenOptions;
use limpet_testkit::raw::{DEFAULT_LIMIT, RawClient};
use support::{Server, send, slow, text};

/// How long a head may take: longer than a busy machine keeps a test from sending one.
const QUICK: Duration = Duration::from_secs(1);

/// Waits for the end of a connection, which takes as long as a head may take and less than any other limit.
fn end_of(client: &mut RawClient) {
    client.read_to_end().expect("the connection ends");
}

#[test]
fn a_head_that_takes_too_long_ends_its_connection() {
    for http2 in [false, true] {
        let listen = ListenOptions { header_timeout: QUICK, http2, ..ListenOptions::default() };
        let server = Server::start_with(slow(), listen);
        let start = Instant::now();
        let mut half = server.client();
        half.send(b"GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n").unwrap();
        end_of(&mut half);
        assert!(start.elapsed() >= QUICK, "{:?}", start.elapsed());
        // Who says nothing, and who says nothing more.
        let mut idle = server.client();
        assert_eq!(idle.get("/engine.io/?EIO=4&transport=polling").unwrap().status, 200);
        for client in [&mut server.client(), &mut idle] {
            end_of(client);
        }
        assert_eq!(server.closed(), [], "a session does not depend on a connection");
    }
}

#[test]
fn a_poll_may_wait_longer_than_a_head_may_take() {
    let server = Server::start_with(slow(), ListenOptions { header_timeout: QUICK, ..ListenOptions::default() });
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    let mut poll = server.client();
    send(&mut poll, "GET", &query, "", b"");
    let mut idle = server.client();
    end_of(&mut idle);
    assert_eq!(server.post(&query, "4late").status, 200);
    assert_eq!(poll.response().unwrap().text(), "4late");
}

#[test]
fn connections_beyond_the_limit_wait_until_one_ends() {
    let server = Server::start_with(slow(), ListenOptions { max_connections: 2, ..ListenOptions::default() });
    let mut inside = [server.client(), server.client()];
    for client in &mut inside {
        assert_eq!(client.get("/engine.io/?EIO=4&transport=polling").unwrap().status, 200);
    }
    let mut outside = server.client();
    send(&mut outside, "GET", "EIO=4&transport=polling", "", b"");
    outside.set_limit(Duration::from_millis(200));
    assert!(outside.response().is_err(), "a third connection is served");
    assert_eq!(server.engine.sessions(), 2);
    // Those who are inside go on.
    assert_eq!(inside[0].get("/engine.io/?EIO=4&transport=polling").unwrap().status, 200);
    drop(inside);
    outside.set_limit(DEFAULT_LIMIT);
    assert_eq!(outside.response().unwrap().status, 200);
}

#[test]
fn a_websocket_does_not_count_as_a_connection() {
    let server = Server::start_with(slow(), ListenOptions { max_connections: 1, ..ListenOptions::default() });
    let mut sockets = [(); 3].map(|()| server.websocket("EIO=4&transport=websocket"));
    sockets.iter_mut().for_each(|socket| drop(text(socket)));
    let connections = server.seen.connections.lock().unwrap().clone();
    for (connection, socket) in connections.iter().zip(&mut sockets) {
        connection.send(&[Message::text("a")]).unwrap();
        assert_eq!(text(socket), "4a");
    }
    assert_eq!(server.get("EIO=4&transport=polling").status, 200);
}
