//! A Redis Cluster of three masters, without replicas.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tempfile::TempDir;

use super::ATTEMPTS;
use crate::certificates::Certificates;
use crate::process::{PATIENCE, Process, program};
use crate::raw::RawClient;

/// The slots of each master.
const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

/// After how long nodes that form a cluster forget one that does not answer, and ask it again.
const FORMING_TIMEOUT: Duration = Duration::from_secs(2);

/// The same once they know each other. After half of it a node breaks the connection to another and drops what was under
/// way on it; a busy machine must not look like that.
const STEADY_TIMEOUT: Duration = Duration::from_secs(120);

/// A running cluster. It is killed on drop.
#[derive(Debug)]
pub struct RedisCluster {
    /// Its masters.
    pub nodes: Vec<Node>,
}

/// A master.
#[derive(Debug)]
pub struct Node {
    /// Where it listens without TLS.
    pub address: SocketAddr,
    /// Where it listens for TLS.
    pub secure: Option<SocketAddr>,
    /// The process, to stop or kill it.
    pub process: Process,
    _folder: TempDir,
}

impl RedisCluster {
    /// Starts a cluster on free ports, and waits until all its nodes know all slots.
    ///
    /// # Errors
    /// When a node does not start, or they do not agree within [`PATIENCE`].
    pub fn start() -> Result<Self> {
        Self::start_as(None)
    }

    /// Starts a cluster whose nodes speak TLS with each other and with clients, who must show a certificate. The
    /// certificates are for [`ip`].
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_secure(certificates: &Certificates) -> Result<Self> {
        Self::start_as(Some(certificates))
    }

