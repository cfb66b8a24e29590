//! Decides what can fail, and what is said then.

use std::fmt;

use limpet_bus::Missing;
use serde::Serialize;
use serde_json::Value;

/// Says why an event was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The socket is not connected: not yet, or no more.
    #[error("the socket is not connected")]
    Disconnected,
    /// The client does not read, and its queue was full; it has been disconnected.
    #[error("the client does not read, and its queue is full")]
    QueueFull,
    /// The name is one that the libraries use for themselves, such as `connect`.
    #[error("the event name {0:?} is reserved")]
    ReservedName(String),
    /// The arguments cannot be written as JSON.
    #[error("the arguments cannot be written: {0}")]
    Arguments(String),
    /// The other nodes could not be told. The sockets of this node got the event.
    #[error("{0}")]
    Bus(#[from] limpet_bus::BusError),
}

/// Says why the answer of a client is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// The event was not sent.
    #[error("{0}")]
    Emit(#[from] EmitError),
    /// The client did not answer in time.
    #[error("the client did not answer in time")]
    Timeout,
    /// The client went away before it answered.
    #[error("the client went away before it answered")]
    Disconnected,
    /// The socket waits for as many answers as [`Options::max_waiting_acks`](crate::Options::max_waiting_acks) allows.
    #[error("the socket waits for too many answers")]
    TooMany,
    /// The answer is not of the type that was asked for.
    #[error("{0}")]
    Decode(#[from] ArgumentError),
}

/// Says that not all clients answered a broadcast in time, or that an answer was not of the type that was asked for.
#[derive(Debug)]
#[non_exhaustive]
pub struct BroadcastAckError<R> {
    /// The answers that came, in the order in which they came.
    pub answers: Vec<R>,
    /// How many clients are known to have got the event and did not answer.
    pub missing: usize,
    /// The nodes that did not say how many clients they have.
    pub missing_nodes: Missing,
    /// Why the event could not be sent, or an answer could not be read.
    pub error: Option<AckError>,
}

impl<R> fmt::Display for BroadcastAckError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} clients did not answer", self.missing)?;
        if !self.missing_nodes.is_empty() {
            write!(f, ", and {} did not either", self.missing_nodes)?;
        }
        match &self.error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

impl<R: fmt::Debug> std::error::Error for BroadcastAckError<R> {}

/// Says that not all nodes answered in time.
#[derive(Debug)]
#[non_exhaustive]
pub struct ServerAckError<R> {
    /// The answers that came.
    pub answers: Vec<R>,
    /// The nodes that did not answer.
    pub missing: Missing,
    /// Why the event could not be sent, or an answer could not be read.
    pub error: Option<EmitError>,
}

impl<R> fmt::Display for ServerAckError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => error.fmt(f),
            None => write!(f, "no answer of {}", self.missing),
        }
    }
}

impl<R: fmt::Debug> std::error::Error for ServerAckError<R> {}

/// Says that an argument is not of the type that a handler asks for.
#[derive(Debug, Clone, thiserror::Error)]
#[error("argument {index} is not what was expected: {cause}")]
pub struct ArgumentError {
    /// The place of the argument, from 0 behind the name.
    pub index: usize,
    /// What is wrong with it.
    pub cause: String,
}

/// Refuses a client: what a middleware returns, and what the client gets as its `connect_error`.
///
/// ```
/// use limpet_server::ConnectError;
/// let error = ConnectError::new("not authorized").with_data(&serde_json::json!({ "retry": false }));
/// assert_eq!(error.message(), "not authorized");
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    message: String,
    data: Option<Value>,
}

impl ConnectError {
    /// Makes a refusal with a message for the client.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), data: None }
    }

    /// Adds data for the client. Data that cannot be written as JSON is left out.
    #[must_use]
    pub fn with_data(mut self, data: &impl Serialize) -> Self {
        self.data = serde_json::to_value(data).ok();
        self
    }

    /// Returns the message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the data.
    pub fn data(&self) -> Option<&Value> {
        self.data.as_ref()
    }
}

/// Says why an event of a client does not reach its handlers. See [`Socket::on_error`](crate::Socket::on_error).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// A middleware of the socket refused it.
    #[error("{0}")]
    Refused(Box<dyn std::error::Error + Send + Sync>),
    /// A handler asks for other arguments.
    #[error("{0}")]
    Argument(#[from] ArgumentError),
}
