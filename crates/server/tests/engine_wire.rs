//! What options and flags of the Socket.IO server change on the wire.

mod support;

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use limpet_proto::websocket::deflate::{Deflater, Inflater};
use limpet_server::engine::{self, Message, Transport};
use limpet_server::{AckError, Listening, Options, Server, Socket};
use limpet_testkit::raw::RawClient;
use limpet_testkit::raw::socketio::RawSocket;
use limpet_testkit::raw::websocket::{Frame, KEY};
use limpet_testkit::wait::until;
use support::{say, sid_of, slow, text};

/// A Socket.IO server in a runtime of its own.
struct SocketIo {
    address: SocketAddr,
    server: Server,
    listening: Listening,
    runtime: tokio::runtime::Runtime,
}

impl SocketIo {
    fn start(options: Options, on_connection: impl Fn(Socket) + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = Server::new(options);
        server.on_connection(move |socket: Socket| {
            on_connection(socket);
            async {}
        });
        let listening = runtime.block_on(server.bind("127.0.0.1:0")).unwrap();
        Self { address: listening.addr(), server, listening, runtime }
    }
}

/// A WebSocket with compression, as bytes.
struct Compressed(RawClient);

impl Compressed {
    fn connect(address: SocketAddr, target: &str) -> Self {
        let mut client = RawClient::connect(address).unwrap();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        );
        client.send(request.as_bytes()).unwrap();
        let response = client.response().unwrap();
        assert_eq!(response.status, 101);
        assert!(response.header("sec-websocket-extensions").is_some());
        Self(client)
    }

    /// Sends a text message in compressed form.
    fn say(&mut self, text: &str) {
        let payload = Deflater::new(true).deflate(text.as_bytes()).unwrap();
        let mut frame = Frame { fin: true, opcode: 1, payload }.encode(Some([1, 2, 3, 4]));
        frame[0] |= 0x40;
        self.0.send(&frame).unwrap();
    }

    /// Reads a text message of less than 64 KiB; says whether it was compressed.
    fn hear(&mut self) -> (bool, String) {
        let head = self.0.read_exact(2).unwrap();
        let length = match head[1] {
            126 => u16::from_be_bytes(self.0.read_exact(2).unwrap().try_into().unwrap()).into(),
            short => usize::from(short),
        };
        let payload = self.0.read_exact(length).unwrap();
        let text = match head[0] {
            0x81 => payload,
            0xc1 => Inflater::new(true).inflate(&payload, 100_000).unwrap(),
            other => panic!("no text: {other:#x}"),
        };
        (head[0] == 0xc1, String::from_utf8(text).unwrap())
    }
}

