//! HTTP/1 as our own listener speaks it, byte for byte: what comes in pieces, together, too slowly, too large, or makes no
//! sense, and how connections end.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use limpet_server::engine::{CloseReason, Connection, Incoming, Message, Options};
use limpet_server::listen::ListenOptions;
use limpet_testkit::raw::response::Answers;
use limpet_testkit::raw::{RawClient, RawError};
use limpet_testkit::wait::PATIENCE;
use support::{Server, send, sid_of, slow};

const POLL: &str = "/engine.io/?EIO=4&transport=polling";

/// A listener beside whose Socket.IO a function answers with what it was sent.
struct Mirror {
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Mirror {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let io = limpet_server::Server::new(limpet_server::Options::default());
        let answer = |request: http::Request<limpet_server::listen::Body>| async move {
            let head = format!("{} {} {}|", request.method(), request.uri(), request.headers().len());
            match request.into_body().collect().await {
                Ok(body) => Response::new(Full::from([head.as_bytes(), &body.to_bytes()].concat())),
                Err(_) => Response::builder().status(StatusCode::IM_A_TEAPOT).body(Full::default()).unwrap(),
            }
        };
        let listening = runtime.block_on(io.bind_with("127.0.0.1:0", ListenOptions::default(), answer)).unwrap();
        let address = listening.addr();
        runtime.spawn(async move {
            let _listening = listening;
            std::future::pending::<()>().await;
        });
        Self { address, _runtime: runtime }
    }

    fn client(&self) -> RawClient {
        RawClient::connect(self.address).unwrap()
    }
}

/// Sends bytes on a connection of their own; gives the status of the answer, behind which the connection ends.
fn refused(server: &Server, bytes: &[u8]) -> u16 {
    let mut client = server.client();
    // The server may have said enough before all is sent.
    client.send(bytes).ok();
    let response = client.response().unwrap();
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(client.read_to_end().unwrap(), b"");
    response.status
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = Server::start(slow());
    let mut client = server.client();
    let post = format!("POST {POLL}&sid={} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n4ab", server.open());
    let request = format!("\r\n\r\n{post}GET {POLL} HTTP/1.1\r\nHost: a\r\n\r\n");
    request.as_bytes().chunks(1).for_each(|byte| client.send(byte).unwrap());
    assert_eq!(client.response().unwrap().text(), "ok");
    assert!(client.response().unwrap().text().starts_with("0{"));
    assert_eq!(*server.seen.messages.lock().unwrap(), [Incoming::Text("ab".to_owned())]);
}

