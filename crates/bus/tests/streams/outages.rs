//! What happens when Redis goes and comes back: nothing is lost, and nothing comes twice.

use std::time::Duration;

use limpet_bus::adapter::BusError;
use limpet_bus::{Adapter as _, Offset, Streams, StreamsOptions, To};
use limpet_testkit::redis::Redis;
use rustix::process::Signal;

use crate::support::{LIMIT, Node, Raw, event, text};

const RETENTION: Duration = Duration::from_secs(60);

/// Publishes so many numbers, one for each instant, until `trouble` is over and behind it.
async fn publish(node: &Node, count: u32) {
    for number in 0..count {
        node.emit(number);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    node.emit_surely("end").await;
}

/// Takes all numbers up to the end, each once and in order.
async fn take_all(node: &mut Node, count: u32) -> Offset {
    for number in 0..count {
        assert_eq!(node.text().await, number.to_string());
    }
    let end = node.next().await;
    assert_eq!(text(&end.message), "end");
    end.offset.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_redis_loses_and_doubles_nothing() {
    const COUNT: u32 = 3000;
    let mut redis = Redis::start_kept().unwrap();
    let bus = Streams::connect(&redis.url()).await.unwrap();
    let log = bus.log(RETENTION).unwrap();
    let mut publisher = Node::join(&bus, "/");
    let mut other = Node::start(&redis, "/").await;
    let trouble = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(bus.health().is_ok());
        redis.process.terminate().unwrap();
        tokio::time::timeout(LIMIT, async {
            while bus.health().is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("it says that Redis is gone");
        tokio::time::sleep(Duration::from_millis(700)).await;
        redis.start_again().unwrap();
    };
    tokio::join!(publish(&publisher, COUNT), trouble);
    let end = take_all(&mut other, COUNT).await;
    assert_eq!(take_all(&mut publisher, COUNT).await, end);
    let missed = log.read("/", Offset::ZERO, end).await.unwrap();
    assert!(missed.is_whole);
    assert_eq!(missed.entries.len(), COUNT as usize + 1);
    // The channels work again, too.
    let peers = tokio::time::timeout(LIMIT, async {
        loop {
            match publisher.link.peers().await {
                Ok(limpet_bus::Peers::Count(1)) => return,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    peers.await.expect("both listen again");
    let health = bus.health();
    assert!(health.is_ok(), "{health}");
    let counts = (health.published, health.lost, health.refused, health.malformed, health.queued);
    assert_eq!(counts, (u64::from(COUNT) + 1, 0, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_lose_and_double_nothing() {
    const COUNT: u32 = 2000;
    let redis = Redis::start().unwrap();
    let mut raw = Raw::connect(&redis).await;
    let mut publisher = Node::start(&redis, "/").await;
    let mut other = Node::start(&redis, "/").await;
    let bus = Streams::connect(&redis.url()).await.unwrap();
    let log = bus.log(RETENTION).unwrap();
    let trouble = async {
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(40)).await;
            raw.ask::<u64>("CLIENT KILL TYPE normal SKIPME yes").await;
        }
    };
    tokio::join!(publish(&publisher, COUNT), trouble);
    let end = take_all(&mut other, COUNT).await;
    let missed = log.read("/", Offset::ZERO, end).await.unwrap();
    assert!(missed.is_whole);
    assert_eq!(missed.entries.len(), COUNT as usize + 1);
    other.emit("back");
    assert_eq!(publisher.text().await, "back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_empty_is_no_silence() {
    let mut redis = Redis::start().unwrap();
    let bus = Streams::connect(&redis.url()).await.unwrap();
    let log = bus.log(RETENTION).unwrap();
    let mut node = Node::join(&bus, "/");
    node.emit_surely("before").await;
    let before = node.next().await.offset.unwrap();
    redis.process.terminate().unwrap();
    redis.start_again().unwrap();
    node.emit_surely("behind").await;
    let behind = node.next().await;
    assert_eq!(text(&behind.message), "behind");
    let behind = behind.offset.unwrap();
    assert!(behind > before, "places go on rising");
    assert!(!log.read("/", before, behind).await.unwrap().is_whole, "what was lost is not known");
    assert!(!log.read("/", Offset::ZERO, behind).await.unwrap().is_whole);
    let rest = log.read("/", behind, node.places().into_iter().max().unwrap()).await.unwrap();
    assert!(rest.entries.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_confirmed_is_in_redis() {
    let redis = Redis::start().unwrap();
    let node = Node::start(&redis, "/").await;
    redis.process.signal(Signal::STOP).unwrap();
    let confirmed = node.link.publish_confirmed(To::All, event("x"));
    tokio::pin!(confirmed);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut confirmed).await.is_err());
    redis.process.signal(Signal::CONT).unwrap();
    tokio::time::timeout(LIMIT, confirmed).await.unwrap().unwrap();
    assert_eq!(Raw::connect(&redis).await.ask::<u64>("XLEN socket.io").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_bounded_and_survives() {
    let mut redis = Redis::start_kept().unwrap();
    let mut options = StreamsOptions::default();
    options.max_queued = 100;
    let node = Node::start_with(&redis, "/", options).await;
    let mut other = Node::start(&redis, "/").await;
    redis.process.terminate().unwrap();
    let mut queued = 0;
    let full = loop {
        match node.link.publish(To::All, event(queued)) {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
        assert!(queued < 1000, "the queue ends");
    };
    assert!(matches!(full, BusError::Full));
    assert_eq!(node.bus.health().refused, 1);
    assert!(queued >= 100);
    redis.start_again().unwrap();
    for number in 0..queued {
        assert_eq!(other.text().await, number.to_string());
    }
}

#[tokio::test]
async fn bytes_that_wait_are_bounded() {
    let mut redis = Redis::start().unwrap();
    let mut options = StreamsOptions::default();
    options.max_queued_bytes = 10_000;
    let node = Node::start_with(&redis, "/", options).await;
    node.emit_surely("x".repeat(20_000)).await;
    redis.process.terminate().unwrap();
    let long = "x".repeat(4000);
    node.emit(&long);
    node.emit(&long);
    assert!(matches!(node.link.publish(To::All, event(&long)), Err(BusError::Full)));
}

/// Adds events to the stream and keeps the last ones, all at once, so that nobody reads between.
fn late(added: u32, kept: u32) -> redis::Cmd {
    let add = "redis.call('XADD', KEYS[1], '*', 'uid', 'x', 'nsp', '/', 'type', '3', 'data', ARGV[1])";
    let script = format!("for i = 1, {added} do {add} end redis.call('XTRIM', KEYS[1], 'MAXLEN', {kept}) return 1");
    let mut command = redis::cmd("EVAL");
    command.arg(script).arg(1).arg("socket.io").arg(crate::support::data("late"));
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_trimmed_before_it_was_read_is_counted() {
    let redis = Redis::start().unwrap();
    let mut raw = Raw::connect(&redis).await;
    let bus = Streams::connect(&redis.url()).await.unwrap();
    let log = bus.log(RETENTION).unwrap();
    let mut node = Node::join(&bus, "/");
    node.emit_surely("first").await;
    let first = node.next().await.offset.unwrap();
    let mut pipeline = redis::pipe();
    pipeline.cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
    pipeline.add_command(late(10, 2));
    raw.pipe(&pipeline).await;
    for _ in 0..2 {
        assert_eq!(node.text().await, "late");
    }
    let end = node.places().into_iter().max().unwrap();
    assert_eq!(bus.health().lost, 8);
    assert!(!log.read("/", first, end).await.unwrap().is_whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_faster_than_it_is_read_is_counted() {
    let redis = Redis::start().unwrap();
    let mut raw = Raw::connect(&redis).await;
    let bus = Streams::connect(&redis.url()).await.unwrap();
    let log = bus.log(RETENTION).unwrap();
    let mut node = Node::join(&bus, "/");
    node.emit_surely("first").await;
    let first = node.next().await.offset.unwrap();
    raw.run::<u64>(late(5000, 1000)).await;
    for _ in 0..1000 {
        assert_eq!(node.text().await, "late");
    }
    let is_counted = async {
        while bus.health().lost < 4000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, is_counted).await.unwrap_or_else(|_| panic!("{:?}", bus.health()));
    assert_eq!(bus.health().lost, 4000);
    let end = node.places().into_iter().max().unwrap();
    assert!(!log.read("/", first, end).await.unwrap().is_whole);
    // It is counted once.
    node.emit_surely("last").await;
    assert_eq!((node.text().await, bus.health().lost), ("last".to_owned(), 4000));
}
