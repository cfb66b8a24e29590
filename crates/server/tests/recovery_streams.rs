//! Clients that come back to another process, over Redis Streams: to one of Node's or of ours, from one of either kind, and
//! from one that was killed.

#[path = "api/script.rs"]
mod script;

use std::process::{Command, Stdio};

use limpet_testkit::conformance::{Maker, Subject, example, judge, recovery_suite};
use limpet_testkit::process::Process;
use limpet_testkit::redis::Redis;

use Maker::{Limpet, Node};

fn mixed(makers: [Maker; 2], features: &str) {
    let redis = Redis::start().unwrap();
    let [first, second] = [(makers[0], "0"), (makers[1], "1")]
        .map(|(maker, name)| Subject::recovery_node(maker, &["--redis", &redis.url(), "--name", name]).unwrap());
    let urls = format!("{},{}", first.urls(), second.urls());
    judge(recovery_suite(&urls, &["--features", features, "--redis", &redis.url()]));
}

#[test]
fn two_of_node_prove_the_suite() {
    mixed([Node, Node], "mixed");
}

#[test]
fn ours_beside_one_of_node() {
    mixed([Limpet, Node], "mixed");
}

#[test]
fn two_of_ours() {
    mixed([Limpet, Limpet], "mixed,nodes");
}

#[test]
fn one_of_ours_is_all_that_nodes_are() {
    let redis = Redis::start().unwrap();
    let node = Subject::recovery_node(Limpet, &["--redis", &redis.url()]).unwrap();
    judge(recovery_suite(&node.urls(), &["--features", "recovered,lost,wire,beyond,storms"]));
}

/// Ends one of two servers that share a Redis by a signal while clients are there, who go on at the other one.
async fn end_one(signal: &str, rooms_are_written: bool) {
    let redis = Redis::start().unwrap();
    let start = |name: &str| {
        let mut command = Command::new(example("chaos_fixture").unwrap());
        command.env("PORT", "0").env("BUS", "streams").env("REDIS_URL", redis.url()).stdin(Stdio::null());
        Process::spawn(name, &mut command).unwrap()
    };
    let nodes = [start("first"), start("second")];
    let mut words = vec![nodes[0].pid().to_string()];
    for node in &nodes {
        words.push(node.wait_for("its port", |line| Some(line.strip_prefix("listening ")?.to_owned())).unwrap());
    }
    let settle = if rooms_are_written { SETTLE } else { "" };
    let script = format!("const signal = {signal:?};{BEFORE}{settle}{AFTER}");
    script::run_at(words, &script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_a_killed_server_go_on_elsewhere() {
    end_one("SIGKILL", true).await;
}

/// A server that is stopped writes what there is to be written.
#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_a_stopped_server_go_on_elsewhere() {
    end_one("SIGTERM", false).await;
}

const BEFORE: &str = r#"
import { Cutter } from "./cutter.js";
const [pid, first, second] = urls.map(Number);
const ends = [];
const t = { after: (end) => ends.push(end) };
const through = async (port) => {
    const cutter = await Cutter.start(t, port);
    const options = { forceNew: true, reconnection: false, transports: ["websocket"] };
    const socket = connect4(`http://127.0.0.1:${cutter.port}`, options);
    sockets.push(socket);
    await once(socket, "connect");
    return { cutter, socket, seen: collect(socket, "msg"), id: socket.id };
};
const [quiet, busy, other] = await Promise.all([through(first), through(first), through(second)]);
for (const { socket } of [quiet, busy]) await ask(socket, "join", "r");
const one = Promise.all([once(busy.socket, "msg"), once(quiet.socket, "msg")]);
assert.equal(await ask(other.socket, "send", "r", 1), true);
await one;
const late = await through(first);
const all = [quiet, busy, late];
await ask(late.socket, "join", "r");
"#;

const SETTLE: &str = r#"
// Rooms are written within a tenth of a second, and before a client is let in again.
for (const { cutter, socket } of all) {
    const end = gone(socket);
    cutter.cut();
    await end;
    const come = once(socket, "connect");
    socket.connect();
    await come;
    assert.equal(socket.recovered, true);
}
"#;

const AFTER: &str = r#"
const ended = Promise.all(all.map(({ socket }) => gone(socket)));
process.kill(pid, signal);
await ended;
const sent = Array.from({ length: 50 }, (_, n) => n + 2);
assert.ok((await Promise.all(sent.map((n) => ask(other.socket, "send", "r", n)))).every((ok) => ok === true));
for (const { cutter, socket } of all) {
    cutter.target = second;
    const come = once(socket, "connect");
    socket.connect();
    await come;
}
assert.equal(await ask(other.socket, "send", "r", 52), true);
for (const { socket, seen } of all) while (seen.at(-1)?.[0] !== 52) await once(socket, "msg");
const numbers = (from) => Array.from({ length: 53 - from }, (_, n) => n + from);
const state = ({ socket, seen, id }) => [socket.recovered, socket.id === id, seen.map(([n]) => n)];
assert.deepEqual(all.map(state), [[true, true, numbers(1)], [true, true, numbers(1)], [true, true, numbers(2)]]);
ends.forEach((end) => end());
"#;
