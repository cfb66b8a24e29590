//! The handle by which anything in this process delivers endpoints: replicas, an admin page, a demonstration.

use tokio::sync::{mpsc, oneshot};

use crate::config::{AdminState, EndpointConfig};

/// The source of the endpoints in the configuration, and on the command line.
pub(super) const CONFIGURATION: &str = "configuration";

/// The source of the endpoints in an upstream's file.
pub(super) const FILE: &str = "file";

/// Deliveries that may wait for the control thread; whoever delivers more waits.
pub(super) const WAITING: usize = 64;

/// Delivers endpoints to the upstreams of a running balancer. Clones deliver to the same balancer.
#[derive(Clone, Debug)]
pub struct Endpoints {
    commands: mpsc::Sender<Command>,
}

/// Why endpoints were not taken over. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no upstream of this name.
    #[error("there is no upstream {0:?}")]
    UnknownUpstream(String),
    /// The upstream has no endpoint of this id, address or name.
    #[error("there is no endpoint {0:?}")]
    UnknownEndpoint(String),
    /// The source belongs to the balancer itself.
    #[error("the source {0:?} belongs to the balancer; choose another name")]
    ReservedSource(String),
    /// An address or an id is there twice, in the set or in the set and another source.
    #[error("{0}")]
    Repeated(String),
    /// An endpoint lacks its host or port, or its weight is above 256.
    #[error("{0:?} is not an endpoint; it needs a host, a port (none for an SRV record) and a weight up to 256")]
    Wrong(String),
    /// There would be more than is allowed.
    #[error("too many {what}; at most {most} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// The balancer has ended.
    #[error("the balancer has ended")]
    Ended,
}

/// Returns whether a source is the balancer's own.
pub(super) fn is_reserved(source: &str) -> bool {
    source == CONFIGURATION || source == FILE
}

/// What the control thread is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    Set { upstream: String, source: String, set: Vec<EndpointConfig>, done: oneshot::Sender<Result<(), Refusal>> },
    SetState { upstream: String, endpoint: String, state: AdminState, done: oneshot::Sender<Result<usize, Refusal>> },
    ReadFiles { done: oneshot::Sender<usize> },
}

impl Endpoints {
    pub(super) fn new(commands: mpsc::Sender<Command>) -> Self {
        Self { commands }
    }

    /// Replaces all endpoints that a source has delivered to an upstream; none takes the source away. Those that did not
    /// change are not touched. When this returns, new sessions are placed accordingly; names are still being looked up.
    ///
    /// Sources count in the order in which they first delivered, after the configuration and its file.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub async fn set(&self, upstream: &str, source: &str, set: Vec<EndpointConfig>) -> Result<(), Refusal> {
        if is_reserved(source) {
            return Err(Refusal::ReservedSource(source.to_owned()));
        }
        let (upstream, source) = (upstream.to_owned(), source.to_owned());
        self.ask(|done| Command::Set { upstream, source, set, done }).await?
    }

    /// Sets the state of the endpoints of an upstream that have this id, address or name, whatever their source, and
    /// returns how many there are. It counts until their source wants another state than it does now.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub async fn set_state(&self, upstream: &str, endpoint: &str, state: AdminState) -> Result<usize, Refusal> {
        let (upstream, endpoint) = (upstream.to_owned(), endpoint.to_owned());
        self.ask(|done| Command::SetState { upstream, endpoint, state, done }).await?
    }

    /// Reads every endpoints file again, whether or not it seems to have changed, and returns how many there are.
    ///
    /// # Errors
    /// [`Refusal::Ended`].
    pub async fn read_files(&self) -> Result<usize, Refusal> {
        self.ask(|done| Command::ReadFiles { done }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Refusal> {
        let (done, answer) = oneshot::channel();
        self.commands.send(command(done)).await.map_err(|_| Refusal::Ended)?;
        answer.await.map_err(|_| Refusal::Ended)
    }
}
