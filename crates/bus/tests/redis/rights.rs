//! A user with the rights that the page on the bus names, and no others, can do all that a node does.

use std::sync::Arc;
use std::time::Duration;

use limpet_bus::log::{Hold, Lease, Progress, Session};
use limpet_bus::{Adapter as _, Emitter, Link, NodeId, Peers, RedisOptions, Sharding, Streams, StreamsOptions, To};
use limpet_testkit::redis::Redis;
use serde_json::json;

use crate::support::{Ear, Node, ask, event, names, until};

const PAGE: &str = include_str!("../../../../docs/bus.md");

/// The rights in the row of the page that begins so.
fn row(name: &str) -> Vec<String> {
    let row = PAGE.lines().find(|line| line.starts_with(&format!("| {name} |"))).unwrap_or_else(|| panic!("{name}"));
    let words = row.split('`').skip(1).step_by(2).map(|word| word.replace("\\|", "|"));
    words.filter(|word| word.starts_with(['&', '~', '+'])).collect()
}

/// Makes a user with these rights, and returns the URL to connect as it.
fn user(redis: &Redis, rights: &[String]) -> String {
    let mut words: Vec<&[u8]> =
        vec![b"ACL", b"SETUSER", b"app", b"reset", b"on", b">secret", b"resetkeys", b"resetchannels", b"-@all"];
    words.extend(rights.iter().map(String::as_bytes));
    let answer = ask(redis, &words);
    assert!(answer.starts_with("+OK"), "{answer}");
    format!("redis://app:secret@{}", redis.address)
}

/// Nothing was asked of Redis that it denied.
fn nothing_was_denied(redis: &Redis) {
    let denied = ask(redis, &[b"ACL", b"LOG"]);
    assert!(denied.starts_with("*0"), "{denied}");
}

async fn two_nodes(rows: &[&str], path: &str, change: impl Fn(&mut RedisOptions)) {
    let redis = Redis::start().unwrap();
    let rights: Vec<_> = rows.iter().flat_map(|name| row(name)).collect();
    let url = user(&redis, &rights) + path;
    let mut options = RedisOptions::default();
    change(&mut options);
    let (a, b) = (Node::join(&url, options.clone()).await, Node::join(&url, options).await);
    b.link.room(&"room".into(), limpet_bus::RoomKind::Public, true);
    a.publish("event 0", &[]);
    b.hears(&names(1)).await;
    assert_eq!(a.link.peers().await.unwrap(), Peers::Count(1));
    assert_eq!(a.link.names().await.unwrap().len(), 1);
    assert!(a.health().is_ok() && b.health().is_ok());
    nothing_was_denied(&redis);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_nodes_on_channels() {
    two_nodes(&["every node", "`Redis` without `interest` and `sharded`"], "", |_| ()).await;
    two_nodes(&["every node", "another database than 0"], "/3", |options| options.interest = true).await;
    let sharded = "`sharded`, and `sharded_pubsub` of `Streams`";
    two_nodes(&["every node", sharded], "", |options| options.sharded = Some(Sharding::Dynamic)).await;
    let python = |options: &mut RedisOptions| (options.interest, options.python) = (true, Some("socketio".to_owned()));
    two_nodes(&["every node", "`python`"], "", python).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_nodes_that_share_streams() {
    let redis = Redis::start().unwrap();
    let mut rights = [row("every node"), row("nodes that share `Streams`")].concat();
    let url = user(&redis, &rights);
    let (a, b) = (Streams::connect(&url).await.unwrap(), Streams::connect(&url).await.unwrap());
    let log = a.log(Duration::from_secs(60)).unwrap();
    let ears = [Arc::new(Ear::default()), Arc::new(Ear::default())];
    let join = |bus: &Streams, number: usize| bus.join("/", NodeId::random(), ears[number].clone()).unwrap();
    let links: [Box<dyn Link>; 2] = [join(&a, 0), join(&b, 1)];
    // Several at once are a transaction.
    for number in 0..3 {
        links[0].publish(To::All, event(&format!("event {number}"), &[])).unwrap();
    }
    until(|| ears[1].heard().len() == 3).await;
    assert_eq!(links[0].peers().await.unwrap(), Peers::Count(1));
    assert_eq!(links[0].names().await.unwrap().len(), 1);
    let session = Session {
        id: "id".into(),
        secret: "secret".into(),
        rooms: Vec::new(),
        data: json!({}),
        progress: Progress::default(),
    };
    let lease = Lease { node: "a".into(), epoch: 1 };
    assert_eq!(log.save("/", &session, &lease).await.unwrap(), Hold::Kept);
    assert_eq!(log.refresh("/", &[("secret".into(), lease)]).await.unwrap(), [limpet_bus::log::Refreshed::Kept]);
    let adopted = log.adopt("/", "secret", &"b".into()).await.unwrap().unwrap();
    log.forget("/", "secret", &Lease { node: "b".into(), epoch: adopted.epoch }).await.unwrap();
    let offset = limpet_bus::Offset::ZERO;
    let end = limpet_bus::Offset { millis: u64::MAX, counter: 0 };
    log.read("/", offset, end).await.unwrap();
    assert!(a.health().is_ok() && b.health().is_ok());
    nothing_was_denied(&redis);

    // A node that may not add says so.
    rights.retain(|right| right != "+xadd");
    user(&redis, &rights);
    let refused = links[0].publish_confirmed(To::All, event("event 3", &[])).await.unwrap_err();
    assert!(refused.to_string().contains("xadd"), "{refused}");
    until(|| a.health().to_string().contains("xadd")).await;
    assert_eq!(a.health().lost, 1);
    rights.push("+xadd".to_owned());
    user(&redis, &rights);
    links[0].publish_confirmed(To::All, event("event 4", &[])).await.unwrap();
    until(|| a.health().is_ok()).await;

    // So does one that may not keep sessions. Its clients need not wait for what will not be.
    let lease = Lease { node: "b".into(), epoch: 1 };
    log.save("/", &session, &lease).await.unwrap();
    rights.retain(|right| right != "+evalsha");
    user(&redis, &rights);
    assert!(log.save("/", &session, &lease).await.is_err());
    assert!(a.health().to_string().contains("evalsha"), "{}", a.health());
    assert!(log.adopt("/", "secret", &"c".into()).await.unwrap().is_none());
    rights.push("+evalsha".to_owned());
    user(&redis, &rights);
    log.save("/", &session, &lease).await.unwrap();
    assert!(a.health().is_ok());
}

/// A Redis that asks nobody for a password gives no stranger the rights of its default user.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_nobody_else() {
    let redis = Redis::start().unwrap();
    let connect = async |user: &str| Emitter::connect(&format!("redis://{user}@{}", redis.address)).await;
    let error = connect("ada").await.map(drop).unwrap_err().to_string();
    assert!(error.contains("WRONGPASS"), "{error}");
    let answer = ask(&redis, &[b"ACL", b"SETUSER", b"ada", b"on", b"nopass", b"+hello", b"+client"]);
    assert!(answer.starts_with("+OK"), "{answer}");
    let refused = connect("ada").await.unwrap().emit("hi", ()).await.unwrap_err().to_string();
    assert!(refused.contains("publish"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_emitters() {
    let redis = Redis::start().unwrap();
    let rights = row("`limpet emit` alone, instead of the first row");
    let url = user(&redis, &rights);
    Emitter::connect(&url).await.unwrap().to("room").emit("hi", ()).await.unwrap();
    let streams = Emitter::connect_streams(&url, &StreamsOptions::default()).await.unwrap();
    streams.emit("hi", ()).await.unwrap();
    nothing_was_denied(&redis);
}
