//! Redis fails, as clients see it: they stay connected, what their own node sends them comes at once, what others send comes
//! afterwards in order, and what is dropped is counted.

use limpet_testkit::conformance::{Maker, Subject};
use limpet_testkit::listener::Listener;
use limpet_testkit::redis::Redis;
use limpet_testkit::wait;
use rustix::process::Signal;
use serde_json::{Value, json};

/// Two nodes of ours on one Redis, each with a client; both clients are in `lobby`.
struct Scene {
    redis: Redis,
    a: Listener,
    b: Listener,
    /// Whether the room has a channel of its own, which is listened to.
    has_channel: bool,
    is_sharded: bool,
    _nodes: [Subject; 2],
}

impl Scene {
    fn new(redis: Redis, heard_on: &str, arguments: &[&str]) -> Self {
        let nodes = ["first", "second"]
            .map(|name| Subject::cluster_node(Maker::Limpet, name, &redis.url(), arguments).unwrap());
        let is_sharded = arguments.contains(&"sharded");
        wait_for_listeners(&redis, is_sharded, heard_on);
        let [a, b] = nodes.each_ref().map(|node| Listener::start(node.addresses[0], &["--join", "lobby"]).unwrap());
        let has_channel = is_sharded || arguments.contains(&"--interest");
        let mut scene = Self { redis, a, b, has_channel, is_sharded, _nodes: nodes };
        scene.meet();
        scene
    }

    /// Each node finds the sockets of both, and each client hears the other one's node.
    fn meet(&mut self) {
        if self.has_channel {
            wait_for_listeners(&self.redis, self.is_sharded, "socket.io#/#lobby#");
        }
        exchange(&mut self.a, &mut self.b);
        exchange(&mut self.b, &mut self.a);
    }
}

fn exchange(from: &mut Listener, to: &mut Listener) {
    wait::until_seen("two sockets", || sockets(from), |found| found.as_array().map(Vec::len) == Some(2));
    emit(from, json!("meet")).unwrap();
    for client in [to, from] {
        assert_eq!(client.event().unwrap(), json!(["n", "meet"]));
    }
}

fn wait_for_listeners(redis: &Redis, is_sharded: bool, channel: &str) {
    if is_sharded {
        redis.wait_for_shard_listeners(channel, 2).unwrap();
    } else {
        redis.wait_for_listeners(channel, 2).unwrap();
    }
}

/// Lets the client's node send an event to the lobby; the error is what the node was told.
fn emit(from: &mut Listener, number: Value) -> Result<(), String> {
    let answer = from.ask(&json!(["emit", { "rooms": ["lobby"] }, "n", number])).unwrap();
    answer["error"].as_str().map_or(Ok(()), |error| Err(error.to_owned()))
}

fn hears(client: &mut Listener, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        // A client that lost its connection says so in this place.
        assert_eq!(client.event().unwrap(), json!(["n", number]));
    }
}

fn health(client: &mut Listener) -> Value {
    client.ask(&json!(["health"])).unwrap()["ok"].take()
}

fn sockets(client: &mut Listener) -> Value {
    client.ask(&json!(["fetch", { "rooms": ["lobby"] }])).unwrap()["ok"].take()
}

#[track_caller]
fn becomes(client: &mut Listener, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    wait::until_seen(what, || health(client), holds)
}

