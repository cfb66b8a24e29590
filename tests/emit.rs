//! `limpet emit` reaches the clients of real Node clusters and real python-socketio servers.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use limpet_testkit::conformance::{Maker, Subject};
use limpet_testkit::listener::Listener;
use limpet_testkit::peers;
use limpet_testkit::raw::RawClient;
use limpet_testkit::redis::Redis;
use serde_json::json;

/// Where nodes hear requests; they subscribe to it with the other channels.
const REQUESTS: &str = "socket.io-request#/other#";

/// Runs `limpet emit` to its end.
fn emit(redis: &Redis, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limpet"));
    command.arg("emit").env("LIMPET_BUS", redis.url()).args(arguments);
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

fn listener(address: SocketAddr, namespace: &str, rooms: &str) -> Listener {
    let mut arguments = vec!["--namespace", namespace];
    if !rooms.is_empty() {
        arguments.extend(["--join", rooms]);
    }
    Listener::start(address, &arguments).unwrap()
}

#[test]
fn clients_of_node_hear_it() {
    let redis = Redis::start().unwrap();
    let nodes = ["a", "b"].map(|name| cluster_node(&redis, name));
    let mut first = listener(nodes[0].addresses[0], "/", "lobby,red");
    let mut second = listener(nodes[1].addresses[0], "/", "lobby");
    let mut other = listener(nodes[1].addresses[0], "/other", "");

    emitted(&redis, &["hi", "\"all\"", "-1", "{\"größe\":[null,1.5]}"]);
    for client in [&mut first, &mut second] {
        assert_eq!(client.event().unwrap(), json!(["hi", "all", -1, {"größe": [null, 1.5]}]));
    }
    emitted(&redis, &["--room", "lobby", "--except", "red", "not-red"]);
    assert_eq!(second.event().unwrap(), json!(["not-red"]));
    emitted(&redis, &["--room", &second.id, "--volatile", "to-one"]);
    assert_eq!(second.event().unwrap(), json!(["to-one"]));
    // Ids of sockets may begin with a dash.
    emitted(&redis, &["--room", "-n", "--except", "-x", "nobody"]);
    emitted(&redis, &["--namespace", "/other", "elsewhere"]);
    assert_eq!(other.event().unwrap(), json!(["elsewhere"]));

    emitted(&redis, &["--room", "red", "--join", "blue"]);
    emitted(&redis, &["--room", "blue", "blue"]);
    assert_eq!(first.event().unwrap(), json!(["blue"]));
    emitted(&redis, &["--room", "red", "--leave", "blue"]);
    emitted(&redis, &["--room", "blue", "blue"]);
    emitted(&redis, &["mark"]);
    for client in [&mut first, &mut second] {
        assert_eq!(client.event().unwrap(), json!(["mark"]));
    }
    emitted(&redis, &["--room", "red", "--disconnect"]);
    assert_eq!(first.line().unwrap(), "disconnected io server disconnect");
}

#[test]
fn clients_of_nodes_that_share_streams_hear_it() {
    let redis = Redis::start().unwrap();
    let node = Subject::cluster_node(Maker::Node, "a", &redis.url(), &["--adapter", "streams"]).unwrap();
    redis.wait_for_listeners("socket.io#/other#", 1).unwrap();
    let mut client = listener(node.addresses[0], "/", "lobby");
    emitted(&redis, &["--streams", "hi", "\"all\"", "{\"größe\":[null,1.5]}"]);
    assert_eq!(client.event().unwrap(), json!(["hi", "all", {"größe": [null, 1.5]}]));
    emitted(&redis, &["--streams=socket.io", "--room", "lobby", "--except", "red", "to-some"]);
    assert_eq!(client.event().unwrap(), json!(["to-some"]));
    emitted(&redis, &["--streams", "--room", "lobby", "--join", "blue"]);
    emitted(&redis, &["--streams", "--room", "blue", "blue"]);
    assert_eq!(client.event().unwrap(), json!(["blue"]));
    emitted(&redis, &["--streams", "--server-side", "told", "1"]);
    emitted(&redis, &["--streams", "--room", "blue", "--disconnect"]);
    assert_eq!(client.line().unwrap(), "disconnected io server disconnect");
    let other = emit(&redis, &["--streams=other", "--namespace", "/nowhere", "hi"], "");
    assert!(String::from_utf8_lossy(&other.stderr).contains("nobody listens"));
}

#[test]
fn lines_are_emitted_in_their_order() {
    let redis = Redis::start().unwrap();
    let node = cluster_node(&redis, "a");
    let mut client = listener(node.addresses[0], "/", "lobby");
    let lines = "[\"n\",1]\n\n{\"event\":\"n\",\"args\":[2,\"x\"],\"rooms\":[\"lobby\"]}\n{\"event\":\"n\",\"rooms\":[\"none\"]}\n[\"n\",3]\n";
    let output = emit(&redis, &["--lines"], lines);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for wanted in [json!(["n", 1]), json!(["n", 2, "x"]), json!(["n", 3])] {
        assert_eq!(client.event().unwrap(), wanted);
    }
    let output = emit(&redis, &["--lines"], "[\"n\",4]\n[5]\n");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("line 2: a list begins with the event's name"), "{said}");
    assert_eq!(client.event().unwrap(), json!(["n", 4]));
}

