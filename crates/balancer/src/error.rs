//! Why the balancer cannot run.

use std::io;
use std::net::SocketAddr;

use crate::affinity::key::KeyError;
use crate::discovery::Refusal;

/// Why the balancer cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A listener cannot be bound.
    #[error("listener {name}: cannot listen on {address}: {source}{}", hint(source))]
    Bind {
        /// The listener.
        name: String,
        /// Its address.
        address: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
    /// The keys of the tags cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The endpoints of the configuration contradict each other.
    #[error(transparent)]
    Endpoints(#[from] Refusal),
    /// A route names something that does not exist.
    #[error("a route names {0:?}, which does not exist")]
    Route(String),
    /// The command of replicas cannot be started.
    #[error("replicas of upstream {upstream}: cannot start {command:?}: {source}")]
    Replicas {
        /// The upstream.
        upstream: String,
        /// The program and its arguments.
        command: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// A thread or runtime cannot be made.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// A worker has panicked. This is a bug.
    #[error("a worker has failed; please report this")]
    Worker,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => ". Another process listens there; stop it or choose another port",
        io::ErrorKind::PermissionDenied => {
            ". Ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one or grant it"
        }
        io::ErrorKind::AddrNotAvailable => ". This machine does not have that address",
        _ => "",
    }
}
