//! Decides which sockets a broadcast means, and how it is sent.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The name of a room. Every socket is in the room of its own id.
pub type Room = Arc<str>;

/// How many characters the id of a socket has, Node's and Python's as ours. A room of such a name is taken for a socket's own.
pub(crate) const SOCKET_ID_LENGTH: usize = 20;

/// Which sockets of a namespace are meant: those in any of the rooms (all, if no room is named) and in none of `except`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// The rooms whose sockets are meant; empty means every socket of the namespace.
    pub rooms: Vec<Room>,
    /// The rooms whose sockets are left out.
    pub except: Vec<Room>,
}

impl Targets {
    /// Means every socket of the namespace.
    pub fn all() -> Self {
        Self::default()
    }

    /// Means the sockets of one room; with a socket's id, this socket.
    pub fn room(room: impl Into<Room>) -> Self {
        Self { rooms: vec![room.into()], except: Vec::new() }
    }
}

/// How a broadcast is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    /// Drops the event for clients that cannot take it right now.
    #[serde(default, skip_serializing_if = "is_false")]
    pub volatile: bool,
    /// Reaches the sockets of this node only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub local: bool,
    /// Lets the transport compress the event; on unless switched off.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub compress: bool,
    /// How long clients may take to acknowledge.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis")]
    pub timeout: Option<Duration>,
}

impl Default for Flags {
    fn default() -> Self {
        Self { volatile: false, local: false, compress: true, timeout: None }
    }
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// A duration in whole milliseconds, as Node writes it.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(|value| u64::try_from(value.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}
