//! Decides how a session ends: at once, or when what waits has left.

use std::time::{Duration, Instant};

use super::outbox::Outgoing;
use super::{Carrier, CloseReason, Phase, Session};
use crate::engineio::packet::PacketType;

/// How long a session that is to be closed waits for the next GET, or for its WebSocket to take what waits.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

impl Session {
    /// Closes the session for this reason. What waits leaves first unless it is to be discarded; that may take up to
    /// [`CLOSE_TIMEOUT`].
    pub fn close(&mut self, reason: CloseReason, discard: bool, now: Instant) {
        match self.phase {
            Phase::Closed(_) => {}
            Phase::Open | Phase::Closing { .. } if discard => self.fail(reason),
            Phase::Closing { .. } => {}
            Phase::Open => match self.carrier {
                Carrier::Polling if self.get_waits && self.answer.is_none() => {
                    self.outbox.push(Outgoing::Close);
                    self.end(reason);
                }
                Carrier::Websocket { .. } if self.outbox.is_empty() => self.end(reason),
                Carrier::Polling | Carrier::Websocket { .. } => {
                    self.phase = Phase::Closing { reason, until: now + CLOSE_TIMEOUT };
                }
            },
        }
    }

    /// Closes at once; what waits is dropped, and a waiting GET is told.
    pub(super) fn fail(&mut self, reason: CloseReason) {
        if matches!(self.phase, Phase::Closed(_)) {
            return;
        }
        self.outbox.take();
        if self.get_waits && self.answer.is_none() {
            self.answer = Some(PacketType::Close);
        }
        self.end(reason);
    }

    pub(super) fn end(&mut self, reason: CloseReason) {
        self.phase = Phase::Closed(reason);
        self.candidate = None;
    }
}
