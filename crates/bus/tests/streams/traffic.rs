//! What nodes get of what was published.

use limpet_bus::{Adapter as _, Message, Peers, Streams, StreamsOptions, Targets, To};
use limpet_testkit::redis::Redis;
use std::time::Duration;

use crate::support::{LIMIT, Node, Raw, data, event, text};

const RETENTION: Duration = Duration::from_secs(60);

#[tokio::test]
async fn all_nodes_see_one_order_and_their_own_in_it() {
    let redis = Redis::start().unwrap();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let bus = Streams::connect(&redis.url()).await.unwrap();
        bus.log(RETENTION).unwrap();
        nodes.push(Node::join(&bus, "/"));
    }
    for round in 0..100 {
        for (number, node) in nodes.iter().enumerate() {
            node.emit(format!("{number} {round}"));
        }
    }
    let mut seen = Vec::new();
    for node in &mut nodes {
        let mut list = Vec::new();
        for _ in 0..300 {
            let envelope = node.next().await;
            list.push((envelope.offset.unwrap(), text(&envelope.message)));
        }
        assert!(list.is_sorted_by(|a, b| a.0 < b.0));
        for number in 0..3 {
            let own = list.iter().filter_map(|(_, text)| text.strip_prefix(&format!("{number} ")));
            assert!(own.eq((0..100).map(|round| round.to_string())), "each node's are in its order");
        }
        seen.push(list);
    }
    assert!(seen.iter().all(|list| *list == seen[0]));
}

#[tokio::test]
async fn without_recovery_a_node_does_not_hear_itself() {
    let redis = Redis::start().unwrap();
    let (mut a, mut b) = (Node::start(&redis, "/").await, Node::start(&redis, "/").await);
    a.emit(1);
    b.emit(2);
    assert_eq!((a.text().await, b.text().await), ("2".to_owned(), "1".to_owned()));
    // Another node of the same process hears it.
    let mut c = Node::join(&a.bus, "/");
    a.emit(3);
    assert_eq!((b.text().await, c.text().await), ("3".to_owned(), "3".to_owned()));
}

