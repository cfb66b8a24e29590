//! Real peers of `tests/peers`: Socket.IO servers and clients on Node, Python and in Chromium, plain WebSocket ones.
//!
//! Servers print `listening PORT`; clients print one JSON line, the [`Verdict`]. `cargo xtask test` installs them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::http;
use crate::process::Process;

/// A server of `tests/peers`, an endpoint behind the balancer.
#[derive(Debug)]
pub struct Server {
    /// The name it gives itself in `whoami` and `/info`.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The process, to stop, kill or read it.
    pub process: Process,
}

impl Server {
    fn start(name: &str, mut command: Command, arguments: &[&str]) -> Result<Self> {
        command.args(["--end-with-stdin", "--name", name]).args(arguments);
        let process = Process::spawn(name, &mut command)?;
        let port = process.wait_for("its port", |line| line.strip_prefix("listening ")?.parse().ok())?;
        Ok(Self { name: name.to_owned(), address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), process })
    }

    /// Reads `/info`: name, live sessions, sessions ever opened, numbered messages received, gaps between them.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn info(&self) -> Result<Value> {
        http::get_json(self.address, "/info")
    }

    /// The number of sessions that are open now.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn sessions(&self) -> Result<u64> {
        self.info()?["sessions"].as_u64().context("/info has no number of sessions")
    }
}

/// Arguments of a Socket.IO server: a heartbeat each second, and time enough that a busy machine cuts no session.
pub const QUICK_HEARTBEATS: [&str; 4] = ["--ping-interval", "1000", "--ping-timeout", "30000"];

/// The same for a server that clients of Engine.IO 3 can talk to as well.
pub const QUICK_HEARTBEATS_OF_BOTH_VERSIONS: [&str; 5] =
    ["--eio3", QUICK_HEARTBEATS[0], QUICK_HEARTBEATS[1], QUICK_HEARTBEATS[2], QUICK_HEARTBEATS[3]];

/// Starts a Socket.IO server on Node.
///
/// # Errors
/// When it does not start.
pub fn node_server(name: &str, arguments: &[&str]) -> Result<Server> {
    Server::start(name, node("server.js")?, arguments)
}

/// Starts a Socket.IO server on Node for each name.
///
/// # Errors
/// When one does not start.
pub fn node_servers(names: &[&str], arguments: &[&str]) -> Result<Vec<Server>> {
    names.iter().map(|name| node_server(name, arguments)).collect()
}

/// The addresses of some servers, as the balancer takes them.
#[must_use]
pub fn addresses(servers: &[Server]) -> Vec<SocketAddr> {
    servers.iter().map(|server| server.address).collect()
}

/// Starts a python-socketio server.
///
/// # Errors
/// When it does not start.
pub fn python_server(name: &str, arguments: &[&str]) -> Result<Server> {
    Server::start(name, python("server.py")?, arguments)
}

/// Starts a Flask-SocketIO server that shares the message queue of this Redis URL with others.
///
/// # Errors
/// When it does not start.
pub fn flask_server(name: &str, redis: &str) -> Result<Server> {
    Server::start(name, python("flask_server.py")?, &["--redis", redis])
}

/// Starts a plain WebSocket echo server.
///
/// # Errors
/// When it does not start.
pub fn ws_server(name: &str, arguments: &[&str]) -> Result<Server> {
    Server::start(name, node("ws-server.js")?, arguments)
}

/// A running client of `tests/peers`.
#[derive(Debug)]
pub struct Client {
    /// The process, for its commands and output.
    pub process: Process,
}

impl Client {
    pub(crate) fn start(name: &str, mut command: Command, url: &str, arguments: &[&str]) -> Result<Self> {
        command.args(["--url", url]).args(arguments);
        Ok(Self { process: Process::spawn(name, &mut command)? })
    }

    /// Waits until all sessions are connected.
    ///
    /// # Errors
    /// When the client ends before.
    pub fn connected(&self) -> Result<()> {
        self.process.wait_for("`connected`", |line| (line == "connected").then_some(()))
    }

    /// Directs all later requests to these addresses, at random, and waits until the former ones have none in flight.
    ///
    /// # Errors
    /// When the client ends before.
    pub fn retarget(&mut self, targets: &[SocketAddr]) -> Result<()> {
        let before = self.process.line_count();
        self.process.send_line(&format!("targets {}", ports(targets)))?;
        self.process.wait_for_after(before, "`targets settled`", |line| (line == "targets settled").then_some(()))
    }

    /// Lets a client that was started with `--hold` come to its end.
    ///
    /// # Errors
    /// When the client has ended.
    pub fn finish(&mut self) -> Result<()> {
        self.process.send_line("finish")
    }

    /// Waits for the end and returns the verdict, good or bad.
    ///
    /// # Errors
    /// When the client ends without one.
    pub fn verdict(mut self) -> Result<Verdict> {
        self.process.wait()?;
        let line = self.process.wait_for("a result", |line| line.starts_with('{').then(|| line.to_owned()))?;
        Ok(Verdict { json: serde_json::from_str(&line)? })
    }
}

/// Starts a client on Node: `socket.io-client` 4, or 2.5 with `--eio 3`.
///
/// # Errors
/// When it does not start.
pub fn node_client(url: &str, arguments: &[&str]) -> Result<Client> {
    Client::start("client.js", node("client.js")?, url, arguments)
}

