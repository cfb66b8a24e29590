//! A Redis and two nodes, started for one measurement and ended with it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::candidates::{Candidate, Programs};
use crate::process::{LOAD_CORE, PROXY_CORES, Running, ScratchDirectory};

/// A Redis without persistence, on the core of the load.
pub(super) struct Redis {
    process: Running,
    address: SocketAddr,
    // Dropped last: the process above writes into it.
    _directory: ScratchDirectory,
}

impl Redis {
    /// Starts it on a free port.
    ///
    /// # Errors
    ///
    /// Fails when it is not installed or not ready within ten seconds.
    pub(super) fn start() -> anyhow::Result<Self> {
        let directory = ScratchDirectory::new("redis")?;
        let [_, .., low, lower] = std::process::id().to_be_bytes();
        let address = TcpListener::bind((Ipv4Addr::new(127, 84, low, lower), 0))?.local_addr()?;
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let arguments = ["--bind", &ip, "--port", &port, "--save", "", "--appendonly", "no"].map(str::to_owned);
        let mut process = Running::start(LOAD_CORE, Path::new("redis-server"), &arguments, directory.path())?;
        wait(&mut process, |output| output.contains("Ready to accept connections").then_some(()))?;
        Ok(Self { process, address, _directory: directory })
    }

    /// Its URL.
    pub(super) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Its process.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.process.pids()
    }
}

/// A node, on the core of what is measured.
pub(super) struct Node {
    process: Running,
    /// Where it listens.
    pub(super) address: SocketAddr,
    _directory: ScratchDirectory,
}

impl Node {
    /// Starts it and waits for the line with its port.
    ///
    /// # Errors
    ///
    /// Fails when it is not ready within ten seconds; the error holds what it wrote.
    pub(super) fn start(candidate: Candidate, programs: &Programs, redis: &Redis) -> anyhow::Result<Self> {
        let directory = ScratchDirectory::new("node")?;
        let (program, arguments) = programs.command(candidate, &redis.url());
        let mut process = Running::start(PROXY_CORES, &program, &arguments, directory.path())?;
        let port = wait(&mut process, |output| {
            let (line, _) = output.strip_prefix("listening ")?.split_once('\n')?;
            line.parse().ok()
        })?;
        Ok(Self { process, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), _directory: directory })
    }

    /// Its processes.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.process.pids()
    }

    /// What it wrote after the line with its port.
    pub(super) fn complaints(&self) -> String {
        self.process.output().split_once('\n').map(|(_, rest)| rest.trim().to_owned()).unwrap_or_default()
    }
}

fn wait<T>(process: &mut Running, pick: impl Fn(&str) -> Option<T>) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        let output = process.output();
        if let Some(found) = pick(&output) {
            return Ok(found);
        }
        if process.has_ended() || started.elapsed() > Duration::from_secs(10) {
            bail!("not ready: {output}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
