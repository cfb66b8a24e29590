//! A Redis of the test's own, without persistence.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::process::{Process, program};
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
    _folder: TempDir,
}

impl Redis {
    /// Starts a Redis on a free port of an address of its own within loopback.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start() -> Result<Self> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match Self::start_once() {
                Ok(redis) => return Ok(redis),
                Err(error) if error.to_string().contains("Address already in use") => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.context("no attempt")?)
    }

    fn start_once() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // Redis takes no socket of another process, so its port is free for an instant.
        let [_, .., low, lower] = std::process::id().to_be_bytes();
        let address = TcpListener::bind((Ipv4Addr::new(127, 82, low, lower), 0))?.local_addr()?;
        let mut command = Command::new(program("redis-server"));
        command.args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(folder.path());
        let process = Process::spawn("redis-server", &mut command)?;
        process.wait_for("its start", |line| line.contains("Ready to accept connections").then_some(()))?;
        Ok(Self { address, process, _folder: folder })
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
        let mut client = RawClient::connect(self.address)?;
        client.send(format!("PUBSUB NUMSUB {channel}\r\nQUIT\r\n").as_bytes())?;
        let answer = String::from_utf8_lossy(&client.read_to_end()?).into_owned();
        // An array: the channel's name, then an integer behind a colon.
        let count = answer.lines().find_map(|line| line.strip_prefix(':')?.parse().ok());
        count.with_context(|| format!("Redis answered {answer:?}"))
    }

    /// Waits until so many clients listen to a channel.
    ///
    /// # Errors
    /// When it does not answer, or they do not come within 30 seconds.
    pub fn wait_for_listeners(&self, channel: &str, count: u64) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        while self.listeners(channel)? < count {
            ensure!(Instant::now() < end, "{count} listeners to {channel}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}
