//! Why a tunnel ended, and what it had carried.

use std::time::Duration;

/// Why a tunnel ended, and who began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client ended its stream first.
    ClientClosed,
    /// The client's connection failed.
    ClientReset,
    /// The endpoint ended its stream first.
    UpstreamClosed,
    /// The endpoint's connection failed.
    UpstreamReset,
    /// Neither side sent anything for too long.
    IdleTimeout,
    /// One side had ended its stream, and the other sent nothing for too long.
    HalfClosedTimeout,
    /// The balancer is ending.
    Shutdown,
}

impl CloseReason {
    /// Every reason, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::ClientClosed,
        Self::ClientReset,
        Self::UpstreamClosed,
        Self::UpstreamReset,
        Self::IdleTimeout,
        Self::HalfClosedTimeout,
        Self::Shutdown,
    ];

    /// Returns the name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::ClientReset => "client_reset",
            Self::UpstreamClosed => "upstream_closed",
            Self::UpstreamReset => "upstream_reset",
            Self::IdleTimeout => "idle_timeout",
            Self::HalfClosedTimeout => "half_closed_timeout",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What a tunnel had carried when it ended.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    /// Why it ended.
    pub reason: CloseReason,
    /// How long it lived, in whole seconds.
    pub lasted: Duration,
    /// What came from the client.
    pub from_client: Carried,
    /// What came from the endpoint.
    pub from_upstream: Carried,
    /// The time between the endpoint's last Engine.IO ping and the client's answer.
    pub round_trip: Option<Duration>,
}

/// What one direction of a tunnel carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Bytes, those of frame headers among them.
    pub bytes: u64,
    /// Data messages.
    pub messages: u32,
    /// The code of a Close frame; 1005 if it named none.
    pub close_code: Option<u16>,
}
