//! Decides which of Node's two adapters is spoken like: the classic one or the sharded one.

use bytes::Bytes;

use super::classic::{Channels, Place, Received, read};
use super::connection::{How, Published, Subscription};
use super::sharded::Shards;
use super::{RedisOptions, Sharding};
use crate::adapter::{BusError, RoomKind};
use crate::envelope::Message;
use crate::node::NodeId;
use crate::target::Room;

/// How the nodes of one namespace speak.
pub(super) enum Form {
    Classic {
        channels: Channels,
        specific: bool,
        /// Whether only the channels of this node's rooms are listened to.
        interest: bool,
    },
    Sharded(Shards),
}

/// What came on a channel.
pub(super) enum Heard {
    /// What it says. Nothing, if it need not be read: nobody here is in the room.
    Said(Option<Received>),
    /// An answer: a node that does not name itself is counted once for each.
    Answer(Received),
}

impl Form {
    pub(super) fn new(options: &RedisOptions, namespace: &str) -> Self {
        match options.sharded {
            None => Self::Classic {
                channels: Channels::new(&options.key, namespace),
                specific: options.specific_responses,
                interest: options.interest,
            },
            Some(mode) => Self::Sharded(Shards::new(&options.key, namespace, mode)),
        }
    }

    /// What a node listens to, whatever rooms it has.
    pub(super) fn subscriptions(&self, node: &NodeId) -> Vec<Subscription> {
        match self {
            Self::Classic { channels, interest, .. } => {
                let all = match interest {
                    false => Subscription::new(How::Pattern, channels.pattern()),
                    true => Subscription::new(How::Channel, channels.broadcast()),
                };
                let plain = channels.plain(node).map(|name| Subscription::new(How::Channel, name));
                std::iter::once(all).chain(plain).collect()
            }
            Self::Sharded(shards) => {
                let names = [shards.main().to_owned(), shards.response_to(node)];
                names.map(|name| Subscription::new(How::Shard, name)).into()
            }
        }
    }

    /// Whether this is the pattern by which a node hears.
    pub(super) fn has_pattern(&self, pattern: &str) -> bool {
        matches!(self, Self::Classic { channels, interest: false, .. } if channels.pattern() == pattern)
    }

    pub(super) fn wants_rooms(&self) -> bool {
        match self {
            Self::Classic { interest, .. } => *interest,
            Self::Sharded(shards) => shards.mode() != Sharding::Static,
        }
    }

    /// What is listened to for the sake of a room; `None` if its messages come anyway.
    pub(super) fn room(&self, room: &Room, kind: RoomKind) -> Option<Subscription> {
        match self {
            Self::Classic { channels, interest: true, .. } => {
                Some(Subscription::new(How::Channel, channels.broadcast_to(room)))
            }
            Self::Classic { .. } => None,
            Self::Sharded(shards) => shards.room(room, kind).map(|name| Subscription::new(How::Shard, name)),
        }
    }

    /// By which channel nodes are counted, and how it is listened to.
    pub(super) fn counted(&self) -> (&str, How) {
        match self {
            Self::Classic { channels, .. } => (channels.request_channel(), How::Channel),
            Self::Sharded(shards) => (shards.main(), How::Shard),
        }
    }

    /// With what the channels begin that nodes have for themselves, and how they are listened to. Whether a channel is a node's
    /// or a room's is told by the name, which is 16 hexadecimal digits if it is a node's.
    pub(super) fn own_channels(&self) -> (&str, How) {
        match self {
            Self::Classic { channels, .. } => (channels.response(), How::Channel),
            Self::Sharded(shards) => (shards.main(), How::Shard),
        }
    }

    /// Whether this may be the name of a node, and not of a room that has a channel of the same form.
    pub(super) fn is_name(&self, name: &str) -> bool {
        let is_hex = || name.len() == 16 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        matches!(self, Self::Classic { .. }) || is_hex()
    }

    /// Writes a message to the others, or an answer to a node. `None` for one that the form has no need of.
    pub(super) fn write(
        &self,
        node: &NodeId,
        to: Option<&NodeId>,
        message: &Message,
    ) -> Result<Option<Published>, BusError> {
        let (written, is_shard) = match self {
            Self::Classic { channels, specific, .. } => (channels.write(node, to, *specific, message)?, false),
            Self::Sharded(shards) => (shards.write(node, to, message)?, true),
        };
        Ok(written.map(|(channel, bytes)| Published { channel, bytes, is_shard, taken: None }))
    }

    /// Writes the answer to a node that wants the ids of sockets alone, as old ones of Node do.
    pub(super) fn write_ids(&self, to: Option<&NodeId>, request: &str, ids: &[Room]) -> Option<Published> {
        let Self::Classic { channels, specific, .. } = self else { return None };
        let (channel, bytes) = channels.write_ids(to, *specific, request, ids);
        Some(Published { channel, bytes, is_shard: false, taken: None })
    }

    /// Reads what came on a channel of the namespace. `has_room` says whether anybody here is in a room.
    pub(super) fn read(
        &self,
        channel: &str,
        namespace: &str,
        bytes: &Bytes,
        has_room: impl Fn(&str) -> bool,
    ) -> Result<Heard, BusError> {
        match self {
            Self::Classic { channels, .. } => match channels.place(channel) {
                Some(Place::Broadcast(Some(room))) if !has_room(room) => Ok(Heard::Said(None)),
                Some(Place::Response) => read(Place::Response, namespace, bytes).map(Heard::Answer),
                Some(place) => read(place, namespace, bytes).map(|received| Heard::Said(Some(received))),
                None => Ok(Heard::Said(None)),
            },
            Self::Sharded(shards) => shards.read(channel, namespace, bytes, has_room).map(Heard::Said),
        }
    }
}