    fn start_as(certificates: Option<&Certificates>) -> Result<Self> {
        let mut started = Vec::new();
        for (index, (first, last)) in SLOTS.into_iter().enumerate() {
            let (node, bus) = Node::start(certificates)?;
            node.ask(&format!("CLUSTER ADDSLOTSRANGE {first} {last}"))?;
            node.ask(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1))?;
            started.push((node, bus));
        }
        let end = Instant::now() + PATIENCE;
        loop {
            meet(&started, end)?;
            for (node, _) in &started {
                node.set_timeout(STEADY_TIMEOUT)?;
            }
            if are_whole(&started)? {
                let nodes = started.into_iter().map(|(node, _)| node).collect();
                return Ok(Self { nodes });
            }
            // One was given up meanwhile, and would stay so for long.
            for (node, _) in &started {
                node.set_timeout(FORMING_TIMEOUT)?;
            }
        }
    }

    /// Its URL for our clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+cluster://{}", self.addresses())
    }

    /// Where its nodes listen, separated by commas; for TLS, if they do.
    #[must_use]
    pub fn addresses(&self) -> String {
        let addresses = self.nodes.iter().map(|node| node.secure.unwrap_or(node.address).to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Waits until so many clients, on all nodes together, listen to a channel.
    ///
    /// # Errors
    /// When a node does not answer, or they do not come within [`PATIENCE`].
    pub fn wait_for_listeners(&self, channel: &str, is_shard: bool, count: u64) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        let word = if is_shard { "SHARDNUMSUB" } else { "NUMSUB" };
        loop {
            let mut sum = 0;
            for node in &self.nodes {
                let answer = node.ask(&format!("PUBSUB {word} {channel}"))?;
                sum += answer.lines().find_map(|line| line.strip_prefix(':')?.parse::<u64>().ok()).unwrap_or(0);
            }
            if sum >= count {
                return Ok(());
            }
            ensure!(Instant::now() < end, "{sum} instead of {count} listeners to {channel}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Makes nodes, each with the port of its bus, know each other and all slots.
fn meet(nodes: &[(Node, u16)], end: Instant) -> Result<()> {
    let mut meet_at = Instant::now();
    while !are_whole(nodes)? {
        ensure!(Instant::now() < end, "the nodes of the cluster do not agree: {}", nodes[0].0.ask("CLUSTER NODES")?);
        // A node of a busy machine forgets who has not answered in time.
        if Instant::now() >= meet_at {
            meet_at = Instant::now() + Duration::from_millis(500);
            for ((node, _), (other, bus)) in nodes.iter().flat_map(|node| nodes.iter().map(move |other| (node, other)))
            {
                if node.address != other.address {
                    let port = other.secure.unwrap_or(other.address).port();
                    node.ask(&format!("CLUSTER MEET {} {port} {bus}", other.address.ip()))?;
                }
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn are_whole(nodes: &[(Node, u16)]) -> Result<bool> {
    let whole = nodes.iter().map(|(node, _)| node.is_whole()).collect::<Result<Vec<_>>>()?;
    Ok(whole.into_iter().all(|whole| whole))
}

/// The address of the nodes: each process of tests has its own within loopback.
#[must_use]
pub fn ip() -> Ipv4Addr {
    let [_, .., low, lower] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 83, low, lower)
}

impl Node {
    /// Starts it on free ports, of which somebody else may take one first.
    fn start(certificates: Option<&Certificates>) -> Result<(Self, u16)> {
        let is_taken = |error: &anyhow::Error| error.to_string().contains("Address already in use");
        let mut tries =
            (1..ATTEMPTS).map(|_| Self::start_once(certificates)).filter(|tried| !tried.as_ref().is_err_and(is_taken));
        tries.next().unwrap_or_else(|| Self::start_once(certificates))
    }

    fn start_once(certificates: Option<&Certificates>) -> Result<(Self, u16)> {
        let folder = tempfile::tempdir()?;
        let ip = ip();
        // All are free for an instant.
        let bound = [TcpListener::bind((ip, 0))?, TcpListener::bind((ip, 0))?, TcpListener::bind((ip, 0))?];
        let [address, bus, secure] = bound.each_ref().map(TcpListener::local_addr);
        let (address, bus, secure) = (address?, bus?.port(), certificates.is_some().then_some(secure?));
        drop(bound);
        let mut command = Command::new(program("redis-server"));
        // By where they come from they know each other.
        command.args(["--bind", &ip.to_string(), "--bind-source-addr", &ip.to_string()]);
        command.args(["--port", &address.port().to_string()]);
        command.args(["--cluster-enabled", "yes", "--cluster-port", &bus.to_string()]);
        command.args(["--cluster-node-timeout", &FORMING_TIMEOUT.as_millis().to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(folder.path());
        if let (Some(certificates), Some(secure)) = (certificates, secure) {
            command.args(["--tls-port", &secure.port().to_string(), "--tls-cluster", "yes"]);
            for [name, value] in certificates.settings(true) {
                command.args([format!("--{name}"), value]);
            }
        }
        let process = Process::spawn("redis-server", &mut command)?;
        process.wait_for("its start", |line| line.contains("Ready to accept connections").then_some(()))?;
        Ok((Self { address, secure, process, _folder: folder }, bus))
    }

    /// Gives a command and returns the answer as it comes.
    fn ask(&self, command: &str) -> Result<String> {
        let mut client = RawClient::connect(self.address)?;
        client.send(format!("{command}\r\nQUIT\r\n").as_bytes())?;
        let answer = String::from_utf8_lossy(&client.read_to_end()?).into_owned();
        ensure!(!answer.starts_with('-'), "{command}: {answer}");
        Ok(answer)
    }

    fn set_timeout(&self, timeout: Duration) -> Result<()> {
        self.ask(&format!("CONFIG SET cluster-node-timeout {}", timeout.as_millis())).map(drop)
    }

    fn is_whole(&self) -> Result<bool> {
        let info = self.ask("CLUSTER INFO")?;
        // A node passes nothing on to one that it has no connection to.
        let nodes = self.ask("CLUSTER NODES")?;
        if nodes.matches(" connected").count() < SLOTS.len() || nodes.contains("handshake") {
            return Ok(false);
        }
        Ok(["cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:3"]
            .iter()
            .all(|word| info.contains(word)))
    }
}
