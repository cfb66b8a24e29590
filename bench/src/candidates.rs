//! The proxies under test: how each is configured, started and recognised as ready.
//!
//! All have one thread, two endpoints, keep-alive to them, session affinity, forwarding headers, no access log, no TLS
//! and no health checks. Limpet alone runs with its probes, counters and timeouts, because that is its default.

mod config;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::load::Session;
use crate::network::Network;
use crate::process::{LOAD_CORE, PROXY_CORES, Running, ScratchDirectory};

/// A proxy, in the form in which it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Candidate {
    /// HAProxy.
    Haproxy,
    /// nginx.
    Nginx,
    /// Caddy.
    Caddy,
    /// Limpet with one worker.
    Limpet,
    /// Limpet with two workers on the same core.
    LimpetTwoWorkers,
    /// Limpet with an inserted, signed cookie in place of the sid, as HAProxy runs.
    LimpetCookie,
}

impl Candidate {
    /// The four that are compared.
    pub(crate) const COMPARED: [Self; 4] = [Self::Haproxy, Self::Nginx, Self::Caddy, Self::Limpet];

    /// The name in tables.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Haproxy => "HAProxy",
            Self::Nginx => "nginx",
            Self::Caddy => "Caddy",
            Self::Limpet => "Limpet",
            Self::LimpetTwoWorkers => "Limpet, 2 workers",
            Self::LimpetCookie => "Limpet, cookie",
        }
    }

    /// True for every form of Limpet.
    pub(crate) fn is_limpet(self) -> bool {
        matches!(self, Self::Limpet | Self::LimpetTwoWorkers | Self::LimpetCookie)
    }

    /// What the program says about its version.
    pub(crate) fn version(self, limpet: &Path) -> String {
        let mut command = Command::new(self.program(limpet));
        command.arg(match self {
            Self::Haproxy | Self::Nginx => "-v",
            Self::Caddy => "version",
            Self::Limpet | Self::LimpetTwoWorkers | Self::LimpetCookie => "--version",
        });
        let Ok(output) = command.output() else {
            return "not found".to_owned();
        };
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").trim().to_owned()
    }

    fn program(self, limpet: &Path) -> PathBuf {
        match self {
            Self::Haproxy => "haproxy".into(),
            Self::Nginx => "nginx".into(),
            Self::Caddy => "caddy".into(),
            Self::Limpet | Self::LimpetTwoWorkers | Self::LimpetCookie => limpet.to_owned(),
        }
    }
}

/// A started proxy in front of fresh endpoints. Fresh, so that no candidate inherits sockets in TIME_WAIT.
pub(crate) struct Stage {
    proxy: Running,
    endpoints: Running,
    address: SocketAddr,
    // Dropped last: the processes above write into it.
    _directory: ScratchDirectory,
}

impl Stage {
    /// Starts endpoints and proxy and waits until a session can be opened through both.
    ///
    /// # Errors
    ///
    /// Fails when something does not start within ten seconds; the error holds what the proxy wrote.
    pub(crate) fn start(candidate: Candidate, limpet: &Path, network: Network) -> anyhow::Result<Self> {
        let directory = ScratchDirectory::new(candidate.title().split(',').next().unwrap_or("proxy"))?;
        let endpoint_directory = directory.path().join("endpoint");
        fs::create_dir(&endpoint_directory)?;
        let bench = std::env::current_exe()?;
        let mut endpoints = Running::start(
            LOAD_CORE,
            &bench,
            &["endpoint".to_owned(), network.client().to_string()],
            &endpoint_directory,
        )?;
        let ports = endpoint_ports(&mut endpoints)?;
        let port = free_port()?;
        let arguments = config::arguments(candidate, directory.path(), network, port, ports)?;
        let (program, arguments) = network.at_server(&candidate.program(limpet), &arguments);
        let proxy = Running::start(PROXY_CORES, &program, &arguments, directory.path())?;
        let address = SocketAddr::from((network.server(), port));
        let mut stage = Self { proxy, endpoints, address, _directory: directory };
        stage.wait_until_ready()?;
        Ok(stage)
    }

    /// Where the proxy listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The processes of the proxy.
    pub(crate) fn proxy_pids(&self) -> Vec<u32> {
        self.proxy.pids()
    }

    /// The processes that share the load's core.
    pub(crate) fn load_pids(&self) -> Vec<u32> {
        let mut pids = self.endpoints.pids();
        pids.push(std::process::id());
        pids
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let Err(failure) = Session::open(self.address, 0) else {
                return Ok(());
            };
            if self.proxy.has_ended() || started.elapsed() > Duration::from_secs(10) {
                bail!("not ready: {failure:#}\n{}", self.proxy.output());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Waits for the line with the ports.
fn endpoint_ports(endpoints: &mut Running) -> anyhow::Result<[u16; 2]> {
    let started = Instant::now();
    loop {
        let output = endpoints.output();
        let ports: Vec<u16> = output.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        if let ([first, second], true) = (ports.as_slice(), output.ends_with('\n')) {
            return Ok([*first, *second]);
        }
        if endpoints.has_ended() || started.elapsed() > Duration::from_secs(5) {
            bail!("the endpoints do not start: {output}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
