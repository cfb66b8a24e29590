//! A Redis Cluster of three masters carries what one Redis does, on plain channels and on those of shards.

use limpet_bus::{Peers, RedisOptions, RoomKind, Sharding};
use limpet_testkit::redis::cluster::RedisCluster;

use crate::support::{Node, until};

async fn carries(options: RedisOptions, is_shard: bool) {
    let cluster = RedisCluster::start().unwrap();
    let a = Node::join(&cluster.url(), options.clone()).await;
    let b = Node::join(&cluster.url(), options).await;
    assert_eq!(a.link.peers().await.unwrap(), Peers::Count(1));
    let rooms: Vec<String> = (0..60).map(|number| format!("room {number}")).collect();
    for room in &rooms {
        b.link.room(&room.as_str().into(), RoomKind::Public, true);
    }
    if is_shard {
        for room in &rooms {
            let channel = format!("\"socket.io#/#{room}#\"");
            cluster.wait_for_listeners(&channel, true, 1).unwrap();
        }
    }
    rooms.iter().for_each(|room| a.publish(room, &[room]));
    until(|| b.heard().len() == rooms.len()).await;
    let mut heard = b.heard();
    heard.sort();
    let mut expected: Vec<_> = rooms.iter().map(|room| format!("[\"{room}\"]")).collect();
    expected.sort();
    assert_eq!(heard, expected);
    assert_eq!((a.health().lost, a.health().outages), (0, 0), "{:?}", a.health());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_plain_channels() {
    carries(RedisOptions::default(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_channels_of_shards() {
    let mut options = RedisOptions::default();
    options.sharded = Some(Sharding::Dynamic);
    carries(options, true).await;
}
