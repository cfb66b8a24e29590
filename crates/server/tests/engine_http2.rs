//! Engine.IO over HTTP/2: polls as streams, and WebSockets by extended CONNECT (RFC 8441). The clients are the `h2` crate
//! and Node, whose WebSocket is `ws`.

#[path = "api/script.rs"]
mod script;
mod support;

use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response, StatusCode};
use limpet_server::engine::{CloseReason, Options, Transport};
use limpet_server::listen::ListenOptions;
use limpet_server::{Ack, Server as SocketIo, Socket};
use limpet_testkit::raw::websocket::Frame;
use limpet_testkit::wait::{PATIENCE, until};
use support::{Server, sid_of, slow};

fn server(options: Options) -> Server {
    Server::start_with(options, ListenOptions { http2: true, ..ListenOptions::default() })
}

/// Runs a client beside its connections.
fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(work);
}

/// A connection of HTTP/2.
#[derive(Clone)]
struct Client(SendRequest<Bytes>);

impl Client {
    /// Connects, and waits until the server has said what it can do.
    async fn connect(address: SocketAddr) -> Self {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let client = Self(send);
        // The settings come before the first answer.
        client.request(Method::GET, "EIO=4", "").await;
        assert!(client.0.is_extended_connect_protocol_enabled());
        client
    }

    fn head(method: Method, query: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://limpet.test/engine.io/?{query}"))
    }

    async fn request(&self, method: Method, query: &str, body: &'static str) -> (StatusCode, String) {
        let mut ready = self.0.clone().ready().await.unwrap();
        let request = Self::head(method, query).body(()).unwrap();
        let (answer, mut sending) = ready.send_request(request, body.is_empty()).unwrap();
        if !body.is_empty() {
            sending.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
        }
        let (head, body) = tokio::time::timeout(PATIENCE, answer).await.expect("an answer").unwrap().into_parts();
        (head.status, text_of(body).await)
    }

    async fn get(&self, query: &str) -> String {
        self.request(Method::GET, query, "").await.1
    }

    /// Asks for a stream of another protocol.
    async fn connect_to(&self, protocol: &'static str, query: &str) -> (Response<RecvStream>, SendStream<Bytes>) {
        let mut ready = self.0.clone().ready().await.unwrap();
        let request = Self::head(Method::CONNECT, query).header("sec-websocket-version", "13");
        let request = request.extension(Protocol::from_static(protocol)).body(()).unwrap();
        let (answer, sending) = ready.send_request(request, false).unwrap();
        (tokio::time::timeout(PATIENCE, answer).await.expect("an answer").unwrap(), sending)
    }

    async fn websocket(&self, query: &str) -> WebSocket {
        let (answer, sending) = self.connect_to("websocket", query).await;
        assert_eq!((answer.status(), answer.headers().get("sec-websocket-accept")), (StatusCode::OK, None));
        WebSocket { sending, receiving: answer.into_body(), read: BytesMut::new() }
    }
}

