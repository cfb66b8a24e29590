//! Three nodes that share a Redis, one on Node and two of ours: each of them acts in turn, and both others do their part.
//! The suite is that of two nodes, so that it is proven.

use limpet_testkit::conformance::{Maker, Subject, cluster_suite, judge};
use limpet_testkit::redis::Redis;

use Maker::{Limpet, Node};

/// All three act in turn.
const ACTING: [&str; 2] = ["--acting", "0,1,2"];

/// What Node's newer adapters do; they do not name the rooms of all nodes.
const FEATURES: [&str; 4] = [ACTING[0], ACTING[1], "--features", "emit,ask,fetch,make,server"];

/// Starts the nodes, waits until they have subscribed to what they hear others on, and runs the suite.
fn three(arguments: &[&str], heard_on: &str, suite: &[&str]) {
    let redis = Redis::start().unwrap();
    let nodes = [(Node, "first"), (Limpet, "second"), (Limpet, "third")]
        .map(|(maker, name)| Subject::cluster_node(maker, name, &redis.url(), arguments).unwrap());
    for namespace in ["/", "/other"] {
        let channel = format!("{heard_on}#{namespace}#");
        if arguments.contains(&"sharded") {
            redis.wait_for_shard_listeners(&channel, 3).unwrap();
        } else {
            redis.wait_for_listeners(&channel, 3).unwrap();
        }
    }
    judge(cluster_suite(&nodes.each_ref().map(Subject::urls).join(","), suite));
}

#[test]
fn on_channels() {
    three(&[], "socket.io-request", &ACTING);
}

#[test]
fn on_channels_with_answers_for_who_asked() {
    three(&["--specific"], "socket.io-request", &ACTING);
}

#[test]
fn on_channels_of_shards() {
    three(&["--adapter", "sharded"], "socket.io", &FEATURES);
}

#[test]
fn on_channels_of_shards_without_rooms() {
    three(&["--adapter", "sharded", "--mode", "static"], "socket.io", &FEATURES);
}

#[test]
fn on_streams() {
    three(&["--adapter", "streams"], "socket.io", &FEATURES);
}
