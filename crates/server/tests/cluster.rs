//! Nodes that share a Redis are one cluster, whether they are written in Node or here. The suite is proven on Node's.

use limpet_testkit::conformance::{Maker, Subject, cluster_suite, judge};
use limpet_testkit::redis::Redis;

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

/// What nodes do for each other by streams. Rooms of all nodes are none of it in Node.
const STREAMS: [&str; 2] = ["--features", "emit,ask,fetch,make,server"];

fn by_streams(makers: [Maker; 2], suite: &[&str]) {
    let redis = Redis::start().unwrap();
    let [first, second] = [(makers[0], "first"), (makers[1], "second")]
        .map(|(maker, name)| Subject::cluster_node(maker, name, &redis.url(), &["--adapter", "streams"]).unwrap());
    redis.wait_for_listeners("socket.io#/#", 2).unwrap();
    redis.wait_for_listeners("socket.io#/other#", 2).unwrap();
    let urls = format!("{},{}", first.urls(), second.urls());
    judge(cluster_suite(&urls, suite));
}

#[test]
fn by_streams_two_nodes_of_node_prove_the_suite() {
    by_streams([Node, Node], &STREAMS);
}

#[test]
fn by_streams_ours_beside_one_of_node() {
    by_streams([Limpet, Node], &STREAMS);
}

#[test]
fn by_streams_one_of_node_beside_ours() {
    by_streams([Node, Limpet], &STREAMS);
}

#[test]
fn by_streams_two_of_ours() {
    by_streams([Limpet, Limpet], &[]);
}
