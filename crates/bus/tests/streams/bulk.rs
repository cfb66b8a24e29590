//! Many entries of an emitter are added together, and again when Redis did not confirm them; nodes give each once.

use std::time::Duration;

use limpet_bus::{Emitter, StreamsOptions};
use limpet_testkit::redis::Redis;

use crate::support::{Node, Raw};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_lose_and_double_nothing() {
    const COUNT: u32 = 20_000;
    let redis = Redis::start().unwrap();
    let mut options = StreamsOptions::default();
    options.max_len = 2 * u64::from(COUNT);
    let mut node = Node::start_with(&redis, "/", options.clone()).await;
    let emitter = Emitter::connect_streams(&redis.url(), &options).await.unwrap();
    let mut bulk = emitter.bulk().await.unwrap();
    let mut raw = Raw::connect(&redis).await;
    let (over, mut is_over) = tokio::sync::oneshot::channel();
    let trouble = async {
        let mut before = 0;
        // Only as often as something gets through: who tries does not try for ever.
        while is_over.try_recv().is_err() {
            let length: u64 = raw.ask("XLEN socket.io").await;
            if length > before {
                raw.ask::<u64>("CLIENT KILL TYPE normal SKIPME yes").await;
                before = length;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let emits = async {
        for number in 0..COUNT {
            if bulk.is_full() {
                bulk.send().await.unwrap();
            }
            bulk.add(&emitter, "n", number.to_string()).unwrap();
        }
        bulk.send().await.unwrap();
        over.send(()).unwrap();
    };
    tokio::join!(emits, trouble);
    for number in 0..COUNT {
        assert_eq!(node.text().await, number.to_string());
    }
    assert!(!node.has_message());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_take_nothing_name_their_first_event() {
    let redis = Redis::start().unwrap();
    let mut options = StreamsOptions::default();
    options.stream_count = 4;
    let emitter = Emitter::connect_streams(&redis.url(), &options).await.unwrap();
    let mut bulk = emitter.bulk().await.unwrap();
    let mut raw = Raw::connect(&redis).await;
    // Each namespace has a stream of its own here.
    let namespaces = ["/a", "/b", "/c"].map(|name| emitter.of(name));
    let add = |bulk: &mut limpet_bus::Bulk| {
        for namespace in namespaces.iter().cycle().take(6) {
            bulk.add(namespace, "n", ()).unwrap();
        }
    };
    add(&mut bulk);
    bulk.send().await.unwrap();
    let keys: Vec<String> = raw.ask("KEYS socket.io-*").await;
    assert_eq!(keys.len(), 3);
    let before = raw.ask::<u64>(&format!("XLEN {}", keys[0])).await;
    assert_eq!(before, 2);
    for key in &keys {
        raw.ask::<String>(&format!("SET {key} nothing")).await;
    }
    add(&mut bulk);
    let unsent = bulk.send().await.unwrap_err();
    assert!(unsent.index == 0 && unsent.error.to_string().contains("WRONGTYPE"), "{unsent:?}");
    for key in &keys {
        raw.ask::<u64>(&format!("DEL {key}")).await;
    }
    add(&mut bulk);
    bulk.send().await.unwrap();
    assert_eq!(raw.ask::<u64>(&format!("XLEN {}", keys[0])).await, 2);
}
