//! A node asks Redis for what its rooms need, and for nothing else.

use limpet_bus::{RedisOptions, RoomKind, Sharding};
use limpet_testkit::redis::Redis;

use crate::support::{Node, ask, names, until};

fn count(redis: &Redis, words: &[&[u8]]) -> u64 {
    ask(redis, words).lines().find_map(|line| line.strip_prefix(':')?.parse().ok()).unwrap_or_default()
}

async fn leaves_what_it_asked_for(options: RedisOptions, word: &[u8]) {
    let redis = Redis::start().unwrap();
    let a = Node::join(&redis.url(), options.clone()).await;
    let b = Node::join(&redis.url(), options).await;
    assert_eq!(count(&redis, &[b"PUBSUB", b"NUMPAT"]), 0);
    let listeners = |channel: &[u8]| count(&redis, &[b"PUBSUB", word, channel]);
    assert!(b.link.wants_rooms());
    let room = "r".into();
    b.link.room(&room, RoomKind::Public, true);
    until(|| listeners(b"socket.io#/#r#") == 1).await;
    a.publish("nobody's", &["s"]);
    a.publish("event 0", &["r"]);
    b.hears(&names(1)).await;
    // It is asked for again after a failure.
    ask(&redis, &[b"CLIENT", b"KILL", b"TYPE", b"pubsub"]);
    until(|| b.health().outages == 1 && b.health().is_ok()).await;
    a.publish("event 1", &["r"]);
    b.hears(&names(2)).await;
    b.link.room(&room, RoomKind::Public, false);
    until(|| listeners(b"socket.io#/#r#") == 0).await;
    b.link.room(&room, RoomKind::Public, true);
    until(|| listeners(b"socket.io#/#r#") == 1).await;
    b.link.close();
    until(|| listeners(b"socket.io#/#r#") == 0 && listeners(b"socket.io#/#") == 1).await;
    assert_eq!(a.health().lost, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_interest() {
    let mut options = RedisOptions::default();
    options.interest = true;
    leaves_what_it_asked_for(options, b"NUMSUB").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_shards() {
    let mut options = RedisOptions::default();
    options.sharded = Some(Sharding::Dynamic);
    leaves_what_it_asked_for(options, b"SHARDNUMSUB").await;
}
