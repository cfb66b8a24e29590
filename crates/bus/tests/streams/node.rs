//! Sessions that Node's own adapter takes and keeps.

use std::process::Command;
use std::time::Duration;

use limpet_bus::log::{Hold, Lease, Progress, Refreshed, Session};
use limpet_bus::{Adapter as _, Streams};
use limpet_testkit::peers;
use limpet_testkit::process::{Process, program};
use limpet_testkit::redis::Redis;
use serde_json::{Value, json};

use crate::support::Node;

fn take(redis: &Redis, offset: &str) -> Process {
    let mut command = Command::new(program("node"));
    command.arg(peers::folder().join("node/streams-session.js"));
    command.args(["--redis", &redis.url(), "--pid", "secret-1", "--offset", offset]);
    Process::spawn("node", &mut command).unwrap()
}

#[tokio::test]
async fn a_session_goes_to_node_and_comes_back() {
    let redis = Redis::start().unwrap();
    let bus = Streams::connect(&redis.url()).await.unwrap();
    let log = bus.log(Duration::from_secs(60)).unwrap();
    let mut node = Node::join(&bus, "/");
    let lease = Lease { node: node.id.clone(), epoch: 1 };
    let session = Session {
        id: "id".into(),
        secret: "secret-1".into(),
        rooms: vec!["id".into(), "größe".into()],
        data: json!({ "name": "ada", "n": [1, 2.5, null] }),
        progress: Progress::default(),
    };
    assert_eq!(log.save("/", &session, &lease).await.unwrap(), Hold::Kept);
    for text in ["seen", "missed"] {
        node.emit_surely(text).await;
    }
    let [seen, missed] = [node.next().await.offset.unwrap(), node.next().await.offset.unwrap()];
    let process = take(&redis, &seen.to_string());
    let line = |begin: &'static str| {
        let said = process.wait_for(begin, |line| {
            assert!(!line.starts_with("refused"), "{line}");
            line.strip_prefix(begin).map(str::to_owned)
        });
        said.unwrap()
    };
    let restored: Value = serde_json::from_str(&line("restored ")).unwrap();
    assert_eq!(
        restored,
        json!({
            "sid": "id", "pid": "secret-1", "rooms": ["id", "größe"], "data": session.data,
            "missedPackets": [["n", "missed", missed.to_string()]],
        })
    );
    line("kept");
    let refreshed = log.refresh("/", &[("secret-1".into(), lease.clone())]).await.unwrap();
    assert_eq!(refreshed, [Refreshed::Taken]);
    assert_eq!(log.save("/", &session, &lease).await.unwrap(), Hold::Taken);
    let adopted = log.adopt("/", "secret-1", &node.id).await.unwrap().unwrap();
    let rooms: Vec<_> = adopted.session.rooms.iter().map(|room| &**room).collect();
    assert_eq!((rooms, adopted.epoch, adopted.former), (vec!["id", "größe", "more"], 2, None));
    assert_eq!(adopted.session.data["avatar"], json!({ "type": "Buffer", "data": [1, 255] }));
}
