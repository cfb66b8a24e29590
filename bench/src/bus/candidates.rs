//! The nodes under test: each library with each of its buses. All run the same application with one thread.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::rounds::Work;

/// A library and what joins its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Candidate {
    /// Node's socket.io with its redis adapter.
    NodeRedis,
    /// Node's socket.io with its sharded redis adapter.
    NodeSharded,
    /// Node's socket.io with its streams adapter.
    NodeStreams,
    /// The same, with connection state recovery.
    NodeRecovery,
    /// socketioxide with its redis adapter.
    Socketioxide,
    /// Limpet, as Node's redis adapter.
    LimpetRedis,
    /// Limpet, as Node's sharded redis adapter.
    LimpetSharded,
    /// Limpet, as Node's streams adapter.
    LimpetStreams,
    /// The same, with recovery.
    LimpetRecovery,
}

impl Candidate {
    /// In the order of the table.
    pub(super) const ALL: [Self; 9] = [
        Self::NodeRedis,
        Self::NodeSharded,
        Self::NodeStreams,
        Self::NodeRecovery,
        Self::Socketioxide,
        Self::LimpetRedis,
        Self::LimpetSharded,
        Self::LimpetStreams,
        Self::LimpetRecovery,
    ];

    /// The name in tables.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::NodeRedis => "Node, redis",
            Self::NodeSharded => "Node, sharded",
            Self::NodeStreams => "Node, streams",
            Self::NodeRecovery => "Node, recovery",
            Self::Socketioxide => "socketioxide",
            Self::LimpetRedis => "Limpet, redis",
            Self::LimpetSharded => "Limpet, sharded",
            Self::LimpetStreams => "Limpet, streams",
            Self::LimpetRecovery => "Limpet, recovery",
        }
    }

    /// What the application is told to join its nodes by.
    fn bus(self) -> &'static str {
        match self {
            Self::NodeRedis | Self::LimpetRedis | Self::Socketioxide => "redis",
            Self::NodeSharded | Self::LimpetSharded => "sharded",
            Self::NodeStreams | Self::LimpetStreams => "streams",
            Self::NodeRecovery | Self::LimpetRecovery => "recovery",
        }
    }

    /// Whether it takes part in a work.
    pub(super) fn does(self, work: Work) -> bool {
        match work {
            // One of each kind is enough: an event alone costs what waking up costs, whatever the channel is called.
            Work::Single => !matches!(self, Self::NodeSharded | Self::LimpetSharded),
            Work::Emitter => matches!(self, Self::NodeRedis | Self::LimpetRedis),
            Work::Most | Work::Fixed | Work::Elsewhere => true,
        }
    }

    /// What a form of Limpet is compared with, and the largest ratio that meets the goal; without a goal for a look.
    pub(super) fn goals(self) -> &'static [(Self, Option<f64>)] {
        const NODE: Option<f64> = Some(0.25);
        match self {
            Self::LimpetRedis => &[(Self::NodeRedis, NODE), (Self::Socketioxide, None)],
            Self::LimpetSharded => &[(Self::NodeSharded, NODE)],
            Self::LimpetStreams => &[(Self::NodeStreams, NODE)],
            Self::LimpetRecovery => &[(Self::NodeRecovery, NODE), (Self::LimpetStreams, Some(1.3))],
            _ => &[],
        }
    }
}

/// Where the applications are.
pub(super) struct Programs {
    /// A binary.
    pub(super) limpet: PathBuf,
    /// The `limpet` binary.
    pub(super) emitter: PathBuf,
    /// A binary.
    pub(super) socketioxide: PathBuf,
    /// The folder of scripts.
    pub(super) node: PathBuf,
}

impl Programs {
    /// The binary or the script of a candidate.
    pub(super) fn file(&self, candidate: Candidate) -> PathBuf {
        match candidate {
            Candidate::NodeRedis | Candidate::NodeSharded | Candidate::NodeStreams | Candidate::NodeRecovery => {
                self.node.join("bus.js")
            }
            Candidate::Socketioxide => self.socketioxide.clone(),
            _ => self.limpet.clone(),
        }
    }

    /// What starts a candidate with this Redis.
    pub(super) fn command(&self, candidate: Candidate, redis: &str) -> (PathBuf, Vec<String>) {
        let (program, mut arguments) = self.program(candidate);
        arguments.extend([candidate.bus().to_owned(), redis.to_owned()]);
        (program, arguments)
    }

    /// What the application says about its version.
    pub(super) fn version(&self, candidate: Candidate) -> String {
        let (program, mut arguments) = self.program(candidate);
        arguments.push("--version".to_owned());
        let output = Command::new(program).args(arguments).output();
        output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn program(&self, candidate: Candidate) -> (PathBuf, Vec<String>) {
        let file = self.file(candidate);
        if file.extension() == Some("js".as_ref()) {
            return (Path::new("node").to_owned(), vec![file.display().to_string()]);
        }
        (file, Vec::new())
    }
}
