//! Decides how a session ends: at once, or when what waits has left.
//!
//! A message and the close packet never share the body of a poll: `socket.io-client` acts on the close packet before the
//! messages in front of it, and loses them.

use std::time::{Duration, Instant};

use super::{Carrier, CloseReason, Phase, Session};

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
            Phase::Open if self.carrier == Carrier::Polling && self.is_waited_for() && self.outbox.is_empty() => {
                self.fail(reason);
            }
            // What a WebSocket has been given may not have been written yet.
            Phase::Open => self.phase = Phase::Closing { reason, until: now + CLOSE_TIMEOUT },
        }
    }

    /// Closes at once; what waits is dropped, and a waiting GET is told.
    pub(super) fn fail(&mut self, reason: CloseReason) {
        if matches!(self.phase, Phase::Closed(_)) {
            return;
        }
        self.outbox.take();
        self.end(reason);
    }

    pub(super) fn end(&mut self, reason: CloseReason) {
        self.phase = Phase::Closed(reason);
        self.candidate = None;
    }
}
