//! Decides what a session sends on its WebSocket, once that is its transport.

use super::outbox::Batch;
use super::{Carrier, CloseReason, Phase, Session};

impl Session {
    /// Takes everything that is to be sent on the WebSocket, to be asked for when all that was taken before has been
    /// written. `None` says that there is nothing; if the session has [`closed`](Self::closed), a Close frame follows.
    pub fn poll_websocket(&mut self) -> Option<Batch> {
        if self.transport_is_polling() {
            return None;
        }
        match self.phase {
            Phase::Closed(_) => None,
            _ if !self.outbox.is_empty() => Some(self.outbox.take()),
            Phase::Open => None,
            Phase::Closing { reason, .. } => {
                self.end(reason);
                None
            }
        }
    }

    /// Returns whether [`poll_websocket`](Self::poll_websocket) has something to do.
    pub fn has_frames(&self) -> bool {
        !self.transport_is_polling()
            && match self.phase {
                Phase::Open => !self.outbox.is_empty(),
                Phase::Closing { .. } => true,
                Phase::Closed(_) => false,
            }
    }

    /// Returns how many packets wait to be sent.
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Learns whether the WebSocket takes no more bytes for now.
    pub fn handle_blocked(&mut self, now_blocked: bool) {
        if let Carrier::Websocket { blocked } = &mut self.carrier {
            *blocked = now_blocked;
        }
    }

    /// Learns that the WebSocket has ended: by the client, or because of an error.
    pub fn handle_websocket_end(&mut self, reason: CloseReason) {
        if let (false, Phase::Open | Phase::Closing { .. }) = (self.transport_is_polling(), self.phase) {
            self.fail(reason);
        }
    }

    fn transport_is_polling(&self) -> bool {
        self.carrier == Carrier::Polling
    }
}
