//! The servers under test: how each is started and recognised as ready.
//!
//! All run the same application with one thread: `echo` is sent back, `ask` is acknowledged, `news` goes to everybody, and `burst` four times.
//! All have their default options, so that compression is off everywhere.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::network::Network;
use crate::process::{PROXY_CORES, Running, ScratchDirectory};

/// A server library, or what comes before any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Candidate {
    /// Receives and sends, and nothing else.
    Floor,
    /// Node's socket.io with ws.
    Node,
    /// socketioxide with axum.
    Socketioxide,
    /// Limpet.
    Limpet,
}

impl Candidate {
    /// In the order of the table.
    pub(super) const ALL: [Self; 4] = [Self::Floor, Self::Node, Self::Socketioxide, Self::Limpet];

    /// The name in tables.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Floor => "bare sockets",
            Self::Node => "Node",
            Self::Socketioxide => "socketioxide",
            Self::Limpet => "Limpet",
        }
    }
}

/// Where the applications are.
pub(super) struct Programs {
    /// A binary.
    pub(super) limpet: PathBuf,
    /// A binary.
    pub(super) socketioxide: PathBuf,
    /// A script.
    pub(super) node: PathBuf,
    /// This program.
    pub(super) bench: PathBuf,
}

impl Programs {
    /// The binary or the script of a candidate.
    pub(super) fn file(&self, candidate: Candidate) -> &Path {
        match candidate {
            Candidate::Floor => &self.bench,
            Candidate::Node => &self.node,
            Candidate::Socketioxide => &self.socketioxide,
            Candidate::Limpet => &self.limpet,
        }
    }

    /// What the application says about its version.
    pub(super) fn version(&self, candidate: Candidate) -> String {
        let (program, mut arguments) = self.command(candidate, Ipv4Addr::LOCALHOST);
        if candidate == Candidate::Floor {
            return "one receive and one send for each message, no server".to_owned();
        }
        arguments.push("--version".to_owned());
        let output = Command::new(program).args(arguments).output();
        output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn command(&self, candidate: Candidate, address: Ipv4Addr) -> (PathBuf, Vec<String>) {
        let address = address.to_string();
        match candidate {
            Candidate::Floor => (self.bench.clone(), vec!["floor".to_owned(), address]),
            Candidate::Node => ("node".into(), vec![self.node.display().to_string(), address]),
            Candidate::Socketioxide | Candidate::Limpet => (self.file(candidate).to_owned(), vec![address]),
        }
    }
}

/// A started server.
pub(super) struct Stage {
    server: Running,
    address: SocketAddr,
    // Dropped last: the process above writes into it.
    _directory: ScratchDirectory,
}

impl Stage {
    /// Starts a server and waits for the line with its port.
    ///
    /// # Errors
    ///
    /// Fails when it does not start within ten seconds; the error holds what it wrote.
    pub(super) fn start(candidate: Candidate, programs: &Programs, network: Network) -> anyhow::Result<Self> {
        let directory = ScratchDirectory::new(candidate.title())?;
        let (program, arguments) = programs.command(candidate, network.server());
        let (program, arguments) = network.at_server(&program, &arguments);
        let mut server = Running::start(PROXY_CORES, &program, &arguments, directory.path())?;
        let started = Instant::now();
        loop {
            let output = server.output();
            let port = output.strip_prefix("listening ").filter(|_| output.ends_with('\n'));
            if let Some(port) = port.and_then(|port| port.trim().parse().ok()) {
                let address = SocketAddr::from((network.server(), port));
                return Ok(Self { server, address, _directory: directory });
            }
            if server.has_ended() || started.elapsed() > Duration::from_secs(10) {
                bail!("not ready: {output}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where the server listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The processes of the server.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.server.pids()
    }

    /// What the server wrote after the line with its port.
    pub(super) fn complaints(&self) -> String {
        self.server.output().split_once('\n').map(|(_, rest)| rest.trim().to_owned()).unwrap_or_default()
    }
}