#[test]
fn a_websocket_event_is_compressed_unless_it_must_not_be() {
    let long = "x".repeat(5000);
    let event = long.clone();
    let engine = engine::Options { per_message_deflate: Some(100), ..engine::Options::default() };
    let io = SocketIo::start(Options { engine, ..Options::default() }, move |socket| {
        socket.emit("first", &event).unwrap();
        socket.compress(false).emit("second", &event).unwrap();
    });
    let mut client = Compressed::connect(io.address, "/socket.io/?EIO=4&transport=websocket");
    client.hear();
    client.say("40");
    assert!(client.hear().1.starts_with("40{"));
    assert_eq!(client.hear(), (true, format!(r#"42["first","{long}"]"#)));
    assert_eq!(client.hear(), (false, format!(r#"42["second","{long}"]"#)));
    io.server.emit("third", &long).unwrap();
    io.server.compress(false).emit("fourth", &long).unwrap();
    assert_eq!(client.hear(), (true, format!(r#"42["third","{long}"]"#)));
    assert_eq!(client.hear(), (false, format!(r#"42["fourth","{long}"]"#)));
}

#[test]
fn a_polled_event_is_compressed_unless_it_must_not_be() {
    let io = SocketIo::start(Options::default(), |_| {});
    for (compresses, coding) in [(true, Some("gzip")), (false, None)] {
        let mut client = RawClient::connect(io.address).unwrap();
        let sid = sid_of(&client.get("/socket.io/?EIO=4&transport=polling").unwrap().text());
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        client.send(format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n40").as_bytes()).unwrap();
        assert_eq!(client.response().unwrap().text(), "ok");
        assert!(client.get(&target).unwrap().text().starts_with("40{"));
        io.server.compress(compresses).emit("long", "x".repeat(5000)).unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        client.send(request.as_bytes()).unwrap();
        assert_eq!(client.response().unwrap().header("content-encoding"), coding);
    }
}

#[test]
fn what_was_sent_before_the_server_closes_arrives() {
    let io = SocketIo::start(Options::default(), |_| {});
    let mut websocket = RawSocket::connect(io.address).unwrap();
    let mut polling = RawClient::connect(io.address).unwrap();
    let sid = sid_of(&polling.get("/socket.io/?EIO=4&transport=polling").unwrap().text());
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    polling.send(format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n40").as_bytes()).unwrap();
    assert_eq!(polling.response().unwrap().text(), "ok");
    assert!(polling.get(&target).unwrap().text().starts_with("40{"));
    io.server.emit("last", ()).unwrap();
    let SocketIo { listening, runtime, server: _server, .. } = io;
    let closing = runtime.spawn(listening.close(Duration::ZERO));
    assert_eq!(websocket.receive().unwrap(), r#"42["last"]"#);
    assert!(websocket.receive().is_err());
    assert_eq!(polling.get(&target).unwrap().text(), r#"42["last"]"#);
    assert_eq!(polling.get(&target).unwrap().text(), "6\u{1e}1");
    runtime.block_on(closing).unwrap();
}

#[test]
fn a_client_that_owes_an_answer_has_as_long_as_the_option_says() {
    let limit = Duration::from_millis(200);
    let (sender, outcomes) = mpsc::channel();
    let io = SocketIo::start(Options { ack_timeout: Some(limit), ..Options::default() }, move |socket| {
        // The event leaves now; what is waited for is the answer.
        let (short, long) = (
            socket.emit_with_ack::<String>("ask", ()),
            socket.timeout(Duration::from_secs(30)).emit_with_ack::<String>("ask", ()),
        );
        let sender = sender.clone();
        tokio::spawn(async move {
            let start = Instant::now();
            let outcome = short.await;
            sender.send((outcome, start.elapsed())).unwrap();
            sender.send((long.await, start.elapsed())).unwrap();
        });
    });
    let mut client = RawSocket::connect(io.address).unwrap();
    let ids = [(); 2].map(|()| {
        let asked = client.receive().unwrap();
        asked.strip_prefix("42").and_then(|asked| asked.strip_suffix(r#"["ask"]"#)).expect("a question").to_owned()
    });
    let (outcome, took) = outcomes.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(matches!(outcome, Err(AckError::Timeout)), "{outcome:?}");
    assert!(took >= limit, "{took:?}");
    // What is answered too late is nobody's; a timeout of its own counts instead of the option.
    for id in ids {
        client.send(&format!(r#"43{id}["answer {id}"]"#)).unwrap();
    }
    let (outcome, _) = outcomes.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(outcome.unwrap().starts_with("answer "));
}

#[test]
fn a_first_packet_comes_behind_the_open_packet_on_every_transport() {
    let first = Message::text("first");
    let server = support::Server::start(engine::Options { initial_packet: Some(first), allow_eio3: true, ..slow() });
    for version in [3, 4] {
        let mut socket = server.websocket(&format!("EIO={version}&transport=websocket&greet=1"));
        assert!(text(&mut socket).starts_with('0'));
        assert_eq!(text(&mut socket), "4first");
        assert_eq!(text(&mut socket), "4hello");
    }
    let body = server.get("EIO=4&transport=polling&greet=1").text();
    assert!(body.ends_with("}\u{1e}4first\u{1e}4hello"), "{body}");
    // Once in a session: not again on a WebSocket that it moves to.
    let sid = sid_of(&body);
    let mut socket = server.websocket(&format!("EIO=4&transport=websocket&sid={sid}"));
    say(&mut socket, "2probe");
    assert_eq!(text(&mut socket), "3probe");
    say(&mut socket, "5");
    say(&mut socket, "4a");
    assert_eq!(text(&mut socket), "4a");
}

#[test]
fn a_compressed_probe_is_a_probe() {
    let server = support::Server::start(engine::Options { per_message_deflate: Some(100), ..slow() });
    let sid = server.open();
    let target = format!("/engine.io/?EIO=4&transport=websocket&sid={sid}");
    // What inflates to no probe is dismissed, and so is what does not inflate.
    let mut other = Compressed::connect(server.address, &target);
    other.say("2prob");
    assert_eq!(other.0.read_exact(2).unwrap(), b"\x88\0");
    let mut broken = Compressed::connect(server.address, &target);
    let mut frame = Frame { fin: true, opcode: 1, payload: b"\xff\xff\xff".to_vec() }.encode(Some([1, 2, 3, 4]));
    frame[0] |= 0x40;
    broken.0.send(&frame).unwrap();
    assert_eq!(broken.0.read_exact(2).unwrap(), b"\x88\0");
    let mut socket = Compressed::connect(server.address, &target);
    socket.say("2probe");
    assert_eq!(socket.hear(), (false, "3probe".to_owned()));
    socket.say("5");
    socket.say("4a");
    assert_eq!(socket.hear(), (false, "4a".to_owned()));
    let connection = server.seen.connections.lock().unwrap()[0].clone();
    until("the move", || connection.transport() == Transport::Websocket);
    assert_eq!(server.closed(), []);
}