#[tokio::test]
async fn nodes_begin_at_the_end_and_know_where_they_are() {
    let redis = Redis::start().unwrap();
    let mut raw = Raw::connect(&redis).await;
    let end = raw.add(&[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", &data("old"))]).await;
    let mut node = Node::start(&redis, "/").await;
    assert_eq!(node.places(), [end]);
    // What others do moves the place on, and so does what is no message.
    let behind = raw.add(&[("uid", "x"), ("nsp", "/other"), ("type", "3"), ("data", &data("other"))]).await;
    let told = async {
        while node.places().last() != Some(&behind) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, told).await.expect("the node hears of the place");
    raw.add(&[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", &data("new"))]).await;
    assert_eq!(node.text().await, "new");
}

#[tokio::test]
async fn a_namespace_that_is_deaf_with_node_is_not() {
    let redis = Redis::start().unwrap();
    let mut options = StreamsOptions::default();
    options.stream_count = 4;
    let a = Node::start_with(&redis, "/dashboard", options.clone()).await;
    let mut b = Node::start_with(&redis, "/dashboard", options).await;
    a.emit_surely("negative").await;
    assert_eq!(b.text().await, "negative");
    let length: u64 = Raw::connect(&redis).await.ask("XLEN socket.io--3").await;
    assert_eq!(length, 1);
}

#[tokio::test]
async fn requests_and_answers_take_channels() {
    let redis = Redis::start().unwrap();
    let (a, mut b) = (Node::start(&redis, "/").await, Node::start(&redis, "/").await);
    assert_eq!(b.link.peers().await.unwrap(), Peers::Count(1));
    assert_eq!(a.link.peers().await.unwrap(), Peers::Count(1));
    a.link.publish(To::All, Message::Fetch { targets: Targets::all(), request: "r".into() }).unwrap();
    let asked = b.next().await;
    assert!(matches!(asked.message, Message::Fetch { .. }) && asked.node == a.id && asked.offset.is_none());
    assert_eq!(Raw::connect(&redis).await.ask::<u64>("EXISTS socket.io").await, 0);
}

#[tokio::test]
async fn who_has_left_hears_nothing() {
    let redis = Redis::start().unwrap();
    let (a, mut b) = (Node::start(&redis, "/").await, Node::start(&redis, "/").await);
    let mut c = Node::join(&b.bus, "/");
    b.link.close();
    a.emit(1);
    assert_eq!(c.text().await, "1");
    a.emit(2);
    assert_eq!(c.text().await, "2");
    drop((c, a));
    let left = std::mem::replace(&mut b, Node::start(&redis, "/").await);
    assert!(!left.has_message());
}

#[tokio::test]
async fn what_is_hostile_is_dropped() {
    let redis = Redis::start().unwrap();
    let mut raw = Raw::connect(&redis).await;
    let mut node = Node::start(&redis, "/").await;
    let (good, huge, deep) = (data("good"), "9".repeat(1_000_000), "[".repeat(100_000));
    let pickle = "gASVCwAAAAAAAAB9lIwBYZRLAXMu";
    let hostile: &[&[(&str, &str)]] = &[
        &[("a", "b")],
        &[("nsp", "/")],
        &[("uid", "x"), ("nsp", "/")],
        &[("uid", ""), ("nsp", "/"), ("type", "3"), ("data", &good)],
        &[("nsp", "/"), ("type", "3"), ("data", &good)],
        &[("uid", "x"), ("nsp", "/"), ("type", "3")],
        &[("uid", "x"), ("nsp", "/"), ("type", "three"), ("data", &good)],
        &[("uid", "x"), ("nsp", "/"), ("type", "-3"), ("data", &good)],
        &[("uid", "x"), ("nsp", "/"), ("type", &huge), ("data", &good)],
        &[("uid", "x"), ("nsp", "/"), ("type", "99"), ("data", &good)],
        &[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", "{}")],
        &[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", &huge)],
        &[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", &deep)],
        &[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", pickle)],
        &[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", &good[1..])],
        &[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", r#"{"packet":{"type":2,"data":[]},"opts":{}}"#)],
        &[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", r#"{"packet":{"type":0,"data":["a"]},"opts":{}}"#)],
        &[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", r#"{"packet":{"type":2,"data":["a"]},"opts":7}"#)],
        &[("uid", "x"), ("nsp", "/"), ("type", "4"), ("data", r#"{"opts":{"rooms":{}},"rooms":[]}"#)],
        &[
            ("uid", "x"),
            ("nsp", "/"),
            ("type", "6"),
            ("data", r#"{"opts":{"rooms":["a","b"]},"close":true,"epoch":1}"#),
        ],
        &[("uid", "x"), ("nsp", "/"), ("type", "6"), ("data", r#"{"opts":{"rooms":["a"]},"close":true,"epoch":-1}"#)],
    ];
    for fields in hostile {
        raw.add(fields).await;
    }
    // The first has no namespace: it is nobody's.
    let malformed = hostile.len() as u64 - 1;
    // Marks that are none leave a message what it is.
    let odd = [("publisher", ""), ("counter", "x"), ("again", "y"), ("counter", &huge), ("lost", "")];
    for mark in odd {
        raw.add(&[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", &good), mark]).await;
        assert_eq!(node.text().await, "good");
    }
    for (channel, bytes) in
        [("socket.io#/#", pickle), ("socket.io#/#", "{"), ("socket.io##", "{}"), ("socket.io#/#x#", &huge)]
    {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(channel).arg(bytes);
        raw.run::<u64>(publish).await;
    }
    node.link.publish(To::All, event("x")).unwrap();
    raw.add(&[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", &data("end"))]).await;
    assert_eq!(node.text().await, "end");
    let counted = async {
        // Two channels are of no namespace that is joined, or of another node.
        while node.bus.health().malformed != malformed + 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, counted).await.expect("all of them are counted");
}
