//! Decides what an application on top of Engine.IO is: something that is told of sessions and of what they receive.

use std::sync::Arc;

use bytes::Bytes;
use limpet_proto::engineio::session::CloseReason;

use super::connection::Connection;
use super::handshake::Handshake;

/// What runs on top of Engine.IO. Socket.IO is one application, an echo another.
pub trait Application: Send + Sync + 'static {
    /// What takes the messages of one session.
    type Receiver: Receiver;

    /// Takes a session that has just been opened. What is sent here leaves right behind the open packet, over polling in
    /// the same body.
    fn open(&self, connection: &Connection, handshake: Arc<Handshake>) -> Self::Receiver;
}

/// Takes what one session receives. Calls come in order, never two at once, and never while the session is locked, so
/// that any method of [`Connection`] may be called in them.
pub trait Receiver: Send + Sync + 'static {
    /// Takes a message. While this waits the transport is not read: a POST is answered later, a WebSocket is not read.
    /// When the session ends meanwhile the future is dropped.
    fn message(&self, message: Incoming) -> impl Future<Output = ()> + Send;

    /// Takes the end, exactly once, after the last message.
    fn close(&self, reason: CloseReason);
}

/// A message of a client, without its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}
