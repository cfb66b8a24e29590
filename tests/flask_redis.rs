//! Flask-SocketIO replicas that share a Redis message queue, behind the balancer: sessions of every transport stay with
//! their replica, a broadcast reaches all of them, and the application sees who its clients are.

use limpet_testkit::limpet::Launch;
use limpet_testkit::redis::Redis;
use limpet_testkit::{http, peers};

/// The channel of Flask-SocketIO's message queue.
const CHANNEL: &str = "flask-socketio";

#[test]
fn a_broadcast_reaches_the_sessions_of_all_replicas() {
    let redis = Redis::start().unwrap();
    let replicas = ["webapp-1", "webapp-2"].map(|name| peers::flask_server(name, &redis.url()).unwrap());
    let limpet = Launch::proxy(env!("CARGO_BIN_EXE_limpet"), peers::addresses(&replicas)).start().unwrap();

    let mut client = peers::flask_client(&limpet.url(), &["--count", "12"]).unwrap();
    client.connected().unwrap();
    // A replica listens to the queue from its first session on.
    redis.wait_for_listeners(CHANNEL, 2).unwrap();
    client.finish().unwrap();
    let verdict = client.verdict().unwrap();
    verdict.assert_good();
    let nodes = verdict.nodes();
    assert_eq!(nodes, [("webapp-1".to_owned(), 6), ("webapp-2".to_owned(), 6)], "the sessions are spread evenly");
}

#[test]
fn the_application_sees_the_forwarded_headers() {
    let redis = Redis::start().unwrap();
    let replica = peers::flask_server("webapp-1", &redis.url()).unwrap();
    let limpet = Launch::proxy(env!("CARGO_BIN_EXE_limpet"), [replica.address]).start().unwrap();

    // What a client claims about itself is replaced.
    let lines = ["X-Forwarded-For: 203.0.113.9", "X-Real-IP: 203.0.113.9"];
    let answer = http::get(limpet.address, "/headers", &lines).unwrap();
    let seen: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let all = |name: &str| -> Vec<&str> {
        let pairs = seen["headers"].as_array().unwrap().iter();
        pairs.filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap()).collect()
    };
    assert_eq!(all("X-Forwarded-For"), ["127.0.0.1"]);
    assert_eq!(all("X-Real-Ip"), ["127.0.0.1"]);
    assert_eq!(all("X-Forwarded-Proto"), ["http"]);
    assert_eq!(all("Host"), [limpet.address.to_string()]);
    // Whoever looks at this page to check the upgrade headers finds none on a plain request.
    assert!(all("Upgrade").is_empty(), "{seen}");
}
