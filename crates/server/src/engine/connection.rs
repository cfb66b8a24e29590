//! Decides what an application can do with a session.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use limpet_proto::engineio::message::Message;
use limpet_proto::engineio::session::{CloseReason, SendError};
use limpet_proto::engineio::sid::Sid;
use limpet_proto::engineio::{Transport, Version};

use super::core::{Core, now};

/// One session, to send and to close. Clones are the same session; it is cheap to clone and to keep.
#[derive(Clone)]
pub struct Connection(pub(super) Arc<Core>);

impl Connection {
    /// Returns the id of the session. It is a secret of its client.
    pub fn sid(&self) -> &Sid {
        &self.0.sid
    }

    /// Returns the protocol version.
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// Returns the transport that packets take now.
    pub fn transport(&self) -> Transport {
        self.0.look(|session| session.transport())
    }

    /// Returns the address of the client, or of the proxy in front of it.
    pub fn remote_addr(&self) -> SocketAddr {
        self.0.address
    }

    /// Queues messages that stay together, such as an event and its attachments. Never waits.
    ///
    /// # Errors
    /// [`SendError`], when none of them is queued.
    pub fn send(&self, messages: &[Message]) -> Result<(), SendError> {
        self.0.update(|state| state.session.send(messages))
    }

    /// Queues messages like [`send`](Self::send), or drops them and returns `false` when they could not leave right now:
    /// no poll waits, or the WebSocket takes no more bytes.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub fn send_volatile(&self, messages: &[Message]) -> Result<bool, SendError> {
        self.0.update(|state| state.session.send_volatile(messages))
    }

    /// Closes the session for this reason. What is queued leaves first, unless it is to be discarded; the client is told
    /// either way.
    pub fn close(&self, reason: CloseReason, discard: bool) {
        self.0.update(|state| state.session.close(reason, discard, now()));
    }

    /// Returns whether messages can be queued.
    pub fn is_open(&self) -> bool {
        self.0.look(|session| session.is_open())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("sid", &self.0.sid).finish_non_exhaustive()
    }
}
