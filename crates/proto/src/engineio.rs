//! Engine.IO as far as a balancer reads it: whose request it is, which sid a handshake gives, what an unknown sid looks
//! like.

pub mod error;
pub mod handshake;
pub mod message;
pub mod packet;
pub mod payload;
pub mod query;
pub mod session;
pub mod sid;

/// Names the protocol version of a session, after the `EIO` query parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// `EIO=3`, and by the reference server's rule anything that is not 4.
    V3,
    /// `EIO=4`.
    V4,
}

/// Names the transport that a request asks for, after the `transport` query parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// HTTP long-polling.
    Polling,
    /// WebSocket, whether first or by upgrade.
    Websocket,
    /// Any other name; servers answer it with error code 0.
    Other,
}
