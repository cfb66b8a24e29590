//! The application of `limpet-bench bus` on Limpet: one thread, default options.
//!
//! `limpet-bench-bus redis|sharded|streams|recovery REDIS_URL` prints `listening PORT`. `join` (room) is acknowledged; `say` (room, texts)
//! becomes an event `news` for the room with each text, and is acknowledged.

use std::error::Error;
use std::sync::Arc;

use limpet_bus::{Adapter, Redis, RedisOptions, Sharding, Streams};
use limpet_server::{Ack, Options, Recovery, Server, Socket};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let bus = words.next().unwrap_or_default();
    if bus == "--version" {
        println!("Limpet {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let url = words.next().ok_or("the URL of a Redis is needed")?;
    let adapter: Arc<dyn Adapter> = match bus.as_str() {
        "redis" => Arc::new(Redis::connect(&url).await?),
        "sharded" => {
            let mut options = RedisOptions::default();
            options.sharded = Some(Sharding::Dynamic);
            Arc::new(Redis::connect_with(&url, options).await?)
        }
        "streams" | "recovery" => Arc::new(Streams::connect(&url).await?),
        other => return Err(format!("no such bus: {other}").into()),
    };
    let recovery = (bus == "recovery").then(Recovery::default);
    let io = Server::new(Options { adapter, recovery, ..Options::default() });
    io.on_connection(|socket: Socket| async move {
        socket.on("join", |socket: Socket, room: String, ack: Ack| async move {
            socket.join(room);
            let _ = ack.send(true);
        });
        socket.on("say", |socket: Socket, room: String, texts: Vec<String>, ack: Ack| async move {
            let room = socket.namespace().to(room);
            for text in texts {
                let _ = room.emit("news", text);
            }
            let _ = ack.send(true);
        });
    });
    let listening = io.bind("127.0.0.1:0").await?;
    println!("listening {}", listening.addr().port());
    std::future::pending().await
}