async fn text_of(mut body: RecvStream) -> String {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

/// A WebSocket on a stream.
struct WebSocket {
    sending: SendStream<Bytes>,
    receiving: RecvStream,
    read: BytesMut,
}

impl WebSocket {
    fn send(&mut self, frame: &Frame) {
        self.sending.send_data(frame.encode(Some([9, 8, 7, 6])).into(), false).unwrap();
    }

    fn say(&mut self, text: &str) {
        self.send(&Frame::text(text));
    }

    /// Reads until there are so many bytes.
    async fn fill(&mut self, count: usize) {
        while self.read.len() < count {
            let piece = tokio::time::timeout(PATIENCE, self.receiving.data()).await.expect("bytes in time");
            let piece = piece.expect("the stream goes on").unwrap();
            self.receiving.flow_control().release_capacity(piece.len()).unwrap();
            self.read.extend_from_slice(&piece);
        }
    }

    async fn frame(&mut self) -> Frame {
        self.fill(2).await;
        let (head, length) = match self.read[1] {
            126 => {
                self.fill(4).await;
                (4, usize::from(u16::from_be_bytes([self.read[2], self.read[3]])))
            }
            127 => {
                self.fill(10).await;
                (10, u64::from_be_bytes(self.read[2..10].try_into().unwrap()) as usize)
            }
            short => (2, usize::from(short)),
        };
        self.fill(head + length).await;
        let first = self.read[0];
        self.read.advance(head);
        Frame { fin: first & 0x80 != 0, opcode: first & 0x0f, payload: self.read.split_to(length).to_vec() }
    }

    async fn text(&mut self) -> String {
        let frame = self.frame().await;
        assert_eq!((frame.fin, frame.opcode), (true, 1), "{frame:?}");
        String::from_utf8(frame.payload).unwrap()
    }

    /// Waits for the end of the stream, and ends its own side.
    async fn end(&mut self) {
        while let Some(piece) = tokio::time::timeout(PATIENCE, self.receiving.data()).await.expect("the end in time") {
            assert_eq!(piece.expect("the stream is not reset"), "");
        }
        self.sending.send_data(Bytes::new(), true).unwrap();
    }
}

#[test]
fn messages_go_both_ways_over_polling() {
    let server = server(slow());
    run(async {
        let client = Client::connect(server.address).await;
        let open = client.get("EIO=4&transport=polling").await;
        let query = format!("EIO=4&transport=polling&sid={}", sid_of(&open));
        let polled = tokio::spawn({
            let (client, query) = (client.clone(), query.clone());
            async move { client.get(&query).await }
        });
        assert_eq!(client.request(Method::POST, &query, "4a\u{1e}bAQI=").await, (StatusCode::OK, "ok".to_owned()));
        // What comes while a poll is answered waits for the next one.
        let mut got = polled.await.unwrap();
        if !got.contains('\u{1e}') {
            got = format!("{got}\u{1e}{}", client.get(&query).await);
        }
        assert_eq!(got, "4a\u{1e}bAQI=");
        assert_eq!(server.closed(), []);
    });
}

#[test]
fn a_poll_that_is_left_ends_the_session() {
    let server = server(slow());
    run(async {
        let client = Client::connect(server.address).await;
        let open = client.get("EIO=4&transport=polling").await;
        let request = Client::head(Method::GET, &format!("EIO=4&transport=polling&sid={}", sid_of(&open)));
        let mut ready = client.0.clone().ready().await.unwrap();
        let (answer, mut sending) = ready.send_request(request.body(()).unwrap(), true).unwrap();
        sending.send_reset(Reason::CANCEL);
        drop(answer);
        until("the end", || server.closed() == [CloseReason::TransportError]);
        assert_eq!(client.request(Method::GET, "EIO=4&transport=polling", "").await.0, StatusCode::OK, "others go on");
    });
}

#[test]
fn a_websocket_is_a_stream() {
    let server = server(slow());
    run(async {
        let client = Client::connect(server.address).await;
        let mut first = client.websocket("EIO=4&transport=websocket").await;
        let mut second = client.websocket("EIO=4&transport=websocket").await;
        for socket in [&mut first, &mut second] {
            assert!(socket.text().await.starts_with(r#"0{"sid":""#));
            socket.say("4größe");
            assert_eq!(socket.text().await, "4größe");
            socket.send(&Frame { fin: true, opcode: 9, payload: b"there?".to_vec() });
            assert_eq!(socket.frame().await, Frame { fin: true, opcode: 10, payload: b"there?".to_vec() });
        }
        // More than a window of the stream holds.
        let large = Frame { fin: true, opcode: 2, payload: vec![7; 900_000] };
        first.send(&large);
        assert!(first.frame().await == large);
        assert_eq!(server.seen.handshakes.lock().unwrap()[0].transport(), Transport::Websocket);
        assert!(server.seen.handshakes.lock().unwrap()[0].address().ip().is_loopback());
        // One ends, by the client; the other one goes on, and ends by the server.
        first.send(&Frame::close(1000));
        assert_eq!(first.frame().await, Frame::close(1000));
        first.end().await;
        until("the end", || server.closed() == [CloseReason::TransportClose]);
        second.say("4close");
        assert_eq!(second.frame().await.opcode, 8);
        second.send(&Frame::close(1000));
        second.end().await;
        until("both ends", || server.closed() == [CloseReason::TransportClose, CloseReason::ForcedClose]);
        // And one without a word.
        let mut third = client.websocket("EIO=4&transport=websocket").await;
        third.text().await;
        third.sending.send_reset(Reason::CANCEL);
        until("the third end", || server.closed().len() == 3);
        assert_eq!(server.closed()[2], CloseReason::TransportClose);
        assert_eq!(server.engine.sessions(), 0);
    });
}

#[test]
fn a_session_moves_to_a_websocket_on_the_same_connection() {
    let server = server(slow());
    run(async {
        let client = Client::connect(server.address).await;
        let sid = sid_of(&client.get("EIO=4&transport=polling").await);
        let query = format!("EIO=4&transport=polling&sid={sid}");
        let mut socket = client.websocket(&format!("EIO=4&transport=websocket&sid={sid}")).await;
        socket.say("2probe");
        assert_eq!(socket.text().await, "3probe");
        // A poll is released, so that the client can stop.
        assert_eq!(client.get(&query).await, "6");
        assert_eq!(client.request(Method::POST, &query, "4by polling").await.0, StatusCode::OK);
        socket.say("5");
        assert_eq!(socket.text().await, "4by polling");
        socket.say("4by websocket");
        assert_eq!(socket.text().await, "4by websocket");
        assert_eq!(server.seen.connections.lock().unwrap()[0].transport(), Transport::Websocket);
        assert_eq!(client.request(Method::GET, &query, "").await.0, StatusCode::BAD_REQUEST);
        assert_eq!(server.closed(), []);
    });
}

#[test]
fn refusals_end_their_stream_and_not_the_connection() {
    let server = server(slow());
    run(async {
        let client = Client::connect(server.address).await;
        for (query, body) in [
            ("EIO=4&transport=abc", "Transport unknown"),
            ("EIO=4&transport=websocket&sid=nobody", "Session ID unknown"),
            ("EIO=3&transport=websocket", "Unsupported protocol version"),
            ("EIO=4&transport=polling", "Bad request"),
        ] {
            let (answer, _sending) = client.connect_to("websocket", query).await;
            assert_eq!((answer.status(), answer.headers().get("connection")), (StatusCode::BAD_REQUEST, None));
            assert_eq!(text_of(answer.into_body()).await, body);
        }
        // A stream of anything else is no WebSocket.
        let (answer, _sending) = client.connect_to("connect-udp", "EIO=4&transport=websocket").await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert_eq!(text_of(answer.into_body()).await, r#"{"code":2,"message":"Bad handshake method"}"#);
        // Without its version.
        let request = Client::head(Method::CONNECT, "EIO=4&transport=websocket");
        let request = request.extension(Protocol::from_static("websocket")).body(()).unwrap();
        let mut ready = client.0.clone().ready().await.unwrap();
        let (answer, _sending) = ready.send_request(request, false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(
            (answer.status(), &answer.headers()["sec-websocket-version"]),
            (StatusCode::BAD_REQUEST, &"13".parse().unwrap())
        );
        assert!(client.get("EIO=4&transport=polling").await.starts_with("0{"));
    });
}

#[test]
fn a_listener_that_takes_http_2_takes_http_1_as_before() {
    let server = server(slow());
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    assert_eq!(server.post(&query, "4a").status, 200);
    assert_eq!(server.get(&query).text(), "4a");
    support::text(&mut server.websocket("EIO=4&transport=websocket"));
    // One that does not is not spoken to.
    let plain = Server::start(slow());
    run(async {
        let stream = tokio::net::TcpStream::connect(plain.address).await.unwrap();
        let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
        let request = Client::head(Method::GET, "EIO=4&transport=polling").body(()).unwrap();
        let (answer, _) = send.send_request(request, true).unwrap();
        tokio::spawn(connection);
        assert!(tokio::time::timeout(PATIENCE, answer).await.expect("the end in time").is_err());
    });
}

/// Node's own HTTP/2 with the WebSocket of `ws` on a stream of it, against axum.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_axum_is_reached_over_http_2() {
    let io = SocketIo::new(limpet_server::Options::default());
    io.on_connection(|socket: Socket| async move {
        socket.on("echo", |_: Socket, text: String, ack: Ack| async move { ack.send(text).unwrap() });
    });
    let app: axum::Router = axum::Router::new().route_service("/socket.io/", io.service());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    script::run_at(vec![url], SCRIPT).await;
}

const SCRIPT: &str = r#"
import { connect as connectHttp2 } from "node:http2";
import { WebSocket } from "ws";
const session = connectHttp2(urls[0]);
await new Promise((resolve) => session.once("remoteSettings", resolve));
assert.equal(session.remoteSettings.enableConnectProtocol, true);
const target = (query) => `/socket.io/?EIO=4&transport=${query}`;
const ask2 = (method, query, body = "") => new Promise((resolve, reject) => {
    const stream = session.request({ ":method": method, ":path": target(query) }, { endStream: false });
    let text = "";
    stream.setEncoding("utf8").on("data", (piece) => { text += piece; }).on("end", () => resolve(text)).on("error", reject);
    stream.end(body);
});
const websocket = async (query) => {
    const stream = session.request({
        ":method": "CONNECT", ":protocol": "websocket", ":path": target(query), "sec-websocket-version": "13",
    }, { endStream: false });
    const headers = await new Promise((resolve) => stream.once("response", resolve));
    assert.equal(headers[":status"], 200);
    // What `ws` looks for in a socket.
    stream.setNoDelay = stream.setKeepAlive = () => {};
    const socket = new WebSocket(null, undefined, { autoPong: true, closeTimeout: 10000 });
    const inbox = [];
    const waiting = [];
    socket.on("message", (data) => waiting.length > 0 ? waiting.shift()(`${data}`) : inbox.push(`${data}`));
    socket.next = () => inbox.length > 0 ? inbox.shift() : new Promise((resolve) => waiting.push(resolve));
    socket._isServer = false;
    socket.setSocket(stream, Buffer.alloc(0), { maxPayload: 1e6, skipUTF8Validation: false, allowSynchronousEvents: true });
    return socket;
};
// A session of its own on a WebSocket.
const alone = await websocket("websocket");
assert.match(await alone.next(), /^0\{"sid"/);
alone.send("40");
assert.match(await alone.next(), /^40\{"sid"/);
alone.send('421["echo","größe"]');
assert.equal(await alone.next(), '431["größe"]');
alone.ping("there?");
assert.equal(`${(await once(alone, "pong"))[0]}`, "there?");
alone.close(1000);
assert.equal((await once(alone, "close"))[0], 1000);
// One that begins by polling and moves, on the same connection.
const { sid } = JSON.parse((await ask2("GET", "polling")).slice(1));
assert.equal(await ask2("POST", `polling&sid=${sid}`, "40"), "ok");
assert.match(await ask2("GET", `polling&sid=${sid}`), /^40\{"sid"/);
const moved = await websocket(`websocket&sid=${sid}`);
moved.send("2probe");
assert.equal(await moved.next(), "3probe");
assert.equal(await ask2("GET", `polling&sid=${sid}`), "6");
moved.send("5");
moved.send('422["echo","moved"]');
assert.equal(await moved.next(), '432["moved"]');
moved.close();
session.close();
"#;
