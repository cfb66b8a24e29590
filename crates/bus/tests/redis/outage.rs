//! Redis is restarted, stalls, closes connections, or says nonsense: what was published arrives, in order and once, or is
//! counted as lost; nothing stays deaf.

use limpet_bus::health::State;
use limpet_bus::{BusError, RedisOptions, To};
use limpet_testkit::redis::Redis;
use rustix::process::Signal;

use crate::support::{Node, ask, event, names, until};

async fn pair(redis: &Redis) -> (Node, Node) {
    let first = Node::join(&redis.url(), RedisOptions::default()).await;
    (first, Node::join(&redis.url(), RedisOptions::default()).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_delays_and_loses_nothing_that_waited() {
    let mut redis = Redis::start().unwrap();
    let (a, b) = pair(&redis).await;
    a.publish("event 0", &[]);
    b.hears(&names(1)).await;
    redis.process.terminate().unwrap();
    a.is_ok(false).await;
    b.is_ok(false).await;
    let names = names(1000);
    names[1..].iter().for_each(|name| a.publish(name, &[]));
    until(|| a.health().queued == 999).await;
    let State::Degraded { reason, .. } = a.health().state else { panic!("{:?}", a.health()) };
    assert!(!reason.is_empty());
    redis.start_again().unwrap();
    b.hears(&names).await;
    a.is_ok(true).await;
    b.is_ok(true).await;
    let health = a.health();
    assert_eq!((health.published, health.lost, health.queued, health.outages), (1000, 0, 0, 1), "{health:?}");
    assert_eq!(b.health().received, 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_delays_and_loses_nothing() {
    let redis = Redis::start().unwrap();
    let (a, b) = pair(&redis).await;
    redis.process.signal(Signal::STOP).unwrap();
    let names = names(600);
    names.iter().for_each(|name| a.publish(name, &[]));
    a.is_ok(false).await;
    b.is_ok(false).await;
    redis.process.signal(Signal::CONT).unwrap();
    b.hears(&names).await;
    a.is_ok(true).await;
    b.is_ok(true).await;
    let health = a.health();
    assert_eq!((health.published, health.lost, health.queued), (600, 0, 0), "{health:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_listener_comes_back() {
    let redis = Redis::start().unwrap();
    let (a, b) = pair(&redis).await;
    for round in 0..3 {
        ask(&redis, &[b"CLIENT", b"KILL", b"TYPE", b"pubsub"]);
        until(|| b.health().outages == round + 1 && b.health().is_ok()).await;
        // Who publishes is not cut off by that.
        a.publish(&format!("event {round}"), &[]);
        b.hears(&names(round as usize + 1)).await;
    }
    assert_eq!(a.health().lost, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broken_connection_had_under_way_is_counted_as_lost() {
    let mut redis = Redis::start().unwrap();
    let (a, b) = pair(&redis).await;
    a.publish("event 0", &[]);
    b.hears(&names(1)).await;
    redis.process.signal(Signal::STOP).unwrap();
    a.publish("event 1", &[]);
    a.is_ok(false).await;
    // A crash: nobody knows whether it was passed on.
    redis.process.kill().unwrap();
    until(|| a.health().lost == 1).await;
    redis.start_again().unwrap();
    a.is_ok(true).await;
    b.is_ok(true).await;
    a.publish("event 2", &[]);
    until(|| b.heard().len() == 2).await;
    assert_eq!(b.heard()[1], r#"["event 2"]"#);
    assert_eq!((a.health().published, a.health().lost), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_bounded() {
    let mut redis = Redis::start().unwrap();
    let mut options = RedisOptions::default();
    options.max_queued = 10;
    let a = Node::join(&redis.url(), options).await;
    let mut options = RedisOptions::default();
    options.max_queued_bytes = 1000;
    let b = Node::join(&redis.url(), options).await;
    redis.process.terminate().unwrap();
    for _ in 0..10 {
        a.publish("waits", &[]);
    }
    assert!(matches!(a.link.publish(To::All, event("too many", &[])), Err(BusError::Full)));
    assert_eq!((a.health().queued, a.health().refused), (10, 1));
    b.publish("waits", &[]);
    assert!(matches!(b.link.publish(To::All, event(&"x".repeat(1000), &[])), Err(BusError::Full)));
    assert_eq!((b.health().queued, b.health().refused), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_waits_for_redis() {
    let redis = Redis::start().unwrap();
    let (a, b) = pair(&redis).await;
    a.link.publish_confirmed(To::All, event("event 0", &[])).await.unwrap();
    redis.process.signal(Signal::STOP).unwrap();
    let confirmed = tokio::spawn(a.link.publish_confirmed(To::All, event("event 1", &[])));
    a.is_ok(false).await;
    assert!(!confirmed.is_finished());
    redis.process.signal(Signal::CONT).unwrap();
    confirmed.await.unwrap().unwrap();
    b.hears(&names(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_counted_and_dropped() {
    let redis = Redis::start().unwrap();
    let (a, b) = pair(&redis).await;
    let id = b"socket.io-response#/#";
    let deep = [b"{\"a\":".repeat(5000), b"1".to_vec()].concat();
    let nonsense: [(&[u8], &[u8]); 9] = [
        (b"socket.io#/#", b""),
        (b"socket.io#/#", b"\x93\xa1a"),
        (b"socket.io#/#", b"\xdd\xff\xff\xff\xff"),
        (b"socket.io#/#room#", b"\xc6\xff\xff\xff\xff"),
        (b"socket.io#/#", b"\x80\x04\x95pickle"),
        (b"socket.io-request#/#", b"{\"type\":99}"),
        (b"socket.io-request#/#", &deep),
        (id, b"{\"requestId\":{}}"),
        (id, b"\xff"),
    ];
    for (channel, body) in nonsense {
        ask(&redis, &[b"PUBLISH", channel, body]);
    }
    a.publish("event 0", &[]);
    b.hears(&names(1)).await;
    assert_eq!(b.health().malformed, nonsense.len() as u64);
    assert!(b.health().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_others_is_told_how_many_there_are() {
    use limpet_bus::Peers;
    let redis = Redis::start().unwrap();
    let (a, b) = pair(&redis).await;
    assert_eq!(a.link.peers().await.unwrap(), Peers::Count(1));
    b.link.close();
    until(|| redis.listeners("socket.io-request#/#").unwrap() == 1).await;
    assert_eq!(a.link.peers().await.unwrap(), Peers::Count(0));
}
