//! Nodes that share the streams of a Redis are one cluster, whether they are written in Node or here, and also by the
//! channels of shards. Nodes of ours share those of a Redis Cluster, too.

use limpet_testkit::conformance::{Maker, Subject, cluster_suite, judge};
use limpet_testkit::redis::Redis;
use limpet_testkit::redis::cluster::RedisCluster;

use Maker::{Limpet, Node};

/// What nodes do for each other. Rooms of all nodes are none of it in Node.
const SUITE: [&str; 2] = ["--features", "emit,ask,fetch,make,server"];

fn pair(makers: [Maker; 2], arguments: &[&str], suite: &[&str]) {
    let redis = Redis::start().unwrap();
    let arguments: Vec<_> = ["--adapter", "streams"].iter().chain(arguments).copied().collect();
    let [first, second] = [(makers[0], "first"), (makers[1], "second")]
        .map(|(maker, name)| Subject::cluster_node(maker, name, &redis.url(), &arguments).unwrap());
    // A node hears nothing before it has subscribed.
    for channel in ["socket.io#/#", "socket.io#/other#"] {
        if arguments.contains(&"--sharded-pubsub") {
            redis.wait_for_shard_listeners(channel, 2).unwrap();
        } else {
            redis.wait_for_listeners(channel, 2).unwrap();
        }
    }
    judge(cluster_suite(&format!("{},{}", first.urls(), second.urls()), suite));
}

#[test]
fn two_nodes_of_node_prove_the_suite() {
    pair([Node, Node], &[], &SUITE);
}

#[test]
fn ours_beside_one_of_node() {
    pair([Limpet, Node], &[], &SUITE);
}

#[test]
fn one_of_node_beside_ours() {
    pair([Node, Limpet], &[], &SUITE);
}

#[test]
fn two_of_ours() {
    pair([Limpet, Limpet], &[], &[]);
}

#[test]
fn ours_beside_one_of_node_with_channels_of_shards() {
    pair([Limpet, Node], &["--sharded-pubsub"], &SUITE);
}

#[test]
fn two_of_ours_on_a_redis_cluster() {
    let redis = RedisCluster::start().unwrap();
    let [first, second] = ["first", "second"].map(|name| {
        Subject::cluster_node(Limpet, name, &redis.url(), &["--adapter", "streams", "--streams", "3"]).unwrap()
    });
    for channel in ["socket.io#/#", "socket.io#/other#"] {
        redis.wait_for_listeners(channel, false, 2).unwrap();
    }
    judge(cluster_suite(&format!("{},{}", first.urls(), second.urls()), &[]));
}
