//! Programs that emit into a cluster of a node on Node and one of ours without being nodes: Node's own emitter, and ours,
//! which also speaks to nodes of which none is ours. The suite is that of nodes, as far as an emitter can do it.

use limpet_testkit::conformance::{Maker, Subject, cluster_suite, emitter, judge};
use limpet_testkit::redis::Redis;

use Maker::{Limpet, Node};

/// What an emitter can do.
const FEATURES: [&str; 2] = ["--features", "emit,make,server"];

/// Starts two nodes, waits until they hear others, and lets an emitter act.
fn emits(by: Maker, makers: [Maker; 2], on_streams: bool) {
    let redis = Redis::start().unwrap();
    let (node, emits): (&[&str], &[&str]) =
        if on_streams { (&["--adapter", "streams"], &["--streams"]) } else { (&[], &[]) };
    let nodes = [(makers[0], "first"), (makers[1], "second")]
        .map(|(maker, name)| Subject::cluster_node(maker, name, &redis.url(), node).unwrap());
    for namespace in ["/", "/other"] {
        let channel = if on_streams { "socket.io" } else { "socket.io-request" };
        redis.wait_for_listeners(&format!("{channel}#{namespace}#"), 2).unwrap();
    }
    let program = emitter(by, &redis.url(), emits).unwrap();
    let arguments = [FEATURES[0], FEATURES[1], "--emitter", &program];
    judge(cluster_suite(&nodes.each_ref().map(Subject::urls).join(","), &arguments));
}

#[test]
fn nodes_emitter_and_nodes_of_node_prove_the_suite() {
    emits(Node, [Node, Node], false);
}

#[test]
fn nodes_emitter_into_a_mixed_cluster() {
    emits(Node, [Node, Limpet], false);
}

#[test]
fn our_emitter_into_nodes_of_node() {
    emits(Limpet, [Node, Node], false);
}

#[test]
fn our_emitter_into_a_mixed_cluster() {
    emits(Limpet, [Node, Limpet], false);
}

/// What Node's emitter for streams adds is written by hand here: the fields of its entries.
#[test]
fn entries_of_nodes_emitter_into_mixed_streams() {
    emits(Node, [Node, Limpet], true);
}

#[test]
fn our_emitter_into_streams_of_node() {
    emits(Limpet, [Node, Node], true);
}

#[test]
fn our_emitter_into_mixed_streams() {
    emits(Limpet, [Node, Limpet], true);
}
