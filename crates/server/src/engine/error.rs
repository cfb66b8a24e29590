//! Decides which requests are refused by which code, in the reference server's words.

use std::fmt;
use std::sync::Arc;

use super::handshake::Handshake;

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The transport is missing, unknown or not offered.
    UnknownTransport,
    /// There is no session with this sid here.
    UnknownSid,
    /// A session was to be opened by another method than GET.
    BadHandshakeMethod,
    /// The request makes no sense; the [context](Context) tells why.
    BadRequest,
    /// `allow_request` refused it.
    Forbidden,
    /// The client speaks version 3, which is not allowed.
    UnsupportedProtocolVersion,
}

impl ErrorCode {
    /// Returns the number that clients are told.
    pub fn number(self) -> u8 {
        match self {
            Self::UnknownTransport => 0,
            Self::UnknownSid => 1,
            Self::BadHandshakeMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
            Self::UnsupportedProtocolVersion => 5,
        }
    }

    /// Returns the words that clients are told.
    pub fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSid => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedProtocolVersion => "Unsupported protocol version",
        }
    }
}

/// What is known of a refusal besides its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Context {
    /// Nothing.
    None,
    /// The session uses another transport than the request.
    TransportMismatch,
    /// The session uses another protocol version than the request.
    ProtocolMismatch,
    /// A WebSocket was asked for without an upgrade, or the upgrade is malformed.
    TransportHandshakeError,
    /// No id could be made for a session.
    IdGenerationError,
    /// The Origin header has characters that are not allowed.
    InvalidOrigin,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "",
            Self::TransportMismatch => "TRANSPORT_MISMATCH",
            Self::ProtocolMismatch => "PROTOCOL_MISMATCH",
            Self::TransportHandshakeError => "TRANSPORT_HANDSHAKE_ERROR",
            Self::IdGenerationError => "ID_GENERATION_ERROR",
            Self::InvalidOrigin => "INVALID_ORIGIN",
        })
    }
}

/// A request that was refused, as [`Engine::on_connection_error`](super::Engine::on_connection_error) is told.
#[derive(Debug, Clone)]
pub struct ConnectionError {
    /// Why.
    pub code: ErrorCode,
    /// The words that the client was told.
    pub message: String,
    /// What else is known.
    pub context: Context,
    /// The request.
    pub request: Arc<Handshake>,
}
