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

/// How many rooms there are, how many of them a node has, and how many events go to each.
const ROOMS: (usize, usize, usize) = (50, 5, 20);

/// Sends events to many rooms, of which another node has a few. Returns how many events that node and the sender got from
/// Redis, and how many bytes Redis sent to both.
async fn received(interest: bool) -> (u64, u64, u64) {
    let (all, some, each) = ROOMS;
    let redis = Redis::start().unwrap();
    let mut options = RedisOptions::default();
    options.interest = interest;
    let (a, b) = (Node::join(&redis.url(), options.clone()).await, Node::join(&redis.url(), options).await);
    let rooms: Vec<String> = (0..all).map(|number| format!("room {number}")).collect();
    for room in &rooms[..some] {
        b.link.room(&room.as_str().into(), RoomKind::Public, true);
        let channel = format!("socket.io#/#{room}#");
        until(|| !interest || count(&redis, &[b"PUBSUB", b"NUMSUB", channel.as_bytes()]) == 1).await;
    }
    let sent = |redis| {
        let info = ask(redis, &[b"INFO", b"stats"]);
        let bytes = info.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:")?.parse::<u64>().ok());
        bytes.unwrap()
    };
    let before = sent(&redis);
    for round in 0..each {
        rooms.iter().for_each(|room| a.publish(&format!("{round} {room}"), &[room]));
    }
    // What goes to all is the last that either of them hears.
    a.publish("end", &[]);
    b.publish("end", &[]);
    let end = r#"["end"]"#.to_owned();
    until(|| a.heard().contains(&end) && b.heard().contains(&end)).await;
    let events = b.heard().len() - 1;
    assert!(events >= some * each, "{events}");
    // Each got both of the last ones.
    (b.health().received - 2, a.health().received - 2, sent(&redis) - before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interest_spares_nodes_what_they_would_drop() {
    let (all, some, each) = (ROOMS.0 as u64, ROOMS.1 as u64, ROOMS.2 as u64);
    let (other, own, all_bytes) = received(false).await;
    assert_eq!((other, own), (all * each, all * each));
    let (other, own, bytes) = received(true).await;
    assert_eq!((other, own), (some * each, 0));
    println!("{all_bytes} bytes from Redis without interest, {bytes} with");
    assert!(bytes * 4 < all_bytes, "{bytes} of {all_bytes} bytes");
}
