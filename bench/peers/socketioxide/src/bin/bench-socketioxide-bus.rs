//! The application of `limpet-bench bus` on socketioxide with its redis adapter: one thread, default options.
//!
//! `bench-socketioxide-bus redis REDIS_URL` prints `listening PORT`. `join` (room) is acknowledged; `say` (room, texts) becomes an
//! event `news` for the room with each text, and is acknowledged.

use axum::serve::ListenerExt as _;
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::adapter::Adapter;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide_redis::{RedisAdapter, RedisAdapterCtr};

fn on_connect<A: Adapter>(socket: &SocketRef<A>) {
    socket.on("join", async |socket: SocketRef<A>, Data::<String>(room), ack: AckSender<A>| {
        socket.join(room);
        let _ = ack.send(&true);
    });
    socket.on("say", async |io: SocketIo<A>, Data::<(String, Vec<Value>)>((room, texts)), ack: AckSender<A>| {
        for text in &texts {
            let _ = io.to(room.clone()).emit("news", text).await;
        }
        let _ = ack.send(&true);
    });
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some("--version") {
        let version = |name: &str| {
            let lock = include_str!("../../Cargo.lock");
            let found = lock.split(&format!("name = \"{name}\"\nversion = \"")).nth(1).and_then(|rest| rest.split('"').next());
            found.unwrap_or("?").to_owned()
        };
        println!("socketioxide {}, socketioxide-redis {}", version("socketioxide"), version("socketioxide-redis"));
        return Ok(());
    }
    let url = words.next().ok_or("the URL of a Redis is needed")?;
    let client = redis::Client::open(format!("{url}?protocol=resp3"))?;
    let adapter = RedisAdapterCtr::new_with_redis(&client).await?;
    let (layer, io) = SocketIo::builder().with_adapter::<RedisAdapter<_>>(adapter).build_layer();
    io.ns("/", async |socket: SocketRef<_>| on_connect(&socket)).await?;
    let app = axum::Router::new().layer(layer);
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    println!("listening {}", listener.local_addr()?.port());
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await?;
    Ok(())
}
