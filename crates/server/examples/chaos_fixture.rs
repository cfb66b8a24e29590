//! A node that chaos can be let loose on: clients join rooms and send to them, and the node may die at any time.
//!
//! It listens on `PORT` (3000) and prints `listening PORT`. `BUS` names what joins it to others: `redis` or `streams` at
//! `REDIS_URL`, or `local` (nobody). Clients recover for 120 s, unless the bus is `redis`, which keeps no log. On `/` there
//! are `join` (room), acknowledged when the socket is in the room, and `send` (room, payload), acknowledged with `true`
//! when the bus has the event `msg` for the room, and with `false` when it does not take it. `/health` answers 200.
//! SIGTERM closes the server gracefully.

use std::env;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use limpet_bus::{Redis, Streams};
use limpet_server::engine::{self, Cors};
use limpet_server::listen::ListenOptions;
use limpet_server::{Ack, Adapter, Local, Options, Recovery, Server, Socket};
use rmpv::Value;
use tokio::signal::unix::{SignalKind, signal};

/// Over how long the clients are sent away at the end.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut end = signal(SignalKind::terminate())?;
    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let redis = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let bus = env::var("BUS").unwrap_or_else(|_| "local".to_owned());
    let adapter: Arc<dyn Adapter> = match bus.as_str() {
        "local" => Arc::new(Local::new()),
        "redis" => Arc::new(Redis::connect(&redis).await?),
        "streams" => Arc::new(Streams::connect(&redis).await?),
        other => return Err(format!("BUS is {other:?}, not redis, streams or local").into()),
    };
    let io = Server::new(Options {
        engine: engine::Options {
            ping_interval: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(3),
            cors: Some(Cors::default()),
            ..engine::Options::default()
        },
        adapter,
        recovery: (bus != "redis").then(Recovery::default),
        ..Options::default()
    });
    io.on_connection(|socket: Socket| async move { serve(&socket) });

    let health = |request: http::Request<_>| async move {
        let mut response = Response::default();
        if request.uri().path() != "/health" {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        response
    };
    let listening = io.bind_with(("127.0.0.1", port), ListenOptions::default(), health).await?;
    println!("listening {}", listening.addr().port());
    if env::args().any(|word| word == "--end-with-stdin") {
        std::thread::spawn(|| {
            drop(std::io::stdin().read_to_end(&mut Vec::new()));
            std::process::exit(0);
        });
    }
    end.recv().await;
    listening.close(CLOSE_WITHIN).await;
    Ok(())
}

fn serve(socket: &Socket) {
    socket.on("join", |socket: Socket, room: String, ack: Ack| async move {
        socket.join(room);
        ack.send(()).ok();
    });
    socket.on("send", |socket: Socket, room: String, payload: Value, ack: Ack| async move {
        // It is queued now, so that the events of a client keep their order; who waits for the bus holds nobody up.
        let queued = socket.namespace().to(room).emit_confirmed("msg", (payload,));
        tokio::spawn(async move { ack.send(queued.await.is_ok()) });
    });
}
