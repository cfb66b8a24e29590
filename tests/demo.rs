//! `limpet demo` and `limpet chat` from outside: what they say, serve and do, and how they end.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use limpet_testkit::http;
use limpet_testkit::limpet::Demo;
use limpet_testkit::process::Process;
use limpet_testkit::raw::RawClient;
use limpet_testkit::redis::Redis;
use limpet_testkit::wait;
use rustix::process::Signal;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

fn demo() -> Demo {
    Demo::start(BINARY).expect("the demonstration starts")
}

/// Types a command and waits for a line of the answer.
fn type_and_read(demo: &mut Demo, command: &str, answer: &str) -> String {
    let before = demo.process.line_count();
    demo.process.send_line(command).expect("it reads");
    let found = |line: &str| line.contains(answer).then(|| line.to_owned());
    demo.process.wait_for_after(before, &format!("{answer:?} after {command:?}"), found).expect("it answers")
}

/// Opens a session of Engine.IO without a client, and returns the status.
fn handshake(address: SocketAddr) -> u16 {
    http::get(address, "/socket.io/?EIO=4&transport=polling", &[]).expect("an answer").status
}

#[test]
fn it_says_what_to_open_and_serves_it() {
    let demo = demo();
    let output = demo.process.output();
    for line in ["in two windows", "/stats", "node 1 ", "node 2 ", "node 3 ", "stop 2", "drain 1"] {
        assert!(output.contains(line), "{line:?} is missing in\n{output}");
    }
    let get = |path: &str| http::get(demo.address, path, &[]).expect("an answer");
    let front = get("/");
    assert!(front.status == 302 && front.head.to_lowercase().contains("location: /sticky"), "{front:?}");
    let entry = get("/sticky");
    assert!(entry.status == 200 && entry.body.contains("Your name"), "{entry:?}");
    assert!(get("/sticky/chat").body.contains("app.js") && get("/sticky/mypage").body.contains("app.js"));
    assert!(get("/sticky/socket.io.min.js").body.starts_with("/*!\n * Socket.IO v4"));
    assert_eq!((get("/health").status, get("/health").body.as_str()), (200, "ok\n"));
    let headers = http::get(demo.address, "/headers", &["X-Test: <b>"]).expect("an answer");
    let shown = headers.body.to_lowercase();
    assert!(shown.contains("x-test: <b>") && shown.contains("x-forwarded-for: 127.0.0.1"), "{headers:?}");
    assert!(headers.head.to_lowercase().contains("content-type: text/plain"), "{headers:?}");
    let second = output.lines().find_map(|line| line.trim().strip_prefix("node 2   http://")).expect("node 2");
    let second = second.split_whitespace().next().expect("an address");
    assert!(get("/stats").body.contains(second), "the statistics lack {second}");
    assert_eq!(handshake(demo.address), 200);
}

#[test]
fn commands_act_on_the_nodes() {
    let mut demo = demo();
    type_and_read(&mut demo, "stop 2", "node 2 has ended");
    let stopped = type_and_read(&mut demo, "list", "node 2 ");
    assert!(stopped.contains("stopped"), "{stopped}");
    type_and_read(&mut demo, "stop 2", "does not run");
    type_and_read(&mut demo, "stop 1", "node 1 has ended");
    type_and_read(&mut demo, "kill 3", "the balancer was not told");
    wait::until("a refusal without nodes", || handshake(demo.address) == 503);

    type_and_read(&mut demo, "start 2", "node 2 takes users again");
    wait::until("a session with one node", || handshake(demo.address) == 200);
    let listed = type_and_read(&mut demo, "list", "node 2 ");
    assert!(listed.contains("running") && listed.split_whitespace().nth(2) == stopped.split_whitespace().nth(2));

    type_and_read(&mut demo, "add", "node 4 takes users");
    type_and_read(&mut demo, "drain 2", "gets no new users");
    type_and_read(&mut demo, "drain 2", "drains already");
    wait::until("sessions only on node 4", || handshake(demo.address) == 200);
    type_and_read(&mut demo, "start 2", "takes new users again");

    type_and_read(&mut demo, "stop 9", "there is no node 9; they are 1 to 4");
    type_and_read(&mut demo, "dance", "help shows them");
    type_and_read(&mut demo, &format!("{} stop 2", "x".repeat(2000)), "help shows them");
    assert!(type_and_read(&mut demo, "list", "node 2 ").contains("running"), "the rest of a long line was a command");
    type_and_read(&mut demo, "help", "end all");
    demo.process.send_line("quit").expect("it reads");
    assert!(demo.process.wait().expect("it ends").success());
}

#[test]
fn signals_end_it_cleanly() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut demo = demo();
        demo.process.signal(signal).expect("it runs");
        assert!(demo.process.wait().expect("it ends").success(), "{signal:?}");
        let output = demo.process.output();
        assert!(!output.contains("endpoint down"), "an end by {signal:?} raised an alarm:\n{output}");
    }
}

