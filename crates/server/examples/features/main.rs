//! A server that has every feature, so that suites can ask for each: `tests/peers/node/features-suite.js`.
//!
//! With `--nodes N` it is N servers on ports of their own, joined inside the process. Prints `listening PORT PORT ...`.
//! The line `close` on standard input closes them; the end of standard input ends the process.

mod handlers;
mod mount;
mod same;
mod settings;

use std::io::BufRead as _;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use limpet_server::{ConnectError, Local, Namespace, NodeId, Options, Server, ServerEvent, Socket};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::handlers::{Refused, Shared, lock, serve};
use crate::mount::Mounted;
use crate::settings::Settings;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::read()?;
    let bus = Arc::new(Local::new());
    let shared = Arc::<Shared>::default();
    let mut nodes = Vec::new();
    for index in 1..=settings.nodes {
        let node = NodeId::from(format!("node-{index}").as_str());
        let options = Options { adapter: bus.clone(), node: node.clone(), ..settings.options() };
        nodes.push(Mounted::start(server(options, &shared), settings.in_axum).await?);
    }
    let ports: Vec<String> = nodes.iter().map(|node| node.port().to_string()).collect();
    println!("listening {}", ports.join(" "));

    let mut words = words();
    while let Some(word) = words.recv().await {
        if word == "close" {
            for node in nodes.drain(..) {
                node.close(Duration::from_millis(200)).await;
            }
            println!("closed");
        }
    }
    Ok(())
}

fn server(options: Options, shared: &Arc<Shared>) -> Server {
    let io = Server::new(options);
    hooks(&io, shared);
    for name in ["/", "/custom"] {
        let namespace = io.of(name);
        offer(&namespace, shared);
        between_nodes(&namespace);
    }
    let guarded = io.of("/guarded");
    guarded.middleware(|socket: Socket| async move {
        socket.set_data("seen", &["first"]);
        Ok(())
    });
    guarded.middleware(|socket: Socket| async move {
        socket.set_data("seen", &["first", "second"]);
        let auth: Value = socket.handshake().auth().unwrap_or_default();
        if auth["token"] == "open" {
            return Ok(());
        }
        Err(ConnectError::new("not allowed").with_data(&json!({ "code": 7, "hint": "say open" })))
    });
    offer(&guarded, shared);

    let is_room = |name: &str| {
        name.strip_prefix("/room-")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let shared = shared.clone();
    io.of_matching(move |name, _auth| is_room(name)).on_connection(move |socket: Socket| {
        drop(socket.emit("welcome", socket.namespace().name()));
        serve(&socket, &shared);
        async {}
    });
    io
}

/// What sees the requests themselves: headers of the answers, refusals.
fn hooks(io: &Server, shared: &Arc<Shared>) {
    let engine = io.engine();
    let node = HeaderValue::from_str(&io.node().to_string()).unwrap_or_else(|_| HeaderValue::from_static("?"));
    engine.on_headers(move |headers, _| drop(headers.insert("x-node", node.clone())));
    engine.on_initial_headers(|headers, _| drop(headers.insert("x-first", HeaderValue::from_static("yes"))));
    let shared = shared.clone();
    engine.on_connection_error(move |error| {
        lock(&shared.errors).push(Refused { code: error.code.number(), message: error.message.clone() });
    });
}

fn offer(namespace: &Namespace, shared: &Arc<Shared>) {
    let shared = shared.clone();
    namespace.on_connection(move |socket: Socket| {
        serve(&socket, &shared);
        async {}
    });
}

/// What the nodes say to one another.
fn between_nodes(namespace: &Namespace) {
    let own = namespace.clone();
    namespace.on_server_event("say", move |event: ServerEvent| {
        let heard: (Value, Value) = (event.get(0).unwrap_or_default(), event.get(1).unwrap_or_default());
        drop(own.local().emit("heard-server-side", (own.node().to_string(), heard.0, heard.1)));
        async {}
    });
    let own = namespace.clone();
    namespace.on_server_event("ask", move |event: ServerEvent| {
        let heard: (Value, Value) = (event.get(0).unwrap_or_default(), event.get(1).unwrap_or_default());
        drop(event.reply(json!({ "node": own.node().to_string(), "from": heard.0, "text": heard.1 })));
        async {}
    });
}

/// The lines of standard input.
fn words() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
