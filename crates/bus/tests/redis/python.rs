//! The channel of Python's servers: each of our nodes takes what they publish once, and never what ours publish there.

use limpet_bus::{Message, RedisOptions, To};
use limpet_proto::socketio::arguments::Arguments;
use limpet_testkit::redis::Redis;

use crate::support::{Node, ask, names, until};

fn options() -> RedisOptions {
    let mut options = RedisOptions::default();
    options.python = Some("socketio".to_owned());
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_takes_an_event_once() {
    let redis = Redis::start().unwrap();
    let (a, b) = (Node::join(&redis.url(), options()).await, Node::join(&redis.url(), options()).await);
    until(|| redis.listeners("socketio").unwrap() == 2).await;
    let emit = br#"{"method":"emit","event":"event 0","data":[],"namespace":"/","room":"r","host_id":"0f"}"#;
    ask(&redis, &[b"PUBLISH", b"socketio", emit]);
    a.hears(&names(1)).await;
    b.hears(&names(1)).await;
    // What ours say goes to Python's servers too, and still comes once.
    a.publish("event 1", &["r"]);
    b.hears(&names(2)).await;
    ask(&redis, &[b"PUBLISH", b"socketio", b"\x80\x04\x95pickle"]);
    until(|| a.health().malformed == 1 && b.health().malformed == 1).await;
    a.publish("event 2", &["r"]);
    b.hears(&names(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_goes_back_to_who_asked() {
    let redis = Redis::start().unwrap();
    let a = Node::join(&redis.url(), options()).await;
    let b = Node::join(&redis.url(), options()).await;
    until(|| redis.listeners("socketio").unwrap() == 2).await;
    let emit =
        br#"{"method":"emit","event":"e","data":[1],"namespace":"/","room":"s","callback":["s","/",7],"host_id":"0f"}"#;
    ask(&redis, &[b"PUBLISH", b"socketio", emit]);
    until(|| !a.messages().is_empty()).await;
    let asked = a.messages().remove(0);
    let Message::Broadcast { request: Some(request), .. } = asked.message else { panic!("{asked:?}") };
    // Python's servers are not told how many clients there are.
    let to = To::Node(&asked.node);
    a.link.publish(to, Message::BroadcastCount { request: request.clone(), clients: 1 }).unwrap();
    let arguments = Arguments::from_parts(r#"["yes",2]"#, Vec::new()).unwrap();
    a.link.publish(to, Message::BroadcastAck { request, arguments }).unwrap();
    until(|| a.health().published == 1).await;
    // The callback is for 0f alone; nodes of ours leave it.
    assert_eq!((b.messages().len(), b.health().malformed), (1, 0));
}
