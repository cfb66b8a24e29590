//! The application of `limpet-bench server` on socketioxide and axum: one thread, default options.
//!
//! Listens on the address of its argument and prints `listening PORT`. `echo` is sent back, `ask` is acknowledged, `news` goes to everybody, and `burst` four times.

use axum::serve::ListenerExt as _;
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    if std::env::args().any(|argument| argument == "--version") {
        println!("socketioxide {}", include_str!("../Cargo.lock").split("name = \"socketioxide\"\nversion = \"").nth(1).unwrap_or("?").split('"').next().unwrap_or("?"));
        return Ok(());
    }
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on("echo", async |socket: SocketRef, Data::<Value>(text)| {
            let _ = socket.emit("echo", &text);
        });
        socket.on("ask", async |Data::<Value>(text), ack: AckSender| {
            let _ = ack.send(&text);
        });
        socket.on("news", async |io: SocketIo, Data::<Value>(text)| {
            let _ = io.emit("news", &text).await;
        });
        socket.on("burst", async |io: SocketIo, Data::<Value>(text)| {
            for _ in 0..4 {
                let _ = io.emit("news", &text).await;
            }
        });
    });
    let app = axum::Router::new().layer(layer);
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("{address}:0")).await?;
    println!("listening {}", listener.local_addr()?.port());
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await
}
