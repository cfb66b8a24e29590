//! Decides how servers of python-socketio 5.14 and later, Flask-SocketIO's among them, are joined by the one channel that
//! they share: JSON objects with a `method`.
//!
//! Python's servers do for each other: events for rooms, and joining, leaving and disconnecting of single sockets. They
//! know no requests but the acknowledgement of a client, and none says how many clients it has asked: so acknowledgements
//! are asked of single sockets only, of which there is one at most. Each of our nodes takes what they publish, for its own sockets;
//! what a node of ours publishes, they take. Our nodes know each other's messages there and leave them alone.
//! Older versions publish pickle, which runs code when it is read: it is never read.

mod read;
mod write;

use std::sync::Arc;

use bytes::Bytes;

use super::member::Members;
use crate::adapter::{BusError, Outsiders, To};
use crate::envelope::Message;
use crate::node::{NodeId, random_u64};
use crate::target::Targets;
pub(crate) use write::write;

/// With what the names of our nodes begin on the channel. Python's are 32 hexadecimal digits.
const OWN: &str = "limpet-";

/// With what the name of a Python server begins among nodes.
const HOST: &str = "python:";

/// The way to Python's servers.
#[derive(Debug)]
pub(super) struct Python {
    channel: Arc<str>,
    host: String,
}

impl Python {
    pub(super) fn new(channel: &str) -> Self {
        Self { channel: channel.into(), host: format!("{OWN}{:016x}", random_u64()) }
    }

    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    /// Takes what came on the channel.
    ///
    /// # Errors
    /// [`BusError::Malformed`] when it is no message of theirs.
    pub(super) fn hear(&self, bytes: &Bytes, members: &Members) -> Result<(), BusError> {
        let Some(read::Heard { host, namespace, message }) = read::read(bytes, &self.host)? else { return Ok(()) };
        // What our nodes say there they say to each other elsewhere. An answer carries the name of who asked.
        if host.starts_with(OWN) && !matches!(message, Message::BroadcastAck { .. }) {
            return Ok(());
        }
        let node = NodeId::from(format!("{HOST}{host}"));
        for member in &*members.of(&namespace) {
            member.take(node.clone(), message.clone());
        }
        Ok(())
    }

    /// Tells which of their clients are asked for acknowledgements.
    pub(super) fn outsiders(&self, targets: &Targets) -> Outsiders {
        write::one_socket(targets).map_or(Outsiders::Unasked, |_| Outsiders::One)
    }

    /// Writes what Python's servers understand of a message; nothing for others.
    pub(super) fn write(&self, to: To<'_>, namespace: &str, message: &Message) -> Vec<Vec<u8>> {
        match (to, message) {
            (To::Node(node), Message::BroadcastAck { request, arguments }) => {
                let Some(host) = node.as_str().strip_prefix(HOST) else { return Vec::new() };
                write::callback(host, namespace, request, arguments).into_iter().collect()
            }
            (To::Node(_), _) => Vec::new(),
            // What they cannot do is not told to them.
            (To::All, message) => write(&self.host, namespace, message).unwrap_or_default(),
        }
    }
}

/// Whether this is a server of Python's.
pub(super) fn is_host(node: &NodeId) -> bool {
    node.as_str().starts_with(HOST)
}

/// Reads what came, whoever it is for.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn read_any(bytes: &Bytes) -> Option<Message> {
    read::read(bytes, OWN).ok().flatten().map(|heard| heard.message)
}
