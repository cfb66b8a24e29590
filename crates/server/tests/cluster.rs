//! Nodes that share a Redis are one cluster, whether they are written in Node or here. The suite is proven on Node's.

use limpet_testkit::conformance::{Maker, Subject, cluster_suite, judge, python_cluster_suite, redis5_suite};
use limpet_testkit::redis::Redis;
use limpet_testkit::redis::cluster::RedisCluster;

use Maker::{Limpet, Node};

fn pair(makers: [Maker; 2], arguments: &[&str]) {
    let redis = Redis::start().unwrap();
    let [first, second] = [(makers[0], "first"), (makers[1], "second")]
        .map(|(maker, name)| Subject::cluster_node(maker, name, &redis.url(), arguments).unwrap());
    // A node hears nothing before it has subscribed.
    redis.wait_for_listeners("socket.io-request#/#", 2).unwrap();
    redis.wait_for_listeners("socket.io-request#/other#", 2).unwrap();
    let urls = format!("{},{}", first.urls(), second.urls());
    judge(cluster_suite(&urls, &[]));
}

#[test]
fn two_nodes_of_node_prove_the_suite() {
    pair([Node, Node], &[]);
}

#[test]
fn ours_beside_one_of_node() {
    pair([Limpet, Node], &[]);
}

#[test]
fn one_of_node_beside_ours() {
    pair([Node, Limpet], &[]);
}

#[test]
fn two_of_ours() {
    pair([Limpet, Limpet], &[]);
}

#[test]
fn answers_on_a_channel_of_who_asked() {
    pair([Limpet, Node], &["--specific"]);
}

/// What nodes do for each other by other adapters than the classic one. Rooms of all nodes are none of it in Node.
const FEATURES: [&str; 2] = ["--features", "emit,ask,fetch,make,server"];

/// What nodes do for each other on channels of shards; the same but the rooms of all nodes.
fn by_shards(makers: [Maker; 2], mode: &str) {
    let redis = Redis::start().unwrap();
    let [first, second] = [(makers[0], "first"), (makers[1], "second")].map(|(maker, name)| {
        Subject::cluster_node(maker, name, &redis.url(), &["--adapter", "sharded", "--mode", mode]).unwrap()
    });
    redis.wait_for_shard_listeners("socket.io#/#", 2).unwrap();
    redis.wait_for_shard_listeners("socket.io#/other#", 2).unwrap();
    let urls = format!("{},{}", first.urls(), second.urls());
    judge(cluster_suite(&urls, &FEATURES));
}

#[test]
fn by_shards_two_nodes_of_node_prove_the_suite() {
    by_shards([Node, Node], "dynamic");
}

#[test]
fn by_shards_ours_beside_one_of_node() {
    by_shards([Limpet, Node], "dynamic");
    by_shards([Limpet, Node], "dynamic-private");
}

#[test]
fn by_shards_one_of_node_beside_ours() {
    by_shards([Node, Limpet], "dynamic");
    by_shards([Node, Limpet], "static");
}

#[test]
fn by_shards_two_of_ours() {
    by_shards([Limpet, Limpet], "dynamic");
}

#[test]
fn by_interest_ours_beside_one_of_node() {
    pair([Limpet, Node], &["--interest"]);
}

/// The same on a Redis Cluster of three nodes.
fn on_a_redis_cluster(makers: [Maker; 2], adapter: &str, mode: &str) {
    let redis = RedisCluster::start().unwrap();
    let [first, second] = [(makers[0], "first"), (makers[1], "second")].map(|(maker, name)| {
        Subject::cluster_node(maker, name, &redis.url(), &["--adapter", adapter, "--mode", mode]).unwrap()
    });
    let (is_shard, channel) = (adapter == "sharded", if adapter == "sharded" { "" } else { "-request" });
    for namespace in ["/", "/other"] {
        redis.wait_for_listeners(&format!("socket.io{channel}#{namespace}#"), is_shard, 2).unwrap();
    }
    let urls = format!("{},{}", first.urls(), second.urls());
    judge(cluster_suite(&urls, &FEATURES));
}

#[test]
fn on_a_redis_cluster_two_of_ours() {
    on_a_redis_cluster([Limpet, Limpet], "redis", "dynamic");
    on_a_redis_cluster([Limpet, Limpet], "sharded", "dynamic");
}

/// Not the other way round: Node's client publishes by any of the masters, and so does not keep the order.
#[test]
fn on_a_redis_cluster_ours_beside_one_of_node() {
    on_a_redis_cluster([Limpet, Node], "redis", "dynamic");
}

/// Without channels of rooms: Node's client ends the process now and then when the last one of a shard is left.
#[test]
fn on_a_redis_cluster_ours_beside_one_of_node_by_shards() {
    on_a_redis_cluster([Limpet, Node], "sharded", "static");
    on_a_redis_cluster([Node, Limpet], "sharded", "static");
}

#[test]
fn ours_beside_one_of_socketio_2() {
    let redis = Redis::start().unwrap();
    let node = Subject::cluster_node(Limpet, "ours", &redis.url(), &[]).unwrap();
    redis.wait_for_listeners("socket.io-request#/#", 1).unwrap();
    judge(redis5_suite(&node.urls(), &redis.url()));
}

#[test]
fn ours_beside_servers_of_python() {
    let redis = Redis::start().unwrap();
    let node = Subject::cluster_node(Limpet, "ours", &redis.url(), &["--python", "socketio"]).unwrap();
    redis.wait_for_listeners("socketio", 1).unwrap();
    judge(python_cluster_suite(&node.urls(), &redis.url()));
}
