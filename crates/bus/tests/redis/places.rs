//! Redis behind TLS and a password, and behind Sentinels, of which another takes the place of the master.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

use limpet_bus::{Redis as Bus, RedisOptions};
use limpet_testkit::certificates::Certificates;
use limpet_testkit::process::{Process, program};
use limpet_testkit::redis::Redis;

use crate::support::{Node, ask, names, until};

/// A free port, for an instant.
pub(crate) fn free() -> SocketAddr {
    let [_, .., low, lower] = std::process::id().to_be_bytes();
    TcpListener::bind((Ipv4Addr::new(127, 84, low, lower), 0)).unwrap().local_addr().unwrap()
}

/// A Redis that wants TLS, and a user with a password that has to be escaped in a URL.
fn secured() -> (Process, SocketAddr, Certificates) {
    let address = free();
    let certificates = Certificates::new(&[address.ip()]).unwrap();
    let mut command = Command::new(program("redis-server"));
    command.args(["--bind", &address.ip().to_string(), "--port", "0", "--tls-port", &address.port().to_string()]);
    for [name, value] in certificates.settings(false) {
        command.args([format!("--{name}"), value]);
    }
    command.args(["--save", "", "--appendonly", "no"]);
    command.args([
        "--user",
        "default",
        "off",
        "--user",
        "ada",
        "on",
        ">p/s?:@",
        "resetchannels",
        "&socket.io*",
        // A pattern is allowed only if it is named as it stands.
        "&socket.io#/#*",
        "-@all",
    ]);
    command.args([
        "+publish",
        "+subscribe",
        "+psubscribe",
        "+unsubscribe",
        "+punsubscribe",
        "+pubsub",
        "+ping",
        "+hello",
    ]);
    command.args(["+info", "+client"]);
    let process = Process::spawn("redis-server", &mut command).unwrap();
    process.wait_for("its start", |line| line.contains("Ready to accept connections").then_some(())).unwrap();
    (process, address, certificates)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_a_user_with_few_rights() {
    let (_redis, address, certificates) = secured();
    let user = "ada:p%2Fs%3F:%40";
    let url = format!("rediss://{user}@{address}/?{}", certificates.trust());
    let (a, b) = (Node::join(&url, RedisOptions::default()).await, Node::join(&url, RedisOptions::default()).await);
    a.publish("event 0", &[]);
    a.publish("event 1", &["room"]);
    b.hears(&names(2)).await;
    let insecure = Node::join(&format!("rediss://{user}@{address}/#insecure"), RedisOptions::default()).await;
    insecure.publish("event 2", &[]);
    b.hears(&names(3)).await;
    assert_eq!((a.health().lost, a.health().outages), (0, 0));
    // Without the authority, as somebody else, or without TLS nobody gets in, and nobody reads the password in an error.
    for url in [
        format!("rediss://{user}@{address}"),
        format!("rediss://ada:hunter2@{address}/#insecure"),
        format!("redis://{user}@{address}"),
    ] {
        let error = Bus::connect(&url).await.map(drop).unwrap_err().to_string();
        assert!(!error.contains("hunter2") && !error.contains("p/s"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_redis_takes_the_place_of_the_master() {
    let (mut master, replica) = (Redis::start().unwrap(), Redis::start().unwrap());
    let (host, port) = (master.address.ip().to_string(), master.address.port().to_string());
    // Otherwise it is known by where its connections come from.
    let own = replica.address.ip().to_string();
    ask(&replica, &[b"CONFIG", b"SET", b"replica-announce-ip", own.as_bytes()]);
    ask(&replica, &[b"REPLICAOF", host.as_bytes(), port.as_bytes()]);
    until(|| ask(&replica, &[b"INFO", b"replication"]).contains("master_link_status:up")).await;
    let folder = tempfile::tempdir().unwrap();
    let address = free();
    let sentinel = format!(
        "bind {}\nport {}\nsentinel monitor main {host} {port} 1\nsentinel down-after-milliseconds main 500\n\
         sentinel failover-timeout main 3000\n",
        address.ip(),
        address.port()
    );
    fs::write(folder.path().join("sentinel.conf"), sentinel).unwrap();
    let mut command = Command::new(program("redis-server"));
    command.arg(folder.path().join("sentinel.conf")).arg("--sentinel").current_dir(folder.path());
    let sentinel = Process::spawn("sentinel", &mut command).unwrap();
    sentinel.wait_for("the replica", |line| line.contains("+slave").then_some(())).unwrap();
    let url = format!("redis+sentinel://{address}/main");
    let (a, b) = (Node::join(&url, RedisOptions::default()).await, Node::join(&url, RedisOptions::default()).await);
    a.publish("event 0", &[]);
    b.hears(&names(1)).await;
    master.process.kill().unwrap();
    a.is_ok(false).await;
    let names = names(100);
    names[1..].iter().for_each(|name| a.publish(name, &[]));
    b.hears(&names).await;
    a.is_ok(true).await;
    b.is_ok(true).await;
    assert_eq!((a.health().published, a.health().lost), (100, 0), "{:?}", a.health());
    assert!(ask(&replica, &[b"ROLE"]).contains("master"));
}
