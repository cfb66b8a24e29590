//! Decides by which words the end of a session is told.

use std::fmt;

/// Why a session has ended. Shown by the reference server's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client closed the session or its connection.
    TransportClose,
    /// The connection broke, the client broke the rules of the transport, or it did not read what was sent.
    TransportError,
    /// The client was silent for too long.
    PingTimeout,
    /// The client sent something that is no packet.
    ParseError,
    /// The application closed the session.
    ForcedClose,
    /// The server goes down.
    ServerShuttingDown,
}

impl CloseReason {
    /// Returns the reference server's words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ForcedClose => "forced close",
            Self::ServerShuttingDown => "server shutting down",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
