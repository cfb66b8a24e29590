//! What a node of the chat says of itself while its bus does not work, and what its users notice of that.

use std::net::SocketAddr;
use std::process::Command;

use limpet_testkit::http;
use limpet_testkit::listener::Listener;
use limpet_testkit::process::Process;
use limpet_testkit::redis::Redis;
use limpet_testkit::wait;
use serde_json::json;

/// A running `limpet chat`.
struct Node {
    address: SocketAddr,
    _process: Process,
}

impl Node {
    fn start(redis: &Redis, name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limpet"));
        command.args(["chat", "--listen", "127.0.0.1:0", "--name", name, "--bus", &redis.url()]).args(arguments);
        let process = Process::spawn(name, &mut command).unwrap();
        let address = process
            .wait_for("its address", |line| line.strip_prefix("chat ")?.split_once("http://")?.1.parse().ok())
            .unwrap();
        Self { address, _process: process }
    }

    /// Waits until `/health` has this status and begins so.
    #[track_caller]
    fn says(&self, status: u16, words: &str) {
        let look = || http::get(self.address, "/health", &[]).unwrap();
        wait::until_seen(words, look, |answer| answer.status == status && answer.body.starts_with(words));
    }

    /// A user in the lobby.
    fn user(&self, name: &str) -> Listener {
        let mut user = Listener::start(self.address, &["--name", name]).unwrap();
        assert_eq!(user.ask(&json!(["open", { "room": "lobby" }])).unwrap()["ok"], true);
        user
    }
}

fn says(user: &mut Listener, text: &str) {
    assert_eq!(user.ask(&json!(["say", { "room": "lobby" }, text])).unwrap()["ok"], true);
}

#[track_caller]
fn hears(user: &mut Listener, text: &str) {
    assert_eq!(user.event_of("said").unwrap()[1]["text"], text);
}

#[test]
fn a_node_without_its_bus_is_degraded_and_serves_its_users() {
    let mut redis = Redis::start().unwrap();
    let easy = Node::start(&redis, "easy", &[]);
    let strict = Node::start(&redis, "strict", &["--strict-health"]);
    redis.wait_for_listeners("socket.io-request#/#", 2).unwrap();
    let (mut ada, mut bob) = (easy.user("ada"), easy.user("bob"));
    let mut cleo = strict.user("cleo");
    says(&mut ada, "hello");
    hears(&mut bob, "hello");
    hears(&mut cleo, "hello");
    for node in [&easy, &strict] {
        node.says(200, "ok\n");
    }

    redis.process.terminate().unwrap();
    easy.says(200, "degraded for ");
    strict.says(503, "degraded for ");
    says(&mut ada, "is anybody there?");
    hears(&mut bob, "is anybody there?");
    // Who comes now is served as well.
    let mut dora = easy.user("dora");
    says(&mut dora, "I am");
    hears(&mut ada, "I am");

    redis.start_again().unwrap();
    for node in [&easy, &strict] {
        node.says(200, "ok\n");
    }
    for text in ["is anybody there?", "I am"] {
        hears(&mut cleo, text);
    }
    says(&mut cleo, "it is back");
    hears(&mut ada, "it is back");
}