#[test]
fn the_line_that_redis_refuses_is_named() {
    let redis = Redis::start().unwrap();
    let mut admin = RawClient::connect(redis.address).unwrap();
    admin.send(b"ACL SETUSER ada on >p resetchannels &socket.io#/#a# ~* +@all\r\nQUIT\r\n").unwrap();
    assert_eq!(admin.read_to_end().unwrap(), b"+OK\r\n+OK\r\n");
    let to = |room| format!("{{\"event\":\"n\",\"rooms\":[\"{room}\"]}}\n");
    let lines = format!("{}\n{}{}{}", to("a").repeat(1000), to("a"), to("b"), to("a"));
    let ada = format!("redis://ada:p@{}", redis.address);
    let output = emit(&redis, &["--bus", &ada, "--lines"], &lines);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("line 1003: ") && said.contains("permissions"), "{said}");
    // The last line needs no end.
    let output = emit(&redis, &["--bus", &ada, "--lines"], to("a").trim_end());
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn clients_of_python_hear_it() {
    let redis = Redis::start().unwrap();
    let server = peers::flask_server("webapp-1", &redis.url()).unwrap();
    let mut client = listener(server.address, "/", "");
    redis.wait_for_listeners("flask-socketio", 1).unwrap();
    emitted(&redis, &["--python=flask-socketio", "hi", "\"there\"", "2"]);
    assert_eq!(client.event().unwrap(), json!(["hi", "there", 2]));
    let id = client.id.clone();
    let emits = |words: &[&str]| emitted(&redis, &[&["--python=flask-socketio"], words].concat());
    emits(&["--room", &id, "--join", "blue"]);
    emits(&["--room", "blue", "in-blue"]);
    assert_eq!(client.event().unwrap(), json!(["in-blue"]));
    emits(&["--room", "blue", "--except", &id, "not-you"]);
    emits(&["--room", &id, "--leave", "blue"]);
    emits(&["--room", "blue", "left-blue"]);
    emits(&["--room", &id, "you"]);
    assert_eq!(client.event().unwrap(), json!(["you"]));
    emits(&["--room", &id, "--disconnect"]);
    assert!(client.line().unwrap().starts_with("disconnected "));
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
    let (code, text) = said(&["disconnect"]);
    assert!(code == Some(1) && text.contains("may not be named connect"), "{text}");
    let (code, text) = said(&["--server-side", "--room", "x", "hi"]);
    assert!(code == Some(2) && text.contains("cannot be used with"), "{text}");
    for (line, expected) in [("5", "line 1: a line is a list"), ("{}", "line 1: missing field `event`")] {
        let text = String::from_utf8_lossy(&emit(&redis, &["--lines"], line).stderr).into_owned();
        assert!(text.contains(expected), "{text}");
    }
    let (code, text) = said(&["--python", "--join", "x"]);
    assert!(code == Some(1) && text.contains("single sockets"), "{text}");
    let gone = Command::new(env!("CARGO_BIN_EXE_limpet"))
        .args(["emit", "--bus", "redis://127.0.0.1:1", "hi"])
        .output()
        .unwrap();
    assert_eq!(gone.status.code(), Some(1));
    let text = String::from_utf8_lossy(&gone.stderr);
    assert!(text.contains("the bus failed") && text.matches("refused").count() == 1, "{text}");
}
