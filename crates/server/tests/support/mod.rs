//! An echo on top of the engine, and clients that speak to it by hand.

#![allow(dead_code, unreachable_pub, clippy::allow_attributes, reason = "each suite uses a part of this")]

use std::net::SocketAddr;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use limpet_server::engine::{
    Application, CloseReason, Connection, Engine, Handshake, Incoming, Message, Options, Receiver,
};
use limpet_server::listen::{ListenOptions, Listener};
use limpet_testkit::raw::websocket::{Frame, RawWebSocket};
use limpet_testkit::raw::{RawClient, Response};
use limpet_testkit::wait::until;

/// What the echo has seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub messages: Mutex<Vec<Incoming>>,
    pub closed: Mutex<Vec<CloseReason>>,
    pub connections: Mutex<Vec<Connection>>,
    pub handshakes: Mutex<Vec<Arc<Handshake>>>,
}

/// Sends every message back in kind.
#[derive(Debug, Clone, Default)]
pub struct Echo(pub Arc<Seen>);

#[derive(Debug)]
pub struct EchoReceiver {
    connection: Connection,
    seen: Arc<Seen>,
}

impl Application for Echo {
    type Receiver = EchoReceiver;

    fn open(&self, connection: &Connection, handshake: Arc<Handshake>) -> EchoReceiver {
        if handshake.query("greet").is_some() {
            connection.send(&[Message::text("hello")]).unwrap();
        }
        self.0.connections.lock().unwrap().push(connection.clone());
        self.0.handshakes.lock().unwrap().push(handshake);
        EchoReceiver { connection: connection.clone(), seen: Arc::clone(&self.0) }
    }
}

impl Receiver for EchoReceiver {
    async fn message(&self, message: Incoming) {
        let answer = match &message {
            Incoming::Text(text) if text == "close" => return self.connection.close(CloseReason::ForcedClose, false),
            Incoming::Text(text) if text == "wait" => {
                self.seen.messages.lock().unwrap().push(message);
                return std::future::pending().await;
            }
            Incoming::Text(text) => Message::text(text),
            Incoming::Binary(bytes) => Message::binary(bytes),
        };
        self.seen.messages.lock().unwrap().push(message);
        self.connection.send(&[answer]).ok();
    }

    fn close(&self, reason: CloseReason) {
        self.seen.closed.lock().unwrap().push(reason);
    }
}

/// A server in a runtime of its own.
pub struct Server {
    pub address: SocketAddr,
    pub engine: Engine<Echo>,
    pub seen: Arc<Seen>,
    runtime: Option<tokio::runtime::Runtime>,
    listener: Option<Listener>,
}

impl Server {
    pub fn start(options: Options) -> Self {
        Self::start_with(options, ListenOptions::default())
    }

    pub fn start_with(options: Options, listen: ListenOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let echo = Echo::default();
        let seen = Arc::clone(&echo.0);
        let engine = Engine::new(options, echo);
        let listener = runtime
            .block_on(async { Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), listen, engine.clone()).unwrap() });
        Self { address: listener.address(), engine, seen, runtime: Some(runtime), listener: Some(listener) }
    }

    /// Pings each 300 ms, as in the official suites. Their 200 ms for a pong are too short for a busy machine.
    pub fn quick() -> Self {
        Self::start(quick())
    }

    /// Takes the listener, to close it.
    pub fn close_listener(&mut self, within: Duration) {
        let listener = self.listener.take().unwrap();
        self.runtime.as_ref().unwrap().block_on(listener.close(within));
    }

    /// Closes the listener beside the test; gives a word when it has closed.
    pub fn close_beside(&mut self, within: Duration) -> mpsc::Receiver<()> {
        let listener = self.listener.take().unwrap();
        let (sender, receiver) = mpsc::channel();
        self.runtime.as_ref().unwrap().spawn(async move {
            listener.close(within).await;
            sender.send(()).ok();
        });
        receiver
    }

    pub fn client(&self) -> RawClient {
        RawClient::connect(self.address).unwrap()
    }

    pub fn get(&self, query: &str) -> Response {
        self.client().get(&format!("/engine.io/?{query}")).unwrap()
    }

    /// Sends any request.
    pub fn request(&self, method: &str, query: &str, headers: &str, body: &[u8]) -> Response {
        let mut client = self.client();
        send(&mut client, method, query, headers, body);
        client.response().unwrap()
    }

    pub fn post(&self, query: &str, body: &str) -> Response {
        self.request("POST", query, "Content-Type: text/plain\r\n", body.as_bytes())
    }

    /// Opens a polling session; gives its sid.
    pub fn open(&self) -> String {
        sid_of(&self.get("EIO=4&transport=polling").text())
    }

    pub fn websocket(&self, query: &str) -> RawWebSocket {
        RawWebSocket::connect(self.address, &format!("/engine.io/?{query}")).unwrap().expect("a 101")
    }

    /// Waits until something has become true.
    pub fn until(&self, what: &str, mut condition: impl FnMut(&Seen) -> bool) {
        until(what, || condition(&self.seen));
    }

    pub fn closed(&self) -> Vec<CloseReason> {
        self.seen.closed.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub fn quick() -> Options {
    Options {
        path: "/engine.io/".to_owned(),
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(1500),
        ..Options::default()
    }
}

/// Options under which no heartbeat disturbs a test.
pub fn slow() -> Options {
    Options { path: "/engine.io/".to_owned(), ..Options::default() }
}

pub fn send(client: &mut RawClient, method: &str, query: &str, headers: &str, body: &[u8]) {
    let head = format!(
        "{method} /engine.io/?{query} HTTP/1.1\r\nHost: limpet.test\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(&[head.as_bytes(), body].concat()).unwrap();
}

pub fn sid_of(open: &str) -> String {
    let (_, behind) = open.split_once(r#""sid":""#).unwrap_or_else(|| panic!("no sid in {open:?}"));
    behind.split('"').next().unwrap().to_owned()
}

/// Reads the next frame as text.
pub fn text(socket: &mut RawWebSocket) -> String {
    let frame = socket.frame().unwrap();
    assert_eq!((frame.fin, frame.opcode), (true, 1), "{frame:?}");
    String::from_utf8(frame.payload).unwrap()
}

pub fn say(socket: &mut RawWebSocket, text: &str) {
    socket.send(&Frame::text(text)).unwrap();
}

/// Runs something beside the test; gives what it gives.
pub fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> mpsc::Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(work()).ok());
    receiver
}
