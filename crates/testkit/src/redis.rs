//! A Redis of the test's own; it keeps its data over a restart only if asked to.

pub mod cluster;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::process::{PATIENCE, Process, program};
use crate::raw::RawClient;

/// How often another port is tried when somebody takes the chosen one first.
const ATTEMPTS: usize = 5;

/// A running Redis. It is killed on drop.
#[derive(Debug)]
pub struct Redis {
    /// Where it listens.
    pub address: SocketAddr,
    /// The process, to stop or kill it.
    pub process: Process,
    folder: TempDir,
    is_kept: bool,
}

impl Redis {
    /// Starts a Redis on a free port of an address of its own within loopback.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::start_as(false)
    }

    /// Starts a Redis whose data survive its end.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_kept() -> Result<Self> {
        Self::start_as(true)
    }

    fn start_as(is_kept: bool) -> Result<Self> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match Self::start_once(is_kept) {
                Ok(redis) => return Ok(redis),
                Err(error) if error.to_string().contains("Address already in use") => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.context("no attempt")?)
    }

    fn start_once(is_kept: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // Redis takes no socket of another process, so its port is free for an instant.
        let [_, .., low, lower] = std::process::id().to_be_bytes();
        let address = TcpListener::bind((Ipv4Addr::new(127, 82, low, lower), 0))?.local_addr()?;
        let process = run(address, folder.path(), is_kept)?;
        Ok(Self { address, process, folder, is_kept })
    }

    /// Starts it again where it was, after its process has ended.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> Result<()> {
        self.process = run(self.address, self.folder.path(), self.is_kept)?;
        Ok(())
    }

    /// Its URL for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// How many clients listen to a channel.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn listeners(&self, channel: &str) -> Result<u64> {
        self.count("NUMSUB", channel)
    }

    fn count(&self, word: &str, channel: &str) -> Result<u64> {
        let mut client = RawClient::connect(self.address)?;
        client.send(format!("PUBSUB {word} {channel}\r\nQUIT\r\n").as_bytes())?;
        let answer = String::from_utf8_lossy(&client.read_to_end()?).into_owned();
        // An array: the channel's name, then an integer behind a colon.
        let count = answer.lines().find_map(|line| line.strip_prefix(':')?.parse().ok());
        count.with_context(|| format!("Redis answered {answer:?}"))
    }

    /// Waits until so many clients listen to a channel.
    ///
    /// # Errors
    /// When it does not answer, or they do not come within [`PATIENCE`].
    pub fn wait_for_listeners(&self, channel: &str, count: u64) -> Result<()> {
        self.wait_for("NUMSUB", channel, count)
    }

    /// Waits until so many clients listen to a channel of shards.
    ///
    /// # Errors
    /// As [`wait_for_listeners`](Self::wait_for_listeners).
    pub fn wait_for_shard_listeners(&self, channel: &str, count: u64) -> Result<()> {
        self.wait_for("SHARDNUMSUB", channel, count)
    }

    fn wait_for(&self, word: &str, channel: &str, count: u64) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while self.count(word, channel)? < count {
            ensure!(Instant::now() < end, "{count} listeners to {channel}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

fn run(address: SocketAddr, folder: &Path, is_kept: bool) -> Result<Process> {
    let mut command = Command::new(program("redis-server"));
    command.args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()]);
    command.args(["--save", "", "--appendonly", if is_kept { "yes" } else { "no" }, "--dir"]).arg(folder);
    let process = Process::spawn("redis-server", &mut command)?;
    process.wait_for("its start", |line| line.contains("Ready to accept connections").then_some(()))?;
    Ok(process)
}