/// Starts a python-socketio client.
///
/// # Errors
/// When it does not start.
pub fn python_client(url: &str, arguments: &[&str]) -> Result<Client> {
    Client::start("client.py", python("client.py")?, url, arguments)
}

/// Starts sessions of python-socketio that each say something and hear what all say ([`Client::finish`] begins it).
///
/// # Errors
/// When they do not start.
pub fn flask_client(url: &str, arguments: &[&str]) -> Result<Client> {
    Client::start("flask_client.py", python("flask_client.py")?, url, arguments)
}

/// Starts a plain WebSocket client.
///
/// # Errors
/// When it does not start.
pub fn ws_client(url: &str, arguments: &[&str]) -> Result<Client> {
    Client::start("ws-client.js", node("ws-client.js")?, url, arguments)
}

/// Starts a WebSocket client on Node that goes through all that `ws` can send to an echo.
///
/// # Errors
/// When it does not start.
pub fn ws_echo_client(url: &str) -> Result<Client> {
    Client::start("ws-echo.js", node("ws-echo.js")?, url, &[])
}

/// The same in Python, with wsproto.
///
/// # Errors
/// When it does not start.
pub fn python_ws_echo_client(url: &str) -> Result<Client> {
    Client::start("ws_echo.py", python("ws_echo.py")?, url, &[])
}

/// Starts Chromium with a page of another origin, cookies blocked.
///
/// # Errors
/// When it does not start.
pub fn browser(url: &str, arguments: &[&str]) -> Result<Client> {
    Client::start("browser.js", node("browser.js")?, url, arguments)
}

/// Starts Chromium with two users of the chat at this URL; it prints what is to be typed into the demonstration.
///
/// # Errors
/// When it does not start.
pub fn chat_browser(url: &str, arguments: &[&str]) -> Result<Client> {
    Client::start("chat-browser.js", node("chat-browser.js")?, url, arguments)
}

/// Starts Chromium with somebody who reads a room of the chat at this URL, in which much is said.
///
/// # Errors
/// When it does not start.
pub fn chat_reader(url: &str) -> Result<Client> {
    Client::start("chat-reader.js", node("chat-reader.js")?, url, &[])
}

/// The ports of some addresses as the clients take them: separated by commas.
#[must_use]
pub fn ports(addresses: &[SocketAddr]) -> String {
    let ports: Vec<_> = addresses.iter().map(|address| address.port().to_string()).collect();
    ports.join(",")
}

/// What a client saw: lost messages, refusals, disconnects, and where its sessions were.
#[derive(Clone, Debug)]
pub struct Verdict {
    json: Value,
}

impl Verdict {
    /// Whether nothing was lost, refused, cut or out of order.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.json["ok"] == true
    }

    /// All that it says.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// A number of the verdict by name, 0 if there is none; `nodes/a` reads the entry `a` of the object `nodes`.
    #[must_use]
    pub fn number(&self, path: &str) -> u64 {
        self.json.pointer(&format!("/{path}")).and_then(Value::as_u64).unwrap_or(0)
    }

    /// The sessions of each node, by name.
    #[must_use]
    pub fn nodes(&self) -> Vec<(String, u64)> {
        let nodes = self.json["nodes"].as_object();
        let counted = nodes.into_iter().flatten().map(|(name, count)| (name.clone(), count.as_u64().unwrap_or(0)));
        counted.collect()
    }

    /// How many cases of a suite had to be repeated because a busy machine missed a heartbeat.
    #[must_use]
    pub fn repeated(&self) -> usize {
        self.json["repeated"].as_array().map_or(0, Vec::len)
    }

    /// Fails the test unless [`Self::is_good`].
    ///
    /// # Panics
    /// When the verdict is bad, with all of it in the message.
    #[track_caller]
    pub fn assert_good(&self) {
        assert!(self.is_good(), "the client lost something: {:#}", self.json);
    }
}

/// The parsers of Socket.IO's own packages, which answer what `parsers.js` says.
#[derive(Debug)]
pub struct Parsers(Process);

impl Parsers {
    /// Starts them.
    ///
    /// # Errors
    /// When they do not start.
    pub fn start() -> Result<Self> {
        let process = Process::spawn("parsers", &mut node("parsers.js")?)?;
        process.wait_for("that it is ready", |line| (line == "ready").then_some(()))?;
        Ok(Self(process))
    }

    /// Asks a question and waits for the answer.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub fn ask(&mut self, question: &Value) -> Result<Value> {
        let before = self.0.line_count();
        self.0.send_line(&question.to_string())?;
        self.0.wait_for_after(before, "an answer", |line| serde_json::from_str(line).ok())
    }
}

/// The folder of the peers.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers")
}

pub(crate) fn node(script: &str) -> Result<Command> {
    let folder = folder().join("node");
    ensure!(folder.join("node_modules").is_dir(), "the Node peers are not installed: run `cargo xtask test`");
    let mut command = Command::new("node");
    command.arg(folder.join(script));
    Ok(command)
}

pub(crate) fn python(script: &str) -> Result<Command> {
    let folder = folder().join("python");
    let interpreter = folder.join(".venv/bin/python");
    ensure!(interpreter.is_file(), "the Python peers are not installed: run `cargo xtask test`");
    let mut command = Command::new(interpreter);
    command.arg(folder.join(script));
    Ok(command)
}
