//! Decides by which words the end of a socket is told: those of Node, so that logs and dashboards keep their meaning.

use std::fmt;

use crate::engine::CloseReason;

/// Why a socket has left its namespace. Shown by Node's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The connection ended, as it does when a page is left.
    TransportClose,
    /// The connection broke.
    TransportError,
    /// The client was silent for longer than pingInterval + pingTimeout.
    PingTimeout,
    /// The client sent something that is no packet.
    ParseError,
    /// The client's session was closed by the server, not its socket.
    ForcedClose,
    /// The server goes down. The client comes back by itself.
    ServerShuttingDown,
    /// The client never joined a namespace in time, or its session was closed with all its sockets.
    ForcedServerClose,
    /// The client left the namespace.
    ClientNamespaceDisconnect,
    /// The server disconnected the socket. The client does not come back by itself.
    ServerNamespaceDisconnect,
}

impl DisconnectReason {
    /// Returns Node's words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ForcedClose => "forced close",
            Self::ServerShuttingDown => "server shutting down",
            Self::ForcedServerClose => "forced server close",
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
        }
    }

    /// Returns whether a client that comes back may go on where it was: it did not leave on purpose and was not sent off.
    pub fn is_recoverable(self) -> bool {
        !matches!(self, Self::ParseError | Self::ClientNamespaceDisconnect | Self::ServerNamespaceDisconnect)
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<CloseReason> for DisconnectReason {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::TransportClose => Self::TransportClose,
            CloseReason::PingTimeout => Self::PingTimeout,
            CloseReason::ParseError => Self::ParseError,
            CloseReason::ForcedClose => Self::ForcedClose,
            CloseReason::ServerShuttingDown => Self::ServerShuttingDown,
            // An error of the transport, or a reason that is newer than this list.
            _ => Self::TransportError,
        }
    }
}
