//! Apache as an oracle beside the balancer, with a whole configuration of the test's own.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Process, program};

/// Where Debian keeps the modules.
const MODULES: &str = "/usr/lib/apache2/modules";

/// What a proxy with balancers, header edits and rewrite rules needs.
const NEEDED: [&str; 10] = [
    "mpm_event",
    "authz_core",
    "headers",
    "rewrite",
    "slotmem_shm",
    "proxy",
    "proxy_http",
    "proxy_wstunnel",
    "proxy_balancer",
    "lbmethod_byrequests",
];

/// How often another port is tried when somebody takes the chosen one first.
const ATTEMPTS: usize = 5;

/// A running Apache with one child process.
#[derive(Debug)]
pub struct Apache {
    /// Where it listens.
    pub address: SocketAddr,
    /// The process, for its log.
    pub process: Process,
    _folder: TempDir,
}

impl Apache {
    /// Starts Apache in the foreground with this text in its server configuration.
    ///
    /// What belongs to the machine is added here and must not be in the text: modules, `Listen`, logs, the user, and the
    /// number of processes.
    ///
    /// # Errors
    /// When Apache is not installed or does not start.
    pub fn start(configuration: &str) -> Result<Self> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match Self::start_once(configuration) {
                Ok(apache) => return Ok(apache),
                Err(error) if error.to_string().contains("Address already in use") => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.context("no attempt")?)
    }

    fn start_once(configuration: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // Apache takes no socket of another process, so its port is free for an instant. On an address of its own within
        // loopback nobody else asks for one.
        let [_, .., low, lower] = std::process::id().to_be_bytes();
        let address = TcpListener::bind((Ipv4Addr::new(127, 80, low, lower), 0))?.local_addr()?;
        let file = folder.path().join("apache.conf");
        fs::write(&file, whole(address, folder.path(), configuration)?)?;
        let mut command = Command::new(program("apache2"));
        command.arg("-d").arg(folder.path()).arg("-f").arg(&file).arg("-DFOREGROUND");
        let process = Process::spawn("apache2", &mut command)?;
        process.wait_for("its start", |line| line.contains("resuming normal operations").then_some(()))?;
        Ok(Self { address, process, _folder: folder })
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // The parent ends its child, which a killed parent would leave behind. Failing means that it has ended.
        let _ = self.process.signal(Signal::TERM);
        let _ = self.process.wait_within(Duration::from_secs(5));
    }
}

fn whole(address: SocketAddr, folder: &Path, configuration: &str) -> Result<String> {
    let mut text = String::new();
    for module in NEEDED {
        writeln!(text, "LoadModule {module}_module {MODULES}/mod_{module}.so")?;
    }
    let folder = folder.display();
    write!(
        text,
        r#"
DefaultRuntimeDir "{folder}"
PidFile apache.pid
DocumentRoot "{folder}"
ErrorLog /dev/stderr
ServerName localhost
Listen {address}
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MinSpareThreads 1
MaxSpareThreads 64
MaxRequestWorkers 64
{configuration}
"#
    )?;
    if rustix::process::geteuid().is_root() {
        // Apache does not serve as root.
        text.push_str("User nobody\nGroup nogroup\n");
    }
    Ok(text)
}
