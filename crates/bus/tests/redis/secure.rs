//! Redis that speaks TLS only and wants a certificate of each client: alone, behind a Sentinel, and as a Redis Cluster; and
//! Redis that listens on a socket of the file system. Two nodes hear each other on each of them.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limpet_bus::{Adapter as _, Emitter, NodeId, Peers, Redis as Bus, RedisOptions, RoomKind, Sharding, Streams, To};
use limpet_testkit::certificates::Certificates;
use limpet_testkit::process::{Process, program};
use limpet_testkit::redis::cluster::{RedisCluster, ip};

use crate::places::free;
use crate::support::{Ear, Node, event, names, until};

fn redis(command: &mut Command) -> Process {
    command.args(["--save", "", "--appendonly", "no", "--port", "0"]);
    let process = Process::spawn("redis-server", command).unwrap();
    // It says so for ports and for sockets in slightly different words.
    process.wait_for("its start", |line| line.contains("eady to accept connections").then_some(())).unwrap();
    process
}

/// A Redis that has nothing but TLS.
fn secured(certificates: &Certificates, address: SocketAddr) -> Process {
    let mut command = Command::new(program("redis-server"));
    command.args(["--bind", &address.ip().to_string(), "--tls-port", &address.port().to_string()]);
    command.args(["--tls-replication", "yes"]);
    for [name, value] in certificates.settings(true) {
        command.args([format!("--{name}"), value]);
    }
    redis(&mut command)
}

/// Two nodes hear each other, in both directions, and an emitter; also those that share streams.
async fn carries_all(url: &str) {
    carries(url, RedisOptions::default()).await;
    let (node, emitter) = (Node::join(url, RedisOptions::default()).await, Emitter::connect(url).await.unwrap());
    emitter.emit("event 0", ()).await.unwrap();
    node.hears(&names(1)).await;
    let (a, b) = (Streams::connect(url).await.unwrap(), Streams::connect(url).await.unwrap());
    let ears = [Arc::new(Ear::default()), Arc::new(Ear::default())];
    let links =
        [(&a, &ears[0]), (&b, &ears[1])].map(|(bus, ear)| bus.join("/", NodeId::random(), ear.clone()).unwrap());
    // Who is asked listens itself from then on.
    for link in &links {
        link.peers().await.unwrap();
    }
    for (number, link) in links.iter().enumerate() {
        assert_eq!(link.peers().await.unwrap(), Peers::Count(1));
        link.publish(To::All, event("event 0", &[])).unwrap();
        until(|| ears[1 - number].heard() == [r#"["event 0"]"#]).await;
    }
}

/// Two nodes hear each other, in both directions.
async fn carries(url: &str, options: RedisOptions) {
    let (a, b) = (Node::join(url, options.clone()).await, Node::join(url, options).await);
    assert_eq!(a.link.peers().await.unwrap(), Peers::Count(1));
    b.link.room(&"room".into(), RoomKind::Public, true);
    a.publish("event 0", &[]);
    b.hears(&names(1)).await;
    b.publish("event 0", &[]);
    a.hears(&names(1)).await;
    for node in [&a, &b] {
        let health = node.health();
        assert!(health.is_ok(), "{health}");
        assert_eq!((health.lost, health.outages, health.published), (0, 0, 1), "{health:?}");
    }
}

/// Nobody gets in without a certificate, or without knowing the authority.
async fn is_closed_to_strangers(url: &str, certificates: &Certificates) {
    for query in [certificates.trust(), String::new()] {
        let error = Bus::connect(&format!("{url}?{query}")).await.map(drop).unwrap_err().to_string();
        assert!(error.starts_with("the bus failed"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_wants_a_certificate() {
    let address = free();
    let certificates = Certificates::new(&[address.ip()]).unwrap();
    let _redis = secured(&certificates, address);
    let url = format!("rediss://{address}/");
    carries_all(&format!("{url}?{}", certificates.trust_and_show())).await;
    is_closed_to_strangers(&url, &certificates).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentinel_and_its_master_want_certificates() {
    let (address, master) = (free(), free());
    let certificates = Certificates::new(&[address.ip(), master.ip()]).unwrap();
    let _master = secured(&certificates, master);
    let folder = tempfile::tempdir().unwrap();
    let mut lines = format!(
        "bind {}\nport 0\ntls-port {}\ntls-replication yes\nsentinel monitor main {} {} 1\n",
        address.ip(),
        address.port(),
        master.ip(),
        master.port()
    );
    for [name, value] in certificates.settings(true) {
        lines.push_str(&format!("{name} {value}\n"));
    }
    fs::write(folder.path().join("sentinel.conf"), lines).unwrap();
    let mut command = Command::new(program("redis-server"));
    command.arg(folder.path().join("sentinel.conf")).arg("--sentinel").current_dir(folder.path());
    let sentinel = Process::spawn("sentinel", &mut command).unwrap();
    sentinel.wait_for("its master", |line| line.contains("+monitor master main").then_some(())).unwrap();
    let base = format!("rediss+sentinel://{address}/main");
    let url = format!("{base}?{}", certificates.trust_and_show());
    // The Sentinel may not have seen yet that the master is there.
    let end = Instant::now() + Duration::from_secs(30);
    while let Err(error) = Bus::connect(&url).await.map(drop) {
        assert!(Instant::now() < end, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    carries_all(&url).await;
    is_closed_to_strangers(&base, &certificates).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_of_a_redis_cluster_want_certificates() {
    let certificates = Certificates::new(&[ip().into()]).unwrap();
    let cluster = RedisCluster::start_secure(&certificates).unwrap();
    let base = format!("rediss+cluster://{}", cluster.addresses());
    let url = format!("{base}?{}", certificates.trust_and_show());
    carries_all(&url).await;
    let mut options = RedisOptions::default();
    options.sharded = Some(Sharding::Dynamic);
    carries(&url, options.clone()).await;
    // Rooms are on all three nodes, of which two are known from the first one alone.
    let url = format!("rediss+cluster://{}?{}", cluster.nodes[0].secure.unwrap(), certificates.trust_and_show());
    let (a, b) = (Node::join(&url, options.clone()).await, Node::join(&url, options).await);
    let rooms: Vec<String> = (0..20).map(|number| format!("room {number}")).collect();
    for room in &rooms {
        b.link.room(&room.as_str().into(), RoomKind::Public, true);
    }
    for room in &rooms {
        cluster.wait_for_listeners(&format!("\"socket.io#/#{room}#\""), true, 1).unwrap();
    }
    rooms.iter().for_each(|room| a.publish(room, &[room]));
    until(|| b.heard().len() == rooms.len()).await;
    is_closed_to_strangers(&base, &certificates).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_listens_on_a_socket_of_the_file_system() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("with space.sock");
    let mut command = Command::new(program("redis-server"));
    let users = ["--user", "default", "off", "--user", "ada", "on", ">p/s?", "~*", "&*", "+@all"];
    let _redis = redis(command.arg("--unixsocket").arg(&path).args(users));
    let shown = path.display().to_string().replace(' ', "%20");
    carries_all(&format!("redis+unix://{shown}?user=ada&pass=p%2Fs%3F")).await;
    let error = Bus::connect(&format!("redis+unix://{shown}?user=ada&pass=hunter2")).await.map(drop).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let nobody = folder.path().join("nobody.sock");
    assert!(Bus::connect(&format!("redis+unix://{}", nobody.display())).await.is_err());
}
