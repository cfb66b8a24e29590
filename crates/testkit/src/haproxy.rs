//! HAProxy with a configuration of the test's own, before or behind the balancer or beside it as an oracle.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::port::Bound;
use crate::process::{Process, program};

/// What a configuration writes for the address of its `bind` line; the test's own socket takes its place.
pub const LISTEN: &str = "{listen}";

/// A running HAProxy. It is killed on drop; it has one process only.
#[derive(Debug)]
pub struct Haproxy {
    /// Where it listens.
    pub address: SocketAddr,
    /// The process, for its log: `Server NODES/NAME is DOWN` and `... is UP` among others.
    pub process: Process,
    _folder: TempDir,
}

impl Haproxy {
    /// Starts HAProxy in the foreground with a whole configuration in which [`LISTEN`] stands once for the address.
    ///
    /// # Errors
    /// When HAProxy is not installed, or the configuration does not have the placeholder.
    pub fn start(configuration: &str) -> Result<Self> {
        ensure!(configuration.contains(LISTEN), "the configuration has no {LISTEN}");
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("haproxy.cfg");
        // HAProxy takes a listening socket by its number: here descriptor 0, its standard input.
        fs::write(&file, configuration.replace(LISTEN, "fd@0"))?;
        let bound = Bound::loopback()?;
        let address = bound.address();
        let mut command = Command::new(program("haproxy"));
        command.arg("-db").arg("-f").arg(&file);
        let process = Process::spawn_with_stdin("haproxy", &mut command, bound.into_stdin())?;
        // There is nothing to wait for: the socket listens already, and a process that ends closes it.
        Ok(Self { address, process, _folder: folder })
    }
}
