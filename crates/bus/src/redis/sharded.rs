//! Decides how messages stand on the channels of Node's `createShardedAdapter`, which needs Redis 7: each channel belongs
//! to a slot, and only the node of Redis that has the slot carries it.
//!
//! ```text
//! socket.io#/#            all but the following
//! socket.io#/#room#       events for exactly one room, if it has a channel of its own
//! socket.io#/#uid#        answers for one node
//! ```
//! What is said stands as in every cluster adapter of Node, see `message`. Who publishes cannot know whether a name is a
//! room's or a socket's: Node takes what has 20 characters for a socket's, and so do we.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use super::Sharding;
use super::classic::Received;
use super::message;
use crate::adapter::{BusError, RoomKind};
use crate::envelope::Message;
use crate::node::NodeId;
use crate::target::SOCKET_ID_LENGTH;

/// The channels of one namespace.
#[derive(Debug)]
pub(super) struct Shards {
    namespace: Arc<str>,
    main: String,
    mode: Sharding,
}

impl Shards {
    pub(super) fn new(key: &str, namespace: &str, mode: Sharding) -> Self {
        Self { namespace: namespace.into(), main: format!("{key}#{namespace}#"), mode }
    }

    pub(super) fn mode(&self) -> Sharding {
        self.mode
    }

    pub(super) fn main(&self) -> &str {
        &self.main
    }

    pub(super) fn response_to(&self, node: &NodeId) -> String {
        format!("{}{node}#", self.main)
    }

    /// The channel that a room of this node has for itself.
    pub(super) fn room(&self, room: &str, kind: RoomKind) -> Option<String> {
        match (self.mode, kind) {
            (Sharding::Dynamic, RoomKind::Public) | (Sharding::DynamicPrivate, _) => {
                Some(format!("{}{room}#", self.main))
            }
            (Sharding::Dynamic, RoomKind::Private) | (Sharding::Static, _) => None,
        }
    }

    /// Writes a message of `node` to the others, or an answer to the node `to`. `None` for a message that this form has no
    /// need of.
    pub(super) fn write(
        &self,
        node: &NodeId,
        to: Option<&NodeId>,
        message: &Message,
    ) -> Result<Option<(String, Vec<u8>)>, BusError> {
        let Some(written) = message::write(message)? else { return Ok(None) };
        let channel = match (message, to) {
            (_, Some(to)) => self.response_to(to),
            (Message::Broadcast { targets, request: None, .. }, None) => match &*targets.rooms {
                [room] if self.has_channel(room) => format!("{}{room}#", self.main),
                _ => self.main.clone(),
            },
            _ => self.main.clone(),
        };
        Ok(Some((channel, written.to_json_or_msgpack(node, &self.namespace)?)))
    }

    /// Whether who publishes to a room uses a channel of its own.
    fn has_channel(&self, room: &str) -> bool {
        match self.mode {
            // JavaScript counts units of UTF-16.
            Sharding::Dynamic => room.encode_utf16().count() != SOCKET_ID_LENGTH,
            Sharding::DynamicPrivate => true,
            Sharding::Static => false,
        }
    }

    /// Reads what came. `None` if nobody is in the room that it is for.
    pub(super) fn read(
        &self,
        channel: &str,
        namespace: &str,
        bytes: &Bytes,
        has_room: impl Fn(&str) -> bool,
    ) -> Result<Option<Received>, BusError> {
        let (node, of, message) = message::read_whole(bytes)?;
        if of != namespace {
            return Err(BusError::Malformed("it is of another namespace".to_owned()));
        }
        // A room that was left while its channel was on its way out.
        let is_main = channel.len() == self.main.len();
        if !is_main
            && let Message::Broadcast { targets, request: None, .. } = &message
            && !targets.rooms.iter().any(|room| has_room(room))
        {
            return Ok(None);
        }
        Ok(Some(Received::Message(Some(node), message)))
    }
}