#[test]
fn without_a_terminal_it_runs_until_a_signal() {
    let mut command = Command::new(BINARY);
    command.args(["demo", "--listen", "127.0.0.1:0"]);
    let mut process = Process::spawn_with_stdin("limpet demo", &mut command, Stdio::null()).expect("it starts");
    let address: SocketAddr = process
        .wait_for("its listener", |line| line.strip_prefix("listener demo http://")?.parse().ok())
        .expect("it is ready");
    assert_eq!(handshake(address), 200);
    assert!(process.is_running().expect("the system tells"));
    assert!(process.terminate().expect("it ends").success());
}

#[test]
fn a_port_in_use_is_said_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = Command::new(BINARY).args(["demo", "--listen", &address]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&address) && text.contains("limpet demo --listen 127.0.0.1:8080"), "{text}");
}

/// One node of the chat, and where it listens.
fn chat(arguments: &[&str]) -> (Process, SocketAddr) {
    let mut command = Command::new(BINARY);
    command.args(["chat", "--listen", "127.0.0.1:0", "--name", "anemone"]).args(arguments);
    let process = Process::spawn("limpet chat", &mut command).expect("it starts");
    let address = process
        .wait_for("its address", |line| line.strip_prefix("chat anemone http://")?.parse().ok())
        .expect("it says where it listens");
    (process, address)
}

/// A page of the chat whose polls and posts are sent one by one.
struct Page {
    client: RawClient,
    target: String,
    /// What was polled so far.
    heard: String,
}

impl Page {
    /// Connects and opens the room `rocks`.
    fn open(address: SocketAddr, auth: &Value) -> Self {
        let target = "/socket.io/?EIO=4&transport=polling";
        let mut client = RawClient::connect(address).expect("it accepts");
        let handshake = client.get(target).expect("a handshake").text();
        let sid = handshake.split('"').nth(3).expect("a sid");
        let mut page = Self { client, target: format!("{target}&sid={sid}"), heard: String::new() };
        page.post(&format!("40{auth}"));
        page.poll_for("welcome");
        page.ask();
        page
    }

    /// The packets heard so far that begin with a text, read from their JSON on.
    fn packets(&self, start: &str) -> Vec<Value> {
        let packets = self.heard.split('\x1e').filter(|packet| packet.starts_with(start));
        packets.map(|packet| serde_json::from_str(&packet[2..]).expect("JSON")).collect()
    }

    fn post(&mut self, packet: &str) {
        let Self { client, target, .. } = self;
        let request = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{packet}", packet.len());
        client.send(request.as_bytes()).expect("sent");
        assert_eq!(client.response().expect("an answer").text(), "ok");
    }

    /// Polls until a text comes.
    fn poll_for(&mut self, text: &str) {
        loop {
            let answer = self.client.get(&self.target).expect("an answer to the poll");
            assert_eq!(answer.status, 200, "{}", answer.text());
            self.heard += &format!("{}\x1e", answer.text());
            if answer.text().contains(text) {
                return;
            }
        }
    }

    /// Asks for something and waits for the answer: everything sent before has been dealt with then.
    fn ask(&mut self) {
        self.post(r#"421["open",{"room":"rocks"}]"#);
        self.poll_for("431[");
    }
}

#[test]
fn a_page_between_two_polls_is_told_who_types() {
    let (mut process, address) = chat(&[]);
    let [mut anna, mut bert] = ["Anna", "Bert"].map(|name| Page::open(address, &json!({ "name": name })));
    bert.post(r#"42["typing",{"room":"rocks"},true]"#);
    bert.ask();
    anna.poll_for(r#""typing":true"#);
    assert!(process.terminate().expect("it ends").success());
}

#[test]
fn pages_survive_a_killed_node_where_nodes_share_streams() {
    let redis = Redis::start().expect("Redis");
    let [(first, first_address), (mut second, second_address)] =
        [(), ()].map(|()| chat(&["--bus", &redis.url(), "--streams"]));
    let anna = Page::open(first_address, &json!({ "name": "Anna" }));
    let connected = &anna.packets("40{")[0];
    let welcome = &anna.packets("42[\"welcome\"")[0];
    let offset = welcome.as_array().and_then(|event| event.last()).expect("its place in the log");
    first.signal(Signal::KILL).expect("it runs");
    let auth = json!({ "name": "Anna", "pid": connected["pid"], "offset": offset });
    assert_eq!(Page::open(second_address, &auth).packets("40{")[0]["sid"], connected["sid"]);
    assert!(second.terminate().expect("it ends").success());
}

#[test]
fn one_node_of_the_chat_serves_alone() {
    let (mut process, address) = chat(&[]);
    assert_eq!(http::get(address, "/health", &[]).expect("an answer").status, 200);
    assert_eq!(handshake(address), 200);
    assert!(process.terminate().expect("it ends").success());
}
