//! The shapes of handlers that people write compile.

use std::time::Duration;

use limpet_server::{Ack, AckError, ConnectError, DisconnectReason, Event, Options, Server, Socket};
use serde_json::Value;

#[test]
fn handlers_of_every_shape_are_taken() {
    let io = Server::new(Options::default());
    io.middleware(|socket: Socket| async move {
        if socket.handshake().query("token").is_some() { Ok(()) } else { Err(ConnectError::new("no token")) }
    });
    io.on_connection(|socket: Socket| async move {
        socket.on("nothing", |_: Socket| async {});
        socket.on("say", |socket: Socket, text: String, n: u32| async move {
            socket.to("room").emit("said", (text, n)).ok();
        });
        socket.on("sum", |_: Socket, a: i64, b: i64, ack: Ack| async move {
            ack.send(a + b).ok();
        });
        socket.on(String::from("whole"), |_: Socket, first: Option<Value>, event: Event| async move {
            assert_eq!(first.is_none(), event.is_empty());
        });
        socket.on("six", |_: Socket, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: Ack| async {});
        socket.on("named", named);
        socket.on_any(|_: Socket, event: Event| async move { drop(event.name().into_owned()) });
        socket.on_any_outgoing(|_, event| drop(event.name().into_owned()));
        socket.middleware(|event: &Event| if event.name() == "bad" { Err("bad") } else { Ok(()) });
        socket.on_disconnecting(|socket: Socket, _: DisconnectReason| async move { drop(socket.rooms()) });
        socket.on_disconnect(|_: Socket, reason: DisconnectReason| async move { drop(reason.to_string()) });
        let answer: Result<u32, AckError> = socket.timeout(Duration::from_secs(1)).emit_with_ack("q", ("a", 1)).await;
        drop(answer);
        socket.join(["a", "b"]);
        socket.except("b").volatile().compress(false).emit("x", ()).ok();
    });
    io.of_matching(|name: &str, auth: &Value| name.starts_with("/room-") && auth["ok"] == true)
        .on_connection(|_: Socket| async {});
    io.on_server_event("ev", |event| async move { event.reply(event.get::<Value>(0).ok()).unwrap_or_default() });
}

async fn named(socket: Socket, text: String) {
    socket.emit("echo", text).ok();
}
