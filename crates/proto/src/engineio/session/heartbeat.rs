//! Decides when a client is pinged and when its silence has lasted too long.
//!
//! In version 4 the server pings and a pong must follow; any other packet lengthens that wait once, since a pong may be
//! stuck behind it. In version 3 the client pings, and the server waits for that.

use std::time::Instant;

use super::Config;
use crate::engineio::Version;
use crate::engineio::packet::PacketType;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heartbeat {
    /// Version 4: the next ping is due then.
    Rests { ping_at: Instant },
    /// Version 4: a pong must come by then.
    AwaitsPong { until: Instant, lengthened: bool },
    /// Version 3: a ping must come by then.
    AwaitsPing { until: Instant },
}

/// What the time has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    Close,
}

impl Heartbeat {
    pub(super) fn new(version: Version, config: &Config, now: Instant) -> Self {
        match version {
            Version::V4 => Self::Rests { ping_at: now + config.ping_interval },
            Version::V3 => Self::AwaitsPing { until: now + config.ping_interval + config.ping_timeout },
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        match *self {
            Self::Rests { ping_at: at } | Self::AwaitsPong { until: at, .. } | Self::AwaitsPing { until: at } => at,
        }
    }

    pub(super) fn handle_packet(&mut self, kind: PacketType, config: &Config, now: Instant) {
        match (&mut *self, kind) {
            (Self::AwaitsPing { until }, PacketType::Ping) => {
                *until = now + config.ping_interval + config.ping_timeout;
            }
            (Self::Rests { .. } | Self::AwaitsPong { .. }, PacketType::Pong) => {
                *self = Self::Rests { ping_at: now + config.ping_interval };
            }
            (Self::AwaitsPong { until, lengthened: lengthened @ false }, _) => {
                *until = now + config.ping_timeout;
                *lengthened = true;
            }
            _ => {}
        }
    }

    /// Gives a pong that was under way on the old transport its time on the new one.
    pub(super) fn handle_upgrade(&mut self, config: &Config, now: Instant) {
        if let Self::AwaitsPong { until, .. } = self {
            *until = now + config.ping_timeout;
        }
    }

    pub(super) fn handle_timeout(&mut self, config: &Config, now: Instant) -> Due {
        match *self {
            _ if now < self.deadline() => Due::Nothing,
            Self::Rests { .. } => {
                *self = Self::AwaitsPong { until: now + config.ping_timeout, lengthened: false };
                Due::Ping
            }
            Self::AwaitsPong { .. } | Self::AwaitsPing { .. } => Due::Close,
        }
    }
}