fn is_cut_off(scene: &mut Scene) {
    for client in [&mut scene.a, &mut scene.b] {
        let health = becomes(client, "degraded", |health| health["state"] == "degraded");
        assert!(health["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{health}");
    }
}

/// The nodes say that all is well, and everything works in both directions.
fn is_well(scene: &mut Scene) -> Value {
    becomes(&mut scene.b, "well", |health| health["state"] == "ok");
    let health = becomes(&mut scene.a, "well", |health| health["state"] == "ok" && health["queued"] == 0);
    scene.meet();
    health
}

/// What is sent while Redis is away: the node's own client has it at once, the other one later.
fn sends_meanwhile(scene: &mut Scene, numbers: std::ops::Range<u64>) {
    for number in numbers.clone() {
        emit(&mut scene.a, json!(number)).unwrap();
    }
    hears(&mut scene.a, numbers.clone());
    assert_eq!(health(&mut scene.a)["queued"], numbers.end - numbers.start);
}

fn is_restarted(redis: Redis, heard_on: &str, arguments: &[&str]) {
    let mut scene = Scene::new(redis, heard_on, arguments);
    scene.redis.process.terminate().unwrap();
    is_cut_off(&mut scene);
    sends_meanwhile(&mut scene, 0..300);
    // The other node serves its client, too, who has heard nothing so far.
    emit(&mut scene.b, json!(1000)).unwrap();
    hears(&mut scene.b, [1000]);
    scene.redis.start_again().unwrap();
    hears(&mut scene.b, 0..300);
    hears(&mut scene.a, [1000]);
    let health = is_well(&mut scene);
    assert_eq!(
        (&health["lost"], &health["refused"], &health["outages"]),
        (&json!(0), &json!(0), &json!(1)),
        "{health}"
    );
}

#[test]
fn redis_is_restarted() {
    is_restarted(Redis::start().unwrap(), "socket.io-request#/#", &[]);
}

#[test]
fn redis_is_restarted_with_interest() {
    is_restarted(Redis::start().unwrap(), "socket.io-request#/#", &["--interest"]);
}

#[test]
fn redis_is_restarted_with_channels_of_shards() {
    is_restarted(Redis::start().unwrap(), "socket.io#/#", &["--adapter", "sharded"]);
}

#[test]
fn redis_is_restarted_with_streams() {
    is_restarted(Redis::start_kept().unwrap(), "socket.io#/#", &["--adapter", "streams"]);
}

#[test]
fn redis_stalls() {
    let mut scene = Scene::new(Redis::start().unwrap(), "socket.io-request#/#", &[]);
    scene.redis.process.signal(Signal::STOP).unwrap();
    is_cut_off_after_silence(&mut scene);
    sends_meanwhile(&mut scene, 0..300);
    scene.redis.process.signal(Signal::CONT).unwrap();
    hears(&mut scene.b, 0..300);
    let health = is_well(&mut scene);
    assert_eq!((&health["lost"], &health["refused"]), (&json!(0), &json!(0)), "{health}");
}

/// Nobody has asked Redis for anything yet, so that only the questions of those who listen find it silent.
fn is_cut_off_after_silence(scene: &mut Scene) {
    is_cut_off(scene);
    assert_eq!(health(&mut scene.a)["reason"], "Redis does not answer");
}

#[test]
fn what_does_not_fit_is_refused_and_counted() {
    let mut scene = Scene::new(Redis::start().unwrap(), "socket.io-request#/#", &["--max-queued", "10"]);
    scene.redis.process.terminate().unwrap();
    is_cut_off(&mut scene);
    for number in 0..15 {
        let told = emit(&mut scene.a, json!(number));
        assert_eq!(told.is_err(), number >= 10, "{number}: {told:?}");
    }
    // The node's own client has them all.
    hears(&mut scene.a, 0..15);
    let counted = health(&mut scene.a);
    assert_eq!((&counted["queued"], &counted["refused"]), (&json!(10), &json!(5)), "{counted}");
    scene.redis.start_again().unwrap();
    hears(&mut scene.b, 0..10);
    let health = is_well(&mut scene);
    assert_eq!((&health["lost"], &health["refused"]), (&json!(0), &json!(5)), "{health}");
}

#[test]
fn what_a_crash_takes_along_is_counted_as_lost() {
    let mut scene = Scene::new(Redis::start().unwrap(), "socket.io-request#/#", &[]);
    scene.redis.process.signal(Signal::STOP).unwrap();
    emit(&mut scene.a, json!(0)).unwrap();
    is_cut_off(&mut scene);
    scene.redis.process.kill().unwrap();
    becomes(&mut scene.a, "counted", |health| health["lost"] == 1);
    emit(&mut scene.a, json!(1)).unwrap();
    scene.redis.start_again().unwrap();
    hears(&mut scene.a, 0..2);
    hears(&mut scene.b, 1..2);
    let health = is_well(&mut scene);
    assert_eq!((&health["lost"], &health["queued"]), (&json!(1), &json!(0)), "{health}");
}
