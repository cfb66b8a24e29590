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
