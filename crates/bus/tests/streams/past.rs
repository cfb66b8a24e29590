//! What the streams still have of the past, and what they know of what they have not.

use std::sync::Arc;
use std::time::Duration;

use limpet_bus::log::Log;
use limpet_bus::{Adapter as _, Message, Offset, Streams, Targets, To};
use limpet_testkit::redis::Redis;

use crate::support::{Node, Raw, data, event};

async fn begin() -> (Redis, Raw, Arc<dyn Log>, Streams) {
    let redis = Redis::start().unwrap();
    let raw = Raw::connect(&redis).await;
    let bus = Streams::connect(&redis.url()).await.unwrap();
    // One that has no nodes has nothing in memory.
    let log = Streams::connect(&redis.url()).await.unwrap().log(Duration::from_secs(60)).unwrap();
    (redis, raw, log, bus)
}

async fn texts(log: &Arc<dyn Log>, after: Offset, upto: Offset) -> (Vec<String>, bool) {
    let stretch = log.read("/", after, upto).await.unwrap();
    let texts = stretch.entries.iter().map(|entry| entry.arguments.get(1).unwrap()).collect();
    (texts, stretch.is_whole)
}

fn list(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn only_broadcasts_of_the_namespace_are_found() {
    let (_redis, mut raw, log, bus) = begin().await;
    let (node, other) = (Node::join(&bus, "/"), Node::join(&bus, "/other"));
    node.emit_surely("a").await;
    other.emit_surely("of another").await;
    node.link.publish(To::All, Message::Join { targets: Targets::room("x"), rooms: vec!["r".into()] }).unwrap();
    node.link.publish(To::All, Message::Fence { id: "x".into(), epoch: 2 }).unwrap();
    let (arguments, targets) = (event("b"), Targets { rooms: vec!["r".into()], except: vec!["e".into()] });
    let Message::Broadcast { arguments, flags, .. } = arguments else { panic!() };
    node.link
        .publish(To::All, Message::Broadcast { arguments, targets: targets.clone(), flags, request: None })
        .unwrap();
    raw.add(&[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", "{")]).await;
    // As Node writes what holds bytes.
    let bytes = "gqZwYWNrZXSCpHR5cGUCpGRhdGGTpWJ5dGVzoWPEAwEC/6RvcHRzgqVyb29tc5CmZXhjZXB0kA==";
    let last = raw.add(&[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", bytes)]).await;
    // An end without an answer of Redis would be no end.
    node.emit_surely("behind").await;
    let stretch = log.read("/", Offset::ZERO, last).await.unwrap();
    let found: Vec<String> = stretch.entries.iter().map(|entry| entry.arguments.get(1).unwrap()).collect();
    assert_eq!((found, stretch.is_whole), (list(&["a", "b", "c"]), true));
    assert_eq!(stretch.entries[1].targets, targets);
    for (rooms, expected) in [(&["r"][..], &["a", "b", "c"][..]), (&["r", "e"], &["a", "c"]), (&["id"], &["a", "c"])] {
        let rooms: Vec<_> = rooms.iter().map(|room| (*room).into()).collect();
        let stretch = log.read_for("/", &rooms, Offset::ZERO, last).await.unwrap();
        let found: Vec<String> = stretch.entries.iter().map(|entry| entry.arguments.get(1).unwrap()).collect();
        assert_eq!((found, stretch.is_whole), (list(expected), true), "{rooms:?}");
    }
    assert_eq!(stretch.entries[2].arguments.attachments(), [&[1, 2, 255][..]]);
    assert_eq!(texts(&log, stretch.entries[0].offset, stretch.entries[1].offset).await, (list(&["b"]), true));
    assert_eq!(texts(&log, last, last).await, (vec![], true));
}

#[tokio::test]
async fn what_was_published_again_is_found_once() {
    let (_redis, mut raw, log, _bus) = begin().await;
    let mut places = Vec::new();
    for (number, again) in [(1, None), (2, None), (3, None), (1, Some(0)), (2, Some(0)), (3, Some(0)), (4, Some(0))] {
        let (number, data) = (number.to_string(), data(&number.to_string()));
        let mut fields = vec![
            ("uid", "x"),
            ("nsp", "/"),
            ("type", "3"),
            ("data", &*data),
            ("publisher", "p"),
            ("counter", &*number),
        ];
        if again.is_some() {
            fields.push(("again", "0-0"));
        }
        places.push(raw.add(&fields).await);
    }
    let end = places[6];
    assert_eq!(texts(&log, Offset::ZERO, end).await, (list(&["1", "2", "3", "4"]), true));
    assert_eq!(texts(&log, places[0], end).await, (list(&["2", "3", "4"]), true));
    assert_eq!(texts(&log, places[2], end).await, (list(&["4"]), true), "the first copies are before the stretch");
    assert_eq!(texts(&log, places[4], end).await, (list(&["4"]), true));
}

#[tokio::test]
async fn a_node_that_begins_between_two_copies_gets_none() {
    let (redis, mut raw, _log, _bus) = begin().await;
    let mut entry = async |counter: &str, again: Option<&str>| {
        let data = data(counter);
        let mut fields =
            vec![("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", &*data), ("publisher", "p"), ("counter", counter)];
        fields.extend(again.map(|again| ("again", again)));
        raw.add(&fields).await
    };
    entry("1", None).await;
    let confirmed = entry("2", None).await.to_string();
    entry("3", None).await;
    let mut node = Node::start(&redis, "/").await;
    entry("3", Some(&confirmed)).await;
    entry("4", Some(&confirmed)).await;
    assert_eq!(node.text().await, "4");
}

#[tokio::test]
async fn a_log_that_was_cut_says_so() {
    let (_redis, mut raw, log, _bus) = begin().await;
    let mut places = Vec::new();
    for number in 0..10 {
        places.push(raw.add(&[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", &data(&number.to_string()))]).await);
    }
    let end = places[9];
    assert!(texts(&log, Offset::ZERO, end).await.1);
    raw.ask::<u64>("XTRIM socket.io MAXLEN 4").await;
    assert_eq!(texts(&log, places[6], end).await, (list(&["7", "8", "9"]), true));
    for after in [Offset::ZERO, places[0], places[4], places[5]] {
        assert!(!texts(&log, after, end).await.1, "{after}");
    }
    // One that somebody took out.
    raw.ask::<u64>(&format!("XDEL socket.io {}", places[8])).await;
    assert!(!texts(&log, places[6], end).await.1);
    assert!(texts(&log, places[8], end).await.1);
    // An end of which the log knows nothing.
    assert!(!texts(&log, places[8], Offset { millis: end.millis + 1, counter: 0 }).await.1);
    raw.ask::<u64>("DEL socket.io").await;
    assert!(!texts(&log, places[8], end).await.1);
}

#[tokio::test]
async fn a_long_past_is_read_in_pages() {
    let (_redis, _raw, log, bus) = begin().await;
    bus.log(Duration::from_secs(60)).unwrap();
    let mut node = Node::join(&bus, "/");
    for number in 0..3500 {
        node.emit(number);
    }
    node.emit_surely("end").await;
    let mut end = Offset::ZERO;
    for _ in 0..=3500 {
        end = node.next().await.offset.unwrap();
    }
    let (found, is_whole) = texts(&log, Offset::ZERO, end).await;
    assert!(is_whole);
    let numbers = (0..3500).map(|number| number.to_string()).chain(["end".to_owned()]);
    assert!(found.into_iter().eq(numbers));
}

#[tokio::test]
async fn the_latest_past_is_in_memory() {
    let (mut redis, mut raw, other, bus) = begin().await;
    let old = raw.add(&[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", &data("old"))]).await;
    let bus = {
        drop(bus);
        Streams::connect(&redis.url()).await.unwrap()
    };
    let log = bus.log(Duration::from_secs(60)).unwrap();
    let mut node = Node::join(&bus, "/");
    let volatile =
        r#"{"packet":{"type":2,"data":["n","v"]},"opts":{"rooms":[],"except":[],"flags":{"volatile":true}}}"#;
    raw.add(&[("uid", "x"), ("nsp", "/"), ("type", "3"), ("data", volatile)]).await;
    for text in ["a", "b"] {
        node.emit_surely(text).await;
    }
    let mut end = Offset::ZERO;
    for text in ["v", "a", "b"] {
        let envelope = node.next().await;
        assert_eq!(crate::support::text(&envelope.message), text);
        end = envelope.offset.unwrap();
    }
    let found = texts(&log, old, end).await;
    assert_eq!(found, (list(&["a", "b"]), true));
    assert_eq!(texts(&other, old, end).await, found, "Redis says the same");
    assert_eq!(
        texts(&log, Offset::ZERO, end).await,
        (list(&["old", "a", "b"]), true),
        "what is older comes from there"
    );
    redis.process.terminate().unwrap();
    assert_eq!(texts(&log, old, end).await, found);
}
