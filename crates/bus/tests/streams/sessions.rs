//! Who holds a session, with nodes of both kinds.

use std::sync::Arc;
use std::time::Duration;

use limpet_bus::log::{Hold, Lease, Log, Progress, Refreshed, Session};
use limpet_bus::{Adapter as _, NodeId, Streams};
use limpet_testkit::redis::Redis;
use serde_json::json;

use crate::support::{LIMIT, Raw};

const KEY: &str = "sio:session:secret-1";

async fn begin(retention: Duration) -> (Redis, Raw, Arc<dyn Log>) {
    let redis = Redis::start().unwrap();
    let raw = Raw::connect(&redis).await;
    let log = Streams::connect(&redis.url()).await.unwrap().log(retention).unwrap();
    (redis, raw, log)
}

fn session() -> Session {
    Session {
        id: "id".into(),
        secret: "secret-1".into(),
        rooms: vec!["id".into(), "lobby".into()],
        data: json!({ "name": "ada" }),
        progress: Progress { sent: Some("5-1".parse().unwrap()), ..Progress::default() },
    }
}

fn lease(node: &str, epoch: u64) -> Lease {
    Lease { node: NodeId::from(node), epoch }
}

async fn refresh(log: &Arc<dyn Log>, lease: Lease) -> Refreshed {
    log.refresh("/", &[("secret-1".into(), lease)]).await.unwrap()[0]
}

#[tokio::test]
async fn who_adopts_a_session_has_it() {
    let (_redis, mut raw, log) = begin(Duration::from_secs(60)).await;
    let (a, b) = (NodeId::from("a"), NodeId::from("b:1"));
    assert!(log.adopt("/", "secret-1", &a).await.unwrap().is_none());
    assert_eq!(log.save("/", &session(), &lease("a", 1)).await.unwrap(), Hold::Kept);
    assert_eq!(log.save("/", &session(), &lease("a", 1)).await.unwrap(), Hold::Kept);
    assert_eq!(log.save("/", &session(), &lease("other", 1)).await.unwrap(), Hold::Taken);
    assert_eq!(refresh(&log, lease("a", 1)).await, Refreshed::Kept);
    // Scripts that Redis does not know any more are no obstacle.
    raw.ask::<String>("SCRIPT FLUSH").await;
    let adopted = log.adopt("/", "secret-1", &b).await.unwrap().unwrap();
    assert_eq!((adopted.session, adopted.epoch, adopted.former), (session(), 2, Some(a.clone())));
    assert_eq!(log.save("/", &session(), &lease("a", 1)).await.unwrap(), Hold::Taken);
    assert_eq!(refresh(&log, lease("a", 1)).await, Refreshed::Taken);
    log.forget("/", "secret-1", &lease("a", 1)).await.unwrap();
    assert_eq!(refresh(&log, lease("b:1", 2)).await, Refreshed::Kept);
    // An attempt that was given up can be repeated, by whomever.
    assert_eq!(log.adopt("/", "secret-1", &b).await.unwrap().unwrap().epoch, 3);
    let again = log.adopt("/", "secret-1", &a).await.unwrap().unwrap();
    assert_eq!((again.epoch, again.former), (4, Some(b)));
    assert!(log.adopt("/other", "secret-1", &a).await.unwrap().is_none(), "it is of one namespace");
    let lives: i64 = raw.ask(&format!("PTTL {KEY}")).await;
    assert!((1..=60_000).contains(&lives));
    log.forget("/", "secret-1", &lease("a", 5)).await.unwrap();
    assert_eq!(raw.ask::<u64>("DBSIZE").await, 0);
}

