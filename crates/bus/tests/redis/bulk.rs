//! Many events of an emitter leave together, each is heard once and in order, and who is refused is named.

use std::time::Duration;

use limpet_bus::{BusError, Emitter, RedisOptions};
use limpet_testkit::redis::Redis;
use rustix::process::Signal;

use crate::support::{Node, ask, names, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_events_leave_together_in_their_order() {
    let redis = Redis::start().unwrap();
    let node = Node::join(&redis.url(), RedisOptions::default()).await;
    let emitter = Emitter::connect(&redis.url()).await.unwrap();
    let rooms = [emitter.clone(), emitter.to("a"), emitter.to("a").to("b").except("c").volatile()];
    let mut bulk = emitter.bulk().await.unwrap();
    let names = names(2000);
    for (number, name) in names.iter().enumerate() {
        if bulk.is_full() {
            let refused = bulk.add(&emitter, "one more", ()).unwrap_err();
            assert!(matches!(refused, BusError::Full), "{refused}");
            bulk.send().await.unwrap();
            assert!(bulk.is_empty());
        }
        match number % 2 {
            0 => bulk.add(&rooms[number % 3], name, ()).unwrap(),
            _ => bulk.add_json(&rooms[number % 3], &format!("[\"{name}\"]")).unwrap(),
        }
    }
    assert!(!bulk.is_empty() && node.heard().len() < names.len(), "what is not sent is not sent");
    bulk.send().await.unwrap();
    bulk.send().await.unwrap();
    node.hears(&names).await;
    for wrong in ["", "[", "[1]", "[]", "{}", "[\"a\"] b"] {
        assert!(matches!(bulk.add_json(&emitter, wrong), Err(BusError::Malformed(_))), "{wrong}");
    }
    assert!(bulk.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_that_redis_refuses_is_named() {
    let redis = Redis::start().unwrap();
    let node = Node::join(&redis.url(), RedisOptions::default()).await;
    let user = "ACL SETUSER ada on >p resetchannels &socket.io#/#a# ~* +@all";
    ask(&redis, &user.split(' ').map(str::as_bytes).collect::<Vec<_>>());
    let emitter = Emitter::connect(&format!("redis://ada:p@{}", redis.address)).await.unwrap();
    let mut bulk = emitter.bulk().await.unwrap();
    for (number, room) in ["a", "a", "b", "a", "b"].into_iter().enumerate() {
        bulk.add(&emitter.to(room), &format!("event {number}"), ()).unwrap();
    }
    let unsent = bulk.send().await.unwrap_err();
    assert!(unsent.index == 2 && unsent.error.to_string().contains("no permissions"), "{unsent:?}");
    assert!(bulk.is_empty());
    // The next answers belong to the next events.
    bulk.add(&emitter.to("a"), "event 4", ()).unwrap();
    bulk.send().await.unwrap();
    until(|| node.heard().len() == 4).await;
    assert_eq!(node.heard(), [0, 1, 3, 4].map(|number| format!("[\"event {number}\"]")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_is_told_of_and_made_anew() {
    let mut redis = Redis::start().unwrap();
    let emitter = Emitter::connect(&redis.url()).await.unwrap();
    let mut bulk = emitter.bulk().await.unwrap();
    // It is closed before anything is sent, which is nobody's loss once this process knows.
    for attempt in 0.. {
        ask(&redis, &[b"CLIENT", b"KILL", b"TYPE", b"normal"]);
        tokio::time::sleep(Duration::from_millis(attempt)).await;
        bulk.add(&emitter, "event", ()).unwrap();
        if bulk.send().await.is_ok() {
            break;
        }
        assert!(attempt < 100, "a closed connection is used");
    }
    redis.process.signal(Signal::STOP).unwrap();
    bulk.add(&emitter, "may be lost", ()).unwrap();
    let (unsent, ()) = tokio::join!(bulk.send(), async { redis.process.signal(Signal::KILL).unwrap() });
    assert_eq!(unsent.unwrap_err().index, 0);
    redis.start_again().unwrap();
    let node = Node::join(&redis.url(), RedisOptions::default()).await;
    bulk.add(&emitter, "event 0", ()).unwrap();
    bulk.send().await.unwrap();
    node.hears(&names(1)).await;
}
