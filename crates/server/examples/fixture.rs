//! A server that protocol suites can be pointed at.
//!
//! It listens on `PORT` (3000) and prints `listening PORT`. On `/engine.io/` a bare Engine.IO server sends every message
//! back in kind. On `/socket.io/` there are the namespaces `/` and `/custom`: each emits `auth` with the CONNECT payload;
//! on `/`, `message` is answered by `message-back` and `message-with-ack` is acknowledged, with the same arguments.
//! Heartbeats come every 300 ms and may take `PING_TIMEOUT` ms (200). `EIO3=1` takes clients of version 3 too.

#[path = "features/same.rs"]
mod same;

use std::env;
use std::future::ready;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use limpet_proto::engineio::message::Message;
use limpet_server::engine::{self, Application, CloseReason, Connection, Cors, Engine, Handshake, Incoming, Receiver};
use limpet_server::listen::ListenOptions;
use limpet_server::{Event, Options, Server, Socket};
use rmpv::Value;

use crate::same::Same;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let settings = engine::Options {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(env::var("PING_TIMEOUT").map_or(Ok(200), |value| value.parse())?),
        max_payload_bytes: 1_000_000,
        cors: Some(Cors::default()),
        allow_eio3: env::var("EIO3").is_ok_and(|value| value == "1"),
        ..engine::Options::default()
    };

    let io = Server::new(Options {
        engine: settings.clone(),
        connect_timeout: Duration::from_secs(1),
        ..Options::default()
    });
    io.of("/custom").on_connection(|socket: Socket| async move { authenticated(&socket) });
    io.on_connection(|socket: Socket| async move {
        authenticated(&socket);
        socket.on("message", |socket: Socket, event: Event| async move {
            drop(socket.emit("message-back", Same(event)));
        });
        socket.on("message-with-ack", |_: Socket, event: Event| async move {
            drop(event.ack().send(Same(event)));
        });
    });

    let echo = Engine::new(engine::Options { path: "/engine.io/".to_owned(), ..settings }, Echo);
    let listening = io
        .bind_with(("127.0.0.1", port), ListenOptions::default(), move |request| {
            let echo = echo.clone();
            async move {
                if request.uri().path().starts_with("/engine.io/") {
                    return echo.handle(request).await;
                }
                let mut response = Response::default();
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        })
        .await?;
    println!("listening {}", listening.addr().port());

    if env::args().any(|word| word == "--end-with-stdin") {
        std::thread::spawn(|| {
            drop(std::io::stdin().read_to_end(&mut Vec::new()));
            std::process::exit(0);
        });
    }
    std::future::pending().await
}

/// Tells the client what it gave for authentication.
fn authenticated(socket: &Socket) {
    // A value that keeps the order of members.
    let auth = socket.handshake().auth::<Value>().unwrap_or(Value::Map(Vec::new()));
    drop(socket.emit("auth", auth));
}

/// The bare Engine.IO server.
struct Echo;

impl Application for Echo {
    type Receiver = EchoSession;

    fn open(&self, connection: &Connection, _: Arc<Handshake>) -> EchoSession {
        EchoSession(connection.clone())
    }
}

struct EchoSession(Connection);

impl Receiver for EchoSession {
    fn message(&self, message: Incoming) -> impl Future<Output = ()> + Send {
        let message = match &message {
            Incoming::Text(text) => Message::text(text),
            Incoming::Binary(bytes) => Message::binary(bytes),
        };
        // Who has gone hears no echo.
        self.0.send(&[message]).ok();
        ready(())
    }

    fn close(&self, _: CloseReason) {}
}
