//! Decides how an event of another server is seen and answered.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use limpet_bus::NodeId;
use limpet_bus::cluster::Reply;
use limpet_proto::socketio::arguments::Arguments;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ArgumentError, EmitError};

/// An event of another server: its name, its arguments, and the way to reply. Clones are the same event.
#[derive(Debug, Clone)]
pub struct ServerEvent {
    node: NodeId,
    arguments: Arguments,
    reply: Option<Arc<Mutex<Option<Reply>>>>,
}

impl ServerEvent {
    pub(crate) fn new(node: NodeId, arguments: Arguments, reply: Option<Reply>) -> Self {
        Self { node, arguments, reply: reply.map(|reply| Arc::new(Mutex::new(Some(reply)))) }
    }

    /// Returns the name of the server that sent it.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// Returns the name of the event.
    pub fn name(&self) -> Cow<'_, str> {
        self.arguments.event_name()
    }

    /// Reads an argument; the first behind the name is 0. One that is not there reads as null.
    ///
    /// # Errors
    /// [`ArgumentError`] when the argument is not of this type.
    pub fn get<T: DeserializeOwned>(&self, index: usize) -> Result<T, ArgumentError> {
        self.arguments.get(index + 1).map_err(|error| ArgumentError { index, cause: error.to_string() })
    }

    /// Returns whether the other server waits for a reply.
    pub fn is_reply_wanted(&self) -> bool {
        self.reply.is_some()
    }

    /// Replies. Does nothing when no reply is wanted, or one was sent.
    ///
    /// # Errors
    /// [`EmitError`] when the value cannot be written, or the other node cannot be told.
    pub fn reply(&self, value: impl Serialize) -> Result<(), EmitError> {
        let taken = self.reply.as_ref().and_then(|reply| reply.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(reply) = taken else { return Ok(()) };
        let arguments = Arguments::values(&value).map_err(|error| EmitError::Arguments(error.to_string()))?;
        Ok(reply.send(arguments)?)
    }
}
