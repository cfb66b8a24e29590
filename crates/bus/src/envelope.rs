//! Decides what nodes say to each other: the messages of Node's cluster adapters, from which its other formats follow.
//!
//! As bytes a message is JSON, and behind it the attachments of its arguments: for adapters whose format is their own.

use std::sync::Arc;

use bytes::Bytes;
use limpet_proto::socketio::arguments::Arguments;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::adapter::BusError;
use crate::log::Offset;
use crate::node::{NodeId, random_u64};
use crate::target::{Flags, Room, Targets};

mod bytes_form;
#[cfg(test)]
mod tests;

/// The name of a request, by which its answers are known.
pub type RequestId = Arc<str>;

/// Makes a request's name of 16 random hexadecimal digits.
pub(crate) fn request_id() -> RequestId {
    format!("{:016x}", random_u64()).into()
}

/// A message and where it comes from.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The node that published it.
    pub node: NodeId,
    /// The namespace that it is about.
    pub namespace: Arc<str>,
    /// Its place in the log, if the adapter keeps one. Our own byte form does not carry it.
    pub offset: Option<Offset>,
    /// What it says.
    pub message: Message,
}

/// What a node says to the others.
#[derive(Debug, Clone)]
pub enum Message {
    /// An event for sockets. With a request, the clients are to acknowledge it, and each acknowledgement is sent back.
    Broadcast {
        /// The name of the event and its arguments.
        arguments: Arguments,
        /// Which sockets get it.
        targets: Targets,
        /// How it is sent.
        flags: Flags,
        /// By which name acknowledgements are sent back, if they are wanted.
        request: Option<RequestId>,
    },
    /// Sockets are to join rooms.
    Join {
        /// Which sockets.
        targets: Targets,
        /// Which rooms.
        rooms: Vec<Room>,
    },
    /// Sockets are to leave rooms.
    Leave {
        /// Which sockets.
        targets: Targets,
        /// Which rooms.
        rooms: Vec<Room>,
    },
    /// Sockets are to be disconnected.
    Disconnect {
        /// Which sockets.
        targets: Targets,
        /// Whether the session below is closed too.
        close: bool,
    },
    /// Asks which sockets there are.
    Fetch {
        /// Which sockets are meant.
        targets: Targets,
        /// The name of the request.
        request: RequestId,
    },
    /// Answers [`Fetch`](Self::Fetch).
    Fetched {
        /// The name of the request.
        request: RequestId,
        /// The sockets of the node.
        sockets: Vec<SocketInfo>,
    },
    /// Asks which rooms there are.
    AllRooms {
        /// The name of the request.
        request: RequestId,
    },
    /// Answers [`AllRooms`](Self::AllRooms).
    Rooms {
        /// The name of the request.
        request: RequestId,
        /// The rooms of the node; some nodes name those of single sockets too.
        rooms: Vec<Room>,
    },
    /// An event for the servers themselves.
    ServerSideEmit {
        /// The name of the event and its arguments.
        arguments: Arguments,
        /// The name of the request, if an answer is wanted.
        request: Option<RequestId>,
    },
    /// Answers [`ServerSideEmit`](Self::ServerSideEmit).
    ServerSideReply {
        /// The name of the request.
        request: RequestId,
        /// The answer.
        arguments: Arguments,
    },
    /// Says how many clients of a node got a broadcast that is to be acknowledged.
    BroadcastCount {
        /// The name of the request.
        request: RequestId,
        /// How many clients.
        clients: usize,
    },
    /// A client's acknowledgement of a broadcast.
    BroadcastAck {
        /// The name of the request.
        request: RequestId,
        /// What the client said.
        arguments: Arguments,
    },
    /// A session has a new holder: the socket of this id, if its session is of a lower epoch, is one that its client has
    /// left. For adapters that have a log.
    Fence {
        /// The public id of the socket.
        id: Room,
        /// The epoch of the new holder.
        epoch: u64,
    },
    /// A node has come; the others answer with a heartbeat. For adapters that keep the list of nodes by messages.
    Hello,
    /// A node is alive. For adapters that keep the list of nodes by messages.
    Heartbeat,
    /// A node goes.
    Bye,
}

/// A socket as other nodes see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SocketInfo {
    /// Its id.
    pub id: Room,
    /// The members of Node's handshake object.
    pub handshake: Value,
    /// The rooms it is in, its own first.
    pub rooms: Vec<Room>,
    /// What the application keeps with it.
    pub data: Value,
}

impl Envelope {
    /// Writes the message as bytes of our own form.
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes_form::write(self)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`BusError::Malformed`] when it is nothing of the kind.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, BusError> {
        bytes_form::read(bytes)
    }
}
