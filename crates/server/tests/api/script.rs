//! Runs a script with a real client against servers of this process.

#![allow(dead_code, clippy::allow_attributes, reason = "each suite uses a part of this")]

use std::process::Stdio;

use limpet_server::{Listening, Options, Server};
use limpet_testkit::wait::PATIENCE;
use tokio::process::Command;

/// What scripts can use: clients of 4.8 and 2.5, the addresses, and helpers that wait for something.
const PRELUDE: &str = r#"
import { io as connect4 } from "socket.io-client";
import connect2 from "socket.io-client-2";
import assert from "node:assert/strict";
const urls = process.argv.slice(1);
const sockets = [];
const open = (path = "", options = {}, node = 0) => {
    const socket = connect4(urls[node] + path, { forceNew: true, reconnection: false, ...options });
    sockets.push(socket);
    return socket;
};
const open2 = (path = "", options = {}) => {
    const socket = connect2(urls[0] + path, { forceNew: true, reconnection: false, ...options });
    sockets.push(socket);
    return socket;
};
const once = (socket, name) => new Promise((resolve) => socket.once(name, (...values) => resolve(values)));
const connected = async (...args) => {
    const socket = open(...args);
    await once(socket, "connect");
    return socket;
};
const collect = (socket, name) => {
    const seen = [];
    socket.on(name, (...values) => seen.push(values));
    return seen;
};
const gone = async (socket) => (await once(socket, "disconnect"))[0];
const ask = (socket, name, ...values) => socket.timeout(10000).emitWithAck(name, ...values);
"#;

/// Lets what was said last leave; a client that a test has stopped reading does not hold the end up.
const END: &str = r#"
sockets.forEach((socket) => socket.close());
setTimeout(() => process.exit(0), 500).unref();
"#;

/// Starts a server at a free port.
pub(crate) async fn listen(server: &Server) -> Listening {
    server.bind("127.0.0.1:0").await.expect("a port")
}

/// A server with the default options, at a free port.
pub(crate) async fn start() -> (Server, Listening) {
    let server = Server::new(Options::default());
    let listening = listen(&server).await;
    (server, listening)
}

/// Runs a script against servers of this process; fails when it does.
pub(crate) fn run(listening: &[&Listening], script: &'static str) -> impl Future<Output = ()> + use<> {
    run_at(listening.iter().map(|one| format!("http://{}", one.addr())).collect(), script)
}

/// Runs a script against servers at these URLs; fails when it does.
pub(crate) async fn run_at(urls: Vec<String>, script: &str) {
    let code = format!("{PRELUDE}\n{script}\n{END}");
    let mut command = Command::new("node");
    command.args(["--input-type=module", "--eval", &code]).args(urls);
    command.current_dir(limpet_testkit::peers::folder().join("node"));
    command.stdin(Stdio::null()).stdout(Stdio::inherit()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("the script ends in time").expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
