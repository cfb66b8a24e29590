//! The application of `limpet-bench server` on Limpet: one thread, default options, as its users would write it.
//!
//! Listens on the address of its argument and prints `listening PORT`. `echo` is sent back, `ask` is acknowledged, `news` goes to everybody, and `burst` four times.

use limpet_server::{Ack, Options, Server, Socket};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    if std::env::args().any(|argument| argument == "--version") {
        println!("Limpet {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let io = Server::new(Options::default());
    io.on_connection(|socket: Socket| async move {
        socket.on("echo", |socket: Socket, text: String| async move {
            let _ = socket.emit("echo", text);
        });
        socket.on("ask", |_: Socket, text: String, ack: Ack| async move {
            let _ = ack.send(text);
        });
        socket.on("news", |socket: Socket, text: String| async move {
            let _ = socket.namespace().emit("news", text);
        });
        socket.on("burst", |socket: Socket, text: String| async move {
            for _ in 0..4 {
                let _ = socket.namespace().emit("news", &text);
            }
        });
    });
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1".to_owned());
    let listening = io.bind(&format!("{address}:0")).await?;
    println!("listening {}", listening.addr().port());
    std::future::pending().await
}
