//! Decides what can be known of a socket that may be on another node, and done with it.

use limpet_bus::{Flags, Room, SocketInfo, Targets};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::broadcast::Broadcast;
use crate::error::EmitError;
use crate::namespace::Namespace;
use crate::rooms::IntoRooms;

/// A socket as it was when it was found, on any node. What is done with it reaches it by its id.
#[derive(Debug, Clone)]
pub struct RemoteSocket {
    namespace: Namespace,
    info: SocketInfo,
}

impl RemoteSocket {
    pub(crate) fn new(namespace: Namespace, info: SocketInfo) -> Self {
        Self { namespace, info }
    }

    /// Returns its id.
    pub fn id(&self) -> &str {
        &self.info.id
    }

    /// Returns the members of Node's handshake object: headers, time, address, xdomain, secure, issued, url, query, auth.
    pub fn handshake(&self) -> &Value {
        &self.info.handshake
    }

    /// Returns the rooms that it was in, its own first.
    pub fn rooms(&self) -> &[Room] {
        &self.info.rooms
    }

    /// Returns a value that is kept with it; `None` if there is none of this name and type.
    pub fn data<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        T::deserialize(self.info.data.get(key)?).ok()
    }

    /// Sends it an event.
    ///
    /// # Errors
    /// As [`Broadcast::emit`].
    pub fn emit(&self, name: &str, arguments: impl Serialize) -> Result<(), EmitError> {
        self.broadcast().emit(name, arguments)
    }

    /// Lets it join rooms.
    pub fn join(&self, rooms: impl IntoRooms) {
        self.broadcast().sockets_join(rooms);
    }

    /// Lets it leave rooms.
    pub fn leave(&self, rooms: impl IntoRooms) {
        self.broadcast().sockets_leave(rooms);
    }

    /// Disconnects it; with `close`, its client's session with all its sockets.
    pub fn disconnect(&self, close: bool) {
        self.broadcast().disconnect_sockets(close);
    }

    /// Means this socket alone.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast::new(self.namespace.clone(), Targets::room(self.info.id.clone()), Flags::default())
    }
}
