//! Keys and namespaces may have any name, also one with the mark that separates names in channels.

use std::sync::Arc;
use std::time::Instant;

use limpet_bus::{Adapter, NodeId, Redis as Bus, RedisOptions, Sharding, Streams, StreamsOptions, To};
use limpet_testkit::redis::Redis;

use crate::support::{Ear, PATIENCE, event, until};

/// Namespaces of which the channels of one may look like those of rooms in another.
const NAMESPACES: [&str; 4] = ["/", "/a", "/a#b", "/a#"];

/// Publishes in all namespaces by one process, and expects each to hear its own events alone on another.
async fn reach_each_other(ours: impl Adapter, theirs: impl Adapter) {
    let mut members = Vec::new();
    for namespace in NAMESPACES {
        let ears = [Arc::new(Ear::default()), Arc::new(Ear::default())];
        let join = |bus: &dyn Adapter, ear: &Arc<Ear>| bus.join(namespace, NodeId::random(), ear.clone()).unwrap();
        members.push((namespace, join(&ours, &ears[0]), join(&theirs, &ears[1]), ears));
    }
    for (_, ours, theirs, _) in &members {
        until_two(&**ours).await;
        until_two(&**theirs).await;
    }
    for (namespace, _, theirs, _) in &members {
        theirs.publish(To::All, event(namespace, &[])).unwrap();
        theirs.publish(To::All, limpet_bus::Message::AllRooms { request: "q".into() }).unwrap();
    }
    for (namespace, _, _, [ear, _]) in &members {
        until(|| ear.count() >= 2).await;
        assert_eq!((ear.heard(), ear.count()), (vec![format!("[\"{namespace}\"]")], 2));
    }
}

/// Those who listen are named, and nobody else.
async fn are_named(first: &dyn Adapter, second: &dyn Adapter) {
    let (ids, ear) = ([NodeId::random(), NodeId::random()], Arc::new(Ear::default()));
    let links = [first.join("/", ids[0].clone(), ear.clone()), second.join("/", ids[1].clone(), ear.clone())];
    let [first, second] = links.map(Result::unwrap);
    first.room(&"room".into(), limpet_bus::RoomKind::Public, true);
    until_two(&*first).await;
    until_two(&*second).await;
    assert_eq!(first.names().await.unwrap(), [ids[1].clone()]);
    assert_eq!(second.names().await.unwrap(), [ids[0].clone()]);
    first.close();
    second.close();
}

async fn until_two(link: &dyn limpet_bus::Link) {
    let end = Instant::now() + PATIENCE;
    while link.peers().await.unwrap() != limpet_bus::Peers::Count(1) {
        assert!(Instant::now() < end, "they do not find each other");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_channels() {
    for (sharded, interest) in [(None, false), (None, true), (Some(Sharding::Dynamic), false)] {
        for key in ["socket.io", "my#key", "#"] {
            let redis = Redis::start().unwrap();
            let mut options = RedisOptions::default();
            (options.key, options.sharded, options.interest) = (key.to_owned(), sharded, interest);
            let ours = Bus::connect_with(&redis.url(), options.clone()).await.unwrap();
            let theirs = Bus::connect_with(&redis.url(), options).await.unwrap();
            are_named(&ours, &theirs).await;
            reach_each_other(ours, theirs).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_streams() {
    let redis = Redis::start().unwrap();
    let mut options = StreamsOptions::default();
    options.channel_prefix = "my#key".to_owned();
    let ours = Streams::connect_with(&redis.url(), options.clone()).await.unwrap();
    let theirs = Streams::connect_with(&redis.url(), options).await.unwrap();
    are_named(&ours, &theirs).await;
    reach_each_other(ours, theirs).await;
}
