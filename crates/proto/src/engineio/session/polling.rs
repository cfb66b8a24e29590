//! Decides how requests of the polling transport act on a session.

use super::outbox::{Batch, Outgoing};
use super::{Carrier, CloseReason, Phase, Session};
use crate::engineio::packet::PacketType;

/// A request came while another one of its kind was under way. It is to be answered with 400; the session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request overlaps with another one")]
pub struct Overlap;

impl Session {
    /// Takes a GET; [`poll_get`](Self::poll_get) gives what it is answered with, now or later.
    ///
    /// # Errors
    /// [`Overlap`].
    pub fn handle_get(&mut self) -> Result<(), Overlap> {
        if self.get_waits {
            self.fail(CloseReason::TransportError);
            return Err(Overlap);
        }
        self.get_waits = true;
        Ok(())
    }

    /// Returns whether [`poll_get`](Self::poll_get) has an answer.
    pub fn has_answer(&self) -> bool {
        let from_outbox = match self.phase {
            Phase::Open => self.carrier == Carrier::Polling && !self.outbox.is_empty(),
            Phase::Closing { .. } => self.carrier == Carrier::Polling,
            Phase::Closed(_) => true,
        };
        self.get_waits && (self.answer.is_some() || from_outbox)
    }

    /// Takes what the waiting GET is answered with; [`write_body`](super::write_body) makes a body of it. While there is
    /// nothing to say, `None`.
    pub fn poll_get(&mut self) -> Option<Batch> {
        if !self.has_answer() {
            return None;
        }
        self.get_waits = false;
        if let Some(kind) = self.answer.take() {
            let mut batch = Batch::default();
            batch.push(if kind == PacketType::Close { Outgoing::Close } else { Outgoing::Noop });
            return Some(batch);
        }
        let mut batch = self.outbox.take();
        if batch.is_empty() {
            if let Phase::Closing { reason, .. } = self.phase {
                batch.push(Outgoing::Noop);
                self.end(reason);
            }
            batch.push(Outgoing::Close);
        }
        Some(batch)
    }

    /// Learns that the client has gone away from its waiting GET.
    pub fn handle_get_lost(&mut self) {
        if std::mem::take(&mut self.get_waits) && self.carrier == Carrier::Polling {
            self.fail(CloseReason::TransportError);
        }
    }

    /// Takes the head of a POST.
    ///
    /// # Errors
    /// [`Overlap`].
    pub fn handle_post(&mut self) -> Result<(), Overlap> {
        if self.post_waits {
            self.fail(CloseReason::TransportError);
            return Err(Overlap);
        }
        self.post_waits = true;
        Ok(())
    }

    /// Returns whether a POST is under way.
    pub fn has_post(&self) -> bool {
        self.post_waits
    }

    /// Learns that the POST has been answered.
    pub fn handle_post_end(&mut self) {
        self.post_waits = false;
    }

    /// Learns that the client has gone away within its POST, or that the kind of its body is not allowed.
    pub fn handle_post_broken(&mut self) {
        self.post_waits = false;
        if self.carrier == Carrier::Polling {
            self.fail(CloseReason::TransportError);
        }
    }

    /// Takes the packet by which a client closes: a waiting GET gets what is queued, or is released.
    pub(super) fn handle_close_packet(&mut self) {
        let reason = match self.phase {
            Phase::Open => CloseReason::TransportClose,
            Phase::Closing { reason, .. } => reason,
            Phase::Closed(_) => return,
        };
        if self.is_waited_for() && !self.outbox.is_empty() {
            return self.end(reason);
        }
        if self.is_waited_for() {
            self.answer = Some(PacketType::Noop);
        }
        self.fail(reason);
    }

    /// Returns whether a GET waits that has no answer yet.
    pub(super) fn is_waited_for(&self) -> bool {
        self.get_waits && self.answer.is_none()
    }

    /// Releases a waiting GET for the sake of an upgrade.
    pub(super) fn release_get(&mut self) {
        if self.is_waited_for() && self.outbox.is_empty() {
            self.answer = Some(PacketType::Noop);
        }
    }
}
