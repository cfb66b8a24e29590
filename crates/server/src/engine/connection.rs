//! Decides what an application can do with a session.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use limpet_proto::engineio::message::Message;
use limpet_proto::engineio::session::CloseReason;
use limpet_proto::engineio::sid::Sid;
use limpet_proto::engineio::{Transport, Version};

/// One session, to send and to close. Clones are the same session; it is cheap to clone and to keep.
#[derive(Clone)]
pub struct Connection(Arc<()>);

/// Why messages could not be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session has ended or is about to.
    #[error("the session is closed")]
    Closed,
    /// More waits for the client than is allowed; the session has been closed for it.
    #[error("the client does not read: its queue is full")]
    QueueFull,
}

impl Connection {
    /// Returns the id of the session. It is a secret of its client.
    pub fn sid(&self) -> &Sid {
        unimplemented!()
    }

    /// Returns the protocol version.
    pub fn version(&self) -> Version {
        unimplemented!()
    }

    /// Returns the transport that packets take now.
    pub fn transport(&self) -> Transport {
        unimplemented!()
    }

    /// Returns the address of the client, or of the proxy in front of it.
    pub fn remote_addr(&self) -> SocketAddr {
        unimplemented!()
    }

    /// Queues messages that stay together, such as an event and its attachments. Never waits.
    ///
    /// # Errors
    /// [`SendError`], when none of them is queued.
    pub fn send(&self, messages: &[Message]) -> Result<(), SendError> {
        let _ = (messages, &self.0);
        unimplemented!()
    }

    /// Queues messages like [`send`](Self::send), or drops them and returns `false` when they could not leave right now:
    /// no poll waits, or the WebSocket takes no more bytes.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub fn send_volatile(&self, messages: &[Message]) -> Result<bool, SendError> {
        let _ = messages;
        unimplemented!()
    }

    /// Closes the session for this reason. What is queued leaves first, unless it is to be discarded; the client is told
    /// either way.
    pub fn close(&self, reason: CloseReason, discard: bool) {
        let _ = (reason, discard);
        unimplemented!()
    }

    /// Returns whether messages can be queued.
    pub fn is_open(&self) -> bool {
        unimplemented!()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
