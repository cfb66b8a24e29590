//! `limpet emit` reaches the clients of real Node clusters and real python-socketio servers.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use limpet_testkit::conformance::{Maker, Subject};
use limpet_testkit::process::Process;
use limpet_testkit::redis::Redis;
use limpet_testkit::{peers, process};
use serde_json::{Value, json};

/// Where nodes hear requests; they subscribe to it with the other channels.
const REQUESTS: &str = "socket.io-request#/other#";

/// Runs `limpet emit` to its end.
fn emit(redis: &Redis, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limpet"));
    command.args(["emit", "--bus", &redis.url()]).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("limpet starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).ok();
    child.wait_with_output().expect("limpet ends")
}

fn emitted(redis: &Redis, arguments: &[&str]) {
    let output = emit(redis, arguments, "");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Starts a node on Node, and waits until it hears what is published.
fn cluster_node(redis: &Redis, name: &str) -> Subject {
    let before = redis.listeners(REQUESTS).unwrap();
    let node = Subject::cluster_node(Maker::Node, name, &redis.url(), &[]).unwrap();
    redis.wait_for_listeners(REQUESTS, before + 1).unwrap();
    node
}

/// A client, and how much of what it heard was looked at.
struct Listener {
    process: Process,
    id: String,
    seen: usize,
}

impl Listener {
    fn start(address: SocketAddr, namespace: &str, rooms: &str) -> Self {
        let mut command = Command::new(process::program("node"));
        command.arg(peers::folder().join("node/listener.js"));
        command.args(["--url", &format!("http://{address}"), "--namespace", namespace, "--end-with-stdin"]);
        if !rooms.is_empty() {
            command.args(["--join", rooms]);
        }
        let process = Process::spawn("listener", &mut command).expect("node starts");
        let id =
            process.wait_for("its id", |line| Some(line.strip_prefix("connected ")?.to_owned())).expect("connects");
        let seen = process.line_count();
        Self { process, id, seen }
    }

    /// The next line.
    fn line(&mut self) -> String {
        let line = self.process.wait_for_after(self.seen, "an event", |line| Some(line.to_owned())).expect("hears");
        self.seen += 1;
        line
    }

    fn event(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"))
    }
}

#[test]
fn clients_of_node_hear_it() {
    let redis = Redis::start().unwrap();
    let nodes = ["a", "b"].map(|name| cluster_node(&redis, name));
    let mut first = Listener::start(nodes[0].addresses[0], "/", "lobby,red");
    let mut second = Listener::start(nodes[1].addresses[0], "/", "lobby");
    let mut other = Listener::start(nodes[1].addresses[0], "/other", "");

    emitted(&redis, &["hi", "\"all\"", "-1", "{\"größe\":[null,1.5]}"]);
    for client in [&mut first, &mut second] {
        assert_eq!(client.event(), json!(["hi", "all", -1, {"größe": [null, 1.5]}]));
    }
    emitted(&redis, &["--room", "lobby", "--except", "red", "not-red"]);
    assert_eq!(second.event(), json!(["not-red"]));
    emitted(&redis, &["--room", &second.id, "--volatile", "to-one"]);
    assert_eq!(second.event(), json!(["to-one"]));
    // Ids of sockets may begin with a dash.
    emitted(&redis, &["--room", "-n", "--except", "-x", "nobody"]);
    emitted(&redis, &["--namespace", "/other", "elsewhere"]);
    assert_eq!(other.event(), json!(["elsewhere"]));

    emitted(&redis, &["--room", "red", "--join", "blue"]);
    emitted(&redis, &["--room", "blue", "blue"]);
    assert_eq!(first.event(), json!(["blue"]));
    emitted(&redis, &["--room", "red", "--leave", "blue"]);
    emitted(&redis, &["--room", "blue", "blue"]);
    emitted(&redis, &["mark"]);
    for client in [&mut first, &mut second] {
        assert_eq!(client.event(), json!(["mark"]));
    }
    emitted(&redis, &["--room", "red", "--disconnect"]);
    assert_eq!(first.line(), "disconnected io server disconnect");
}

#[test]
fn clients_of_nodes_that_share_streams_hear_it() {
    let redis = Redis::start().unwrap();
    let node = Subject::cluster_node(Maker::Node, "a", &redis.url(), &["--adapter", "streams"]).unwrap();
    redis.wait_for_listeners("socket.io#/other#", 1).unwrap();
    let mut client = Listener::start(node.addresses[0], "/", "lobby");
    emitted(&redis, &["--streams", "hi", "\"all\"", "{\"größe\":[null,1.5]}"]);
    assert_eq!(client.event(), json!(["hi", "all", {"größe": [null, 1.5]}]));
    emitted(&redis, &["--streams=socket.io", "--room", "lobby", "--except", "red", "to-some"]);
    assert_eq!(client.event(), json!(["to-some"]));
    emitted(&redis, &["--streams", "--room", "lobby", "--join", "blue"]);
    emitted(&redis, &["--streams", "--room", "blue", "blue"]);
    assert_eq!(client.event(), json!(["blue"]));
    emitted(&redis, &["--streams", "--server-side", "told", "1"]);
    emitted(&redis, &["--streams", "--room", "blue", "--disconnect"]);
    assert_eq!(client.line(), "disconnected io server disconnect");
    let other = emit(&redis, &["--streams=other", "--namespace", "/nowhere", "hi"], "");
    assert!(String::from_utf8_lossy(&other.stderr).contains("nobody listens"));
}

#[test]
fn lines_are_emitted_in_their_order() {
    let redis = Redis::start().unwrap();
    let node = cluster_node(&redis, "a");
    let mut client = Listener::start(node.addresses[0], "/", "lobby");
    let lines = "[\"n\",1]\n\n{\"event\":\"n\",\"args\":[2,\"x\"],\"rooms\":[\"lobby\"]}\n{\"event\":\"n\",\"rooms\":[\"none\"]}\n[\"n\",3]\n";
    let output = emit(&redis, &["--lines"], lines);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for wanted in [json!(["n", 1]), json!(["n", 2, "x"]), json!(["n", 3])] {
        assert_eq!(client.event(), wanted);
    }
    let output = emit(&redis, &["--lines"], "[\"n\",4]\n[5]\n");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("line 2: a list begins with the event's name"), "{said}");
    assert_eq!(client.event(), json!(["n", 4]));
}

#[test]
fn clients_of_python_hear_it() {
    let redis = Redis::start().unwrap();
    let server = peers::flask_server("webapp-1", &redis.url()).unwrap();
    let mut client = Listener::start(server.address, "/", "");
    redis.wait_for_listeners("flask-socketio", 1).unwrap();
    emitted(&redis, &["--python=flask-socketio", "hi", "\"there\"", "2"]);
    assert_eq!(client.event(), json!(["hi", "there", 2]));
    emitted(&redis, &["--python=flask-socketio", "--room", &client.id, "--disconnect"]);
    assert!(client.line().starts_with("disconnected "));
}

#[test]
fn what_is_wrong_is_said() {
    let redis = Redis::start().unwrap();
    let said = |arguments: &[&str]| {
        let output = emit(&redis, arguments, "");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = said(&["hi", "there"]);
    assert!(code == Some(2) && text.contains("text needs its quotes: '\"there\"'"), "{text}");
    let (code, text) = said(&[]);
    assert!(code == Some(2) && text.contains("EVENT"), "{text}");
    let (code, text) = said(&["hi"]);
    assert!(code == Some(0) && text.contains("nobody listens"), "{text}");
    let (code, text) = said(&["--python", "--join", "x"]);
    assert!(code == Some(1) && text.contains("single sockets"), "{text}");
    let gone = Command::new(env!("CARGO_BIN_EXE_limpet"))
        .args(["emit", "--bus", "redis://127.0.0.1:1", "hi"])
        .output()
        .unwrap();
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("the bus failed"), "{gone:?}");
}
