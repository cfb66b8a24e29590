//! A Redis that writes down what it has, and is stopped and started again at the same place.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::process::{PATIENCE, Process, program};

/// A Redis with an append-only file. It is killed on drop.
#[derive(Debug)]
pub(super) struct Store {
    address: SocketAddr,
    process: Option<Process>,
    folder: TempDir,
}

impl Store {
    /// Starts it on a free port of an address of its own within loopback.
    pub(super) fn start() -> Result<Self> {
        let [_, .., low, lower] = std::process::id().to_be_bytes();
        // Redis takes no socket of another process, so its port is free for an instant, but nobody else uses the address.
        let address = TcpListener::bind((Ipv4Addr::new(127, 83, low, lower), 0))?.local_addr()?;
        let mut store = Self { address, process: None, folder: tempfile::tempdir()? };
        store.go_on()?;
        Ok(store)
    }

    /// Its URL for clients.
    pub(super) fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// Stops it with SIGTERM, so that nothing is lost, and starts it again with what it had.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.process.take().context("it runs")?.terminate()?;
        self.go_on()
    }

    fn go_on(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            let mut command = Command::new(program("redis-server"));
            command.args(["--bind", &self.address.ip().to_string(), "--port", &self.address.port().to_string()]);
            command.args(["--save", "", "--appendonly", "yes", "--dir"]).arg(self.folder.path());
            let process = Process::spawn("redis-server", &mut command)?;
            match process.wait_for("its start", |line| line.contains("Ready to accept connections").then_some(())) {
                Ok(()) => break self.process = Some(process),
                // The connections of the former one are still being torn down.
                Err(_) if process.output().contains("Address already in use") && started.elapsed() < PATIENCE => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