#[tokio::test]
async fn of_many_who_adopt_at_once_one_has_it() {
    let (_redis, _raw, log) = begin(Duration::from_secs(60)).await;
    log.save("/", &session(), &lease("a", 1)).await.unwrap();
    let tries = (0..50).map(|number| {
        let log = log.clone();
        tokio::spawn(async move {
            let node = NodeId::from(number.to_string());
            let epoch = log.adopt("/", "secret-1", &node).await.unwrap().unwrap().epoch;
            (node, epoch)
        })
    });
    let mut leases = Vec::new();
    for attempt in tries.collect::<Vec<_>>() {
        leases.push(attempt.await.unwrap());
    }
    leases.sort_by_key(|(_, epoch)| *epoch);
    assert!(leases.iter().map(|(_, epoch)| *epoch).eq(2..52));
    for (node, epoch) in &leases {
        let expected = if *epoch == 51 { Hold::Kept } else { Hold::Taken };
        assert_eq!(log.save("/", &session(), &lease(node.as_str(), *epoch)).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn what_is_gone_is_lost_and_can_be_saved_again() {
    let (_redis, mut raw, log) = begin(Duration::from_secs(60)).await;
    log.save("/", &session(), &lease("a", 4)).await.unwrap();
    raw.ask::<String>("FLUSHALL").await;
    assert_eq!(refresh(&log, lease("a", 4)).await, Refreshed::Lost);
    assert_eq!(log.save("/", &session(), &lease("a", 4)).await.unwrap(), Hold::Kept);
    assert_eq!(log.adopt("/", "secret-1", &NodeId::from("b")).await.unwrap().unwrap().epoch, 5);
}

#[tokio::test]
async fn what_nobody_keeps_ends() {
    let (_redis, mut raw, log) = begin(Duration::from_millis(100)).await;
    log.save("/", &session(), &lease("a", 1)).await.unwrap();
    let ended = async { while raw.ask::<u64>("DBSIZE").await > 0 {} };
    tokio::time::timeout(LIMIT, ended).await.expect("its time is over");
    assert_eq!(refresh(&log, lease("a", 1)).await, Refreshed::Lost);
}

#[tokio::test]
async fn what_a_node_of_node_takes_is_not_ours() {
    let (_redis, mut raw, log) = begin(Duration::from_secs(60)).await;
    log.save("/", &session(), &lease("a", 1)).await.unwrap();
    let taken: String = raw.ask(&format!("GETDEL {KEY}")).await;
    assert_eq!(refresh(&log, lease("a", 1)).await, Refreshed::Taken);
    assert_eq!(log.save("/", &session(), &lease("a", 1)).await.unwrap(), Hold::Taken);
    assert!(log.adopt("/", "secret-1", &NodeId::from("b")).await.unwrap().is_none());
    // That node keeps it again, in its own words.
    let of_node = "hKNzaWSiaWSjcGlkqHNlY3JldC0xpXJvb21zkqJpZKNuZXekZGF0YcA=";
    raw.ask::<String>(&format!("SET {KEY} {of_node} PX 60000")).await;
    assert_eq!(refresh(&log, lease("a", 1)).await, Refreshed::Taken);
    let adopted = log.adopt("/", "secret-1", &NodeId::from("b")).await.unwrap().unwrap();
    assert_eq!((adopted.session.rooms[1].as_ref(), adopted.epoch), ("new", 2));
    assert_eq!(log.save("/", &session(), &lease("b", 2)).await.unwrap(), Hold::Kept);
    assert!(!taken.is_empty());
}

#[tokio::test]
async fn a_session_without_its_second_key_goes_on_counting() {
    let (_redis, mut raw, log) = begin(Duration::from_secs(60)).await;
    log.save("/", &session(), &lease("a", 7)).await.unwrap();
    raw.ask::<u64>(&format!("DEL {{{KEY}}}:owner")).await;
    assert_eq!(refresh(&log, lease("a", 7)).await, Refreshed::Taken, "nobody knows who holds it");
    assert_eq!(log.adopt("/", "secret-1", &NodeId::from("b")).await.unwrap().unwrap().epoch, 8);
}

#[tokio::test]
async fn only_secrets_are_looked_up() {
    let (_redis, mut raw, log) = begin(Duration::from_secs(60)).await;
    let long = "a".repeat(65);
    for secret in ["", "a b", "{x}", "a\r\nb", "*", &long] {
        assert!(log.adopt("/", secret, &NodeId::from("a")).await.unwrap().is_none(), "{secret}");
    }
    raw.ask::<String>(&format!("SET {KEY} nonsense")).await;
    assert!(log.adopt("/", "secret-1", &NodeId::from("a")).await.unwrap().is_none());
}
