//! The conformance suites of `tests/peers` and the servers they judge: ours, and Node's as their proof.
//!
//! Each server exists twice with the same behaviour and command line: as an example of `crates/server` and in
//! `tests/peers/node`. A suite that fails against Node's is wrong itself.

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};

use crate::peers::{Client, folder, node, python};
use crate::process::Process;

/// Who wrote the server under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// `socket.io` on Node: the reference.
    Node,
    /// The examples of `crates/server`.
    Limpet,
}

/// A running server under test: one node, or several that are joined inside one process.
#[derive(Debug)]
pub struct Subject {
    /// Where its nodes listen.
    pub addresses: Vec<SocketAddr>,
    /// The process, to speak with it and to read its output.
    pub process: Process,
}

impl Subject {
    /// Starts the fixture of the protocol suites; with `eio3` it takes clients of version 3 too. Its clients may take so many
    /// milliseconds for a heartbeat.
    ///
    /// # Errors
    /// When it does not start.
    pub fn fixture(maker: Maker, eio3: bool, ping_timeout: &str) -> Result<Self> {
        let mut command = program(maker, "fixture")?;
        command.env("PORT", "0").env("EIO3", if eio3 { "1" } else { "0" });
        command.env("PING_TIMEOUT", ping_timeout).arg("--end-with-stdin");
        Self::start("fixture", command)
    }

    /// Starts the server that has every feature. See the head of `features.js` for its arguments.
    ///
    /// # Errors
    /// When it does not start.
    pub fn features(maker: Maker, arguments: &[&str]) -> Result<Self> {
        let mut command = program(maker, "features")?;
        command.args(arguments).arg("--end-with-stdin");
        Self::start("features", command)
    }

    /// Starts a node that shares a Redis with others. See the head of `cluster-node.js` for its arguments.
    ///
    /// # Errors
    /// When it does not start.
    pub fn cluster_node(maker: Maker, name: &str, redis: &str, arguments: &[&str]) -> Result<Self> {
        let mut command = program(maker, if maker == Maker::Node { "cluster-node" } else { "cluster_node" })?;
        command.args(["--redis", redis, "--name", name]).args(arguments).arg("--end-with-stdin");
        Self::start(name, command)
    }

    /// Starts a server whose clients recover. See the heads of `recovery-node.js` and of our `recovery_node.rs` for its
    /// arguments.
    ///
    /// # Errors
    /// When it does not start.
    pub fn recovery_node(maker: Maker, arguments: &[&str]) -> Result<Self> {
        let mut command = program(maker, if maker == Maker::Node { "recovery-node" } else { "recovery_node" })?;
        command.args(arguments).arg("--end-with-stdin");
        Self::start("recovery", command)
    }

    fn start(name: &str, mut command: Command) -> Result<Self> {
        let process = Process::spawn(name, &mut command)?;
        let ports = process.wait_for("its ports", |line| {
            line.strip_prefix("listening ")?.split(' ').map(|port| port.parse().ok()).collect::<Option<Vec<u16>>>()
        })?;
        let addresses = ports.into_iter().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect();
        Ok(Self { addresses, process })
    }

    /// The URLs of the nodes, separated by commas, as the suites take them.
    #[must_use]
    pub fn urls(&self) -> String {
        let urls: Vec<_> = self.addresses.iter().map(|address| format!("http://{address}")).collect();
        urls.join(",")
    }
}

/// Starts the suite of Engine.IO on the wire.
///
/// # Errors
/// When it does not start.
pub fn engineio_suite(url: &str, arguments: &[&str]) -> Result<Client> {
    Client::start("engineio-suite.js", node("engineio-suite.js")?, url, arguments)
}

/// Starts the suite of Socket.IO on the wire.
///
/// # Errors
/// When it does not start.
pub fn socketio_suite(url: &str, arguments: &[&str]) -> Result<Client> {
    Client::start("socketio-suite.js", node("socketio-suite.js")?, url, arguments)
}