#[test]
fn requests_that_come_together_are_answered_in_order() {
    let server = Server::start(slow());
    let target = format!("{POLL}&sid={}", server.open());
    let mut client = server.client();
    let post = |text: &str| format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n4{text}");
    let get = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let nobody = format!("GET {POLL}&sid=nobody HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send([post("a"), get.clone(), nobody, post("b"), get].concat().as_bytes()).unwrap();
    let answers: Vec<_> =
        (0..5).map(|_| client.response().unwrap()).map(|answer| (answer.status, answer.text())).collect();
    let unknown = r#"{"code":1,"message":"Session ID unknown"}"#;
    let expected = [(200, "ok"), (200, "4a"), (400, unknown), (200, "ok"), (200, "4b")];
    assert_eq!(answers, expected.map(|(status, text)| (status, text.to_owned())));
}

#[test]
fn what_comes_behind_a_poll_waits_for_its_answer() {
    let server = Server::start(slow());
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    let mut client = server.client();
    send(&mut client, "GET", &query, "", b"");
    send(&mut client, "GET", "EIO=4&transport=polling", "", b"");
    assert_eq!(server.post(&query, "4late").status, 200);
    assert_eq!(client.response().unwrap().text(), "4late");
    assert!(client.response().unwrap().text().starts_with("0{"));
}

#[test]
fn a_body_may_come_in_chunks_and_in_pieces() {
    let mirror = Mirror::start();
    let mut client = mirror.client();
    let head = "POST /a?b=c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for pieces in [
        vec![format!("{head}3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n")],
        vec![
            head.to_owned(),
            "3\r\nab".to_owned(),
            "c\r\n2\r\n".to_owned(),
            "de\r\n0\r".to_owned(),
            "\n\r\n".to_owned(),
        ],
        vec!["POST /a?b=c HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab".to_owned(), "cde".to_owned()],
    ] {
        pieces.iter().for_each(|piece| client.send(piece.as_bytes()).unwrap());
        assert_eq!(client.response().unwrap().text(), "POST /a?b=c 2|abcde");
    }
    // More than is read ahead, to one who reads slowly enough for the pipe to be full.
    let large = "x".repeat(3_000_000);
    client
        .send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{large}", large.len()).as_bytes())
        .unwrap();
    assert_eq!(client.response().unwrap().text(), format!("PUT / 2|{large}"));
    // One whose chunks make no sense is not completed, and nothing behind it is believed.
    client.send(format!("{head}3\r\nabcX\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    let answer = client.response().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (418, Some("close")));
    assert_eq!(client.read_to_end().unwrap(), b"");
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on_unless_it_is_refused() {
    let server = Server::start(Options { max_payload_bytes: 10, ..slow() });
    let target = format!("{POLL}&sid={}", server.open());
    let head = |length: usize| {
        format!("POST {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n")
    };
    let asked = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut client = server.client();
    client.send(head(3).as_bytes()).unwrap();
    assert_eq!(client.read_exact(asked.len()).unwrap(), asked);
    client.send(b"4ab").unwrap();
    assert_eq!(client.response().unwrap().text(), "ok");
    // What is there needs no word.
    client.send(format!("{}4cd", head(3)).as_bytes()).unwrap();
    assert_eq!(client.response().unwrap().text(), "ok");
    assert_eq!(refused(&server, head(11).as_bytes()), 413);
    assert_eq!(server.closed(), []);
}

#[test]
fn what_is_too_large_is_refused_while_it_is_sent() {
    let server = Server::start(slow());
    let long = "x".repeat(20_000);
    let line = |line: &str| format!("GET {POLL} HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    assert_eq!(refused(&server, line(&format!("X-Long: {long}")).as_bytes()), 431);
    assert_eq!(refused(&server, line(&["X: y"; 120].join("\r\n")).as_bytes()), 431);
    assert_eq!(refused(&server, format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()), 414);
    assert_eq!(refused(&server, format!("GET /{long}").as_bytes()), 414);
    // The answer arrives although the client has not been read.
    let body = "x".repeat(1_200_000);
    let head = format!("POST {POLL}&sid={} HTTP/1.1\r\nHost: a\r\n", server.open());
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    let mut client = server.client();
    client.send([head, length].concat().as_bytes()).unwrap();
    assert_eq!(client.response().unwrap().status, 413);
    assert_eq!(server.closed(), []);
}

#[test]
fn what_makes_no_sense_is_refused_and_ends_its_connection() {
    let server = Server::start(slow());
    for (bytes, status) in [
        ("\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03", 400),
        ("hello", 0),
        ("hello world\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ] {
        if status == 0 {
            // It may still become a method, until the client ends.
            let mut client = server.client();
            client.send(bytes.as_bytes()).unwrap();
            client.finish().unwrap();
            assert!(matches!(client.response(), Err(RawError::Closed)));
            continue;
        }
        // A request behind it is not believed.
        let bytes = format!("{bytes}GET {POLL} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(refused(&server, bytes.as_bytes()), status, "{bytes:?}");
    }
    assert_eq!(server.engine.sessions(), 0);
}

#[test]
fn connections_are_kept_as_clients_ask() {
    let server = Server::start(slow());
    for (version, headers, said) in [
        ("1.0", "", Some("close")),
        ("1.0", "Connection: keep-alive\r\n", Some("keep-alive")),
        ("1.1", "Host: a\r\nConnection: close\r\n", Some("close")),
        ("1.1", "Host: a\r\n", None),
    ] {
        let mut client = server.client();
        let request = format!("GET {POLL} HTTP/{version}\r\n{headers}\r\n");
        client.send(request.as_bytes()).unwrap();
        let response = client.response().unwrap();
        assert_eq!((response.status, response.header("connection")), (200, said));
        assert!(response.header("date").is_some_and(|date| date.ends_with(" GMT")));
        if said == Some("close") {
            assert_eq!(client.read_to_end().unwrap(), b"");
        } else {
            client.send(request.as_bytes()).unwrap();
            assert_eq!(client.response().unwrap().status, 200);
        }
    }
}

#[test]
fn an_answer_to_head_has_a_length_and_no_body() {
    let mirror = Mirror::start();
    let mut client = mirror.client();
    client.send(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let head = client.response_to(Answers::Head).unwrap();
    assert_eq!((head.header("content-length"), head.body.len()), (Some("10"), 0));
    assert_eq!(client.response().unwrap().text(), "GET /x 1|");
}

#[test]
fn a_client_that_leaves_its_post_ends_the_session() {
    let server = Server::start(slow());
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    let mut client = server.client();
    send(&mut client, "POST", &query, "", b"4wait");
    server.until("the message", |seen| !seen.messages.lock().unwrap().is_empty());
    assert_eq!(server.closed(), []);
    drop(client);
    server.until("the end", |seen| *seen.closed.lock().unwrap() == [CloseReason::TransportError]);
}

#[test]
fn a_client_that_is_silent_within_a_body_is_let_go() {
    let quick = ListenOptions { header_timeout: Duration::from_millis(500), ..ListenOptions::default() };
    let server = Server::start_with(slow(), quick);
    let mut client = server.client();
    let head = format!("POST {POLL}&sid={} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n4ab", server.open());
    client.send(head.as_bytes()).unwrap();
    let response = client.response().unwrap();
    assert_eq!((response.status, response.header("connection")), (408, Some("close")));
    server.until("the end", |seen| *seen.closed.lock().unwrap() == [CloseReason::TransportError]);
    // So is one within a head, which is told so.
    let mut client = server.client();
    client.send(b"GET / HTTP/1.1\r\nHo").unwrap();
    assert_eq!(client.response().unwrap().status, 408);
}

/// Opens a session whose poll waits.
fn waiting_poll(server: &Server) -> (RawClient, Connection) {
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    let mut poll = server.client();
    send(&mut poll, "GET", &query, "", b"");
    let connection = server.seen.connections.lock().unwrap()[0].clone();
    server.until("the poll waits", |_| connection.send_volatile(&[]) == Ok(true));
    (poll, connection)
}

#[test]
fn a_poll_that_waits_is_answered_after_the_listener_has_closed() {
    let mut server = Server::start(slow());
    let (mut poll, connection) = waiting_poll(&server);
    let mut idle = server.client();
    assert_eq!(sid_of(&idle.get(POLL).unwrap().text()).len(), 20);
    let closed = server.close_beside(PATIENCE);
    assert_eq!(idle.read_to_end().unwrap(), b"");
    connection.send(&[Message::text("late")]).unwrap();
    let answer = poll.response().unwrap();
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("4late", Some("close")));
    assert_eq!(poll.read_to_end().unwrap(), b"");
    closed.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn what_waits_too_long_is_cut_when_the_listener_closes() {
    let mut server = Server::start(slow());
    let (mut poll, _) = waiting_poll(&server);
    server.close_listener(Duration::from_millis(50));
    assert!(matches!(poll.response(), Err(RawError::Closed)));
}