/// Starts the suite of features with `socket.io-client` 4, or 2.5 with `--client 2`.
///
/// # Errors
/// When it does not start.
pub fn features_suite(url: &str, arguments: &[&str]) -> Result<Client> {
    Client::start("features-suite.js", node("features-suite.js")?, url, arguments)
}

/// Starts the suite of what nodes do for each other; the URLs are separated by a comma.
///
/// # Errors
/// When it does not start.
pub fn cluster_suite(urls: &str, arguments: &[&str]) -> Result<Client> {
    Client::start("cluster-suite.js", node("cluster-suite.js")?, urls, arguments)
}

/// The words that start a program which emits into a cluster from outside, for the cluster suite's `--emitter`. See the
/// head of `cluster-emitter.js` for its arguments.
///
/// # Errors
/// When it cannot be built.
pub fn emitter(maker: Maker, redis: &str, arguments: &[&str]) -> Result<String> {
    let mut command = program(maker, if maker == Maker::Node { "cluster-emitter" } else { "emitter" })?;
    command.args(["--redis", redis]).args(arguments);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    Ok(serde_json::to_string(&words)?)
}

/// Starts the suite of events between a node and one of Socket.IO 2 with `socket.io-redis` 5, which it runs itself.
///
/// # Errors
/// When it does not start.
pub fn redis5_suite(url: &str, redis: &str) -> Result<Client> {
    Client::start("redis5-suite.js", node("redis5-suite.js")?, url, &["--redis", redis])
}

/// Starts the suite of what a node and servers of python-socketio do for each other; it runs those itself.
///
/// # Errors
/// When it does not start.
pub fn python_cluster_suite(url: &str, redis: &str) -> Result<Client> {
    let emitter = emitter(Maker::Limpet, redis, &["--python", "socketio"])?;
    Client::start("cluster_suite.py", python("cluster_suite.py")?, url, &["--redis", redis, "--emitter", &emitter])
}

/// Starts the suite of clients that come back; the URLs of nodes are separated by a comma.
///
/// # Errors
/// When it does not start.
pub fn recovery_suite(urls: &str, arguments: &[&str]) -> Result<Client> {
    Client::start("recovery-suite.js", node("recovery-suite.js")?, urls, arguments)
}

/// Starts the suite of features with the client of python-socketio.
///
/// # Errors
/// When it does not start.
pub fn python_features_suite(url: &str, arguments: &[&str]) -> Result<Client> {
    Client::start("features_suite.py", python("features_suite.py")?, url, arguments)
}

/// Runs a suite to its end and asserts that it found nothing. Says what had to be repeated.
///
/// # Panics
/// When it did not start, gave no verdict, or found something.
#[track_caller]
pub fn judge(suite: Result<Client>) {
    let verdict = suite.expect("the suite starts").verdict().expect("a verdict");
    verdict.assert_good();
    if verdict.repeated() > 0 {
        eprintln!("repeated on a busy machine: {verdict:?}");
    }
}

fn program(maker: Maker, name: &str) -> Result<Command> {
    match maker {
        Maker::Node => node(&format!("{name}.js")),
        Maker::Limpet => Ok(Command::new(example(name)?)),
    }
}

/// An example of `crates/server`, beside the running test. `cargo test -p limpet-server` and `--workspace` have built
/// it; for a test that was started in another way it is built now.
///
/// # Errors
/// When it cannot be built.
pub fn example(name: &str) -> Result<PathBuf> {
    static BUILDING: Mutex<()> = Mutex::new(());
    let test = env::current_exe()?;
    let profile = test.parent().and_then(|folder| folder.parent()).context("a test lies in target/PROFILE/deps")?;
    let path = profile.join("examples").join(name);
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    if !path.is_file() {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--package", "limpet-server", "--example", name]).current_dir(folder());
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        let status = cargo.status().context("cannot start cargo")?;
        ensure!(status.success(), "the example {name} cannot be built: {status}");
    }
    Ok(path)
}
