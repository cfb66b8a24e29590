//! Decides how a socket lives: when it is connected, when it is closed, and what it can be sent meanwhile.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use limpet_bus::recovery::{Adoption, Missed, Recovery, Snapshot, Stamp};
use limpet_proto::engineio::message::Message;
use limpet_proto::socketio::arguments::Arguments;
use limpet_proto::socketio::packet::Kind;
use serde::Serialize;
use serde_json::Value;

use super::handlers::Entry;
use super::keep::Keep;
use super::{Phase, Socket};
use crate::engine::{CloseReason, SendError};
use crate::error::EmitError;
use crate::event::Event;
use crate::queue::Job;
use crate::reason::DisconnectReason;

/// What a client that comes back gets in one piece, whatever happens to its connection: the payload of one packet of the
/// network.
const ONE_PIECE: usize = 1200;

/// What is left free of the bounds on what waits for a client when it gets what it missed.
const SPARE_MESSAGES: usize = 16;

/// Why a client that comes back does not go on where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotReleased {
    /// The socket was closed meanwhile.
    Closed,
    /// It has missed more than may wait for a client.
    TooMuch,
}

/// What the rest of the crate does with a socket.
impl Socket {
    /// Makes the socket connected: tells the client, joins the hub, and calls the handlers of the namespace. Returns false
    /// if it was closed meanwhile.
    pub(crate) fn connect(&self, reply: &[Message]) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Connecting {
            return false;
        }
        // The client hears of it before anything else, and its events wait for the handler of the connection.
        if self.0.client.connection().send(reply).is_err() {
            return false;
        }
        state.phase = Phase::Connected;
        state.queue.begin();
        self.0.is_connected.store(true, Ordering::Release);
        let rooms = std::mem::take(&mut state.rooms);
        let hub = self.0.namespace.hub();
        hub.insert(self.0.id.clone(), self.clone());
        hub.join(&self.0.id, &rooms);
        true
    }

    /// Keeps a session with the socket. Returns false if it was closed meanwhile.
    pub(crate) fn keep_session(&self, keep: Keep) -> bool {
        let state = self.lock();
        state.phase == Phase::Connecting && self.0.keep.set(Box::new(keep)).is_ok()
    }

    /// Gives a socket what its session had.
    pub(crate) fn restore(&self, snapshot: Snapshot) {
        let mut state = self.lock();
        state.rooms = snapshot.rooms.into_iter().filter(|room| *room != self.0.id).collect();
        if let Value::Object(data) = snapshot.data
            && !data.is_empty()
        {
            state.data = Some(Box::new(data));
        }
    }

    /// Puts a socket whose client comes back into the hub, where what comes for it is held back. Returns false if it was
    /// closed meanwhile, or the client has come back a second time by now.
    pub(crate) fn hold(&self) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Connecting {
            return false;
        }
        let rooms = std::mem::take(&mut state.rooms);
        let is_later = |other: &Self| other.epoch() < self.epoch();
        let (is_in, replaced) = self.0.namespace.hub().insert_over(self.0.id.clone(), self.clone(), &rooms, is_later);
        if is_in {
            state.phase = Phase::Returning;
        }
        drop(state);
        if let Some(other) = replaced {
            other.fence();
        }
        is_in
    }

    /// Makes a socket connected whose client has come back: sends what it missed, tells it, and sends what was held back.
    ///
    /// What was missed goes before the CONNECT packet, as it does in Node, if all of it arrives in one piece. A client
    /// keeps such events until the CONNECT packet comes, without knowing how far it is then: if it had to come back once
    /// more in between, it would show them twice. So what is more goes behind the CONNECT packet.
    pub(crate) fn release(&self, reply: &[Message], missed: &Missed) -> Result<(), NotReleased> {
        let namespace = &self.0.namespace;
        let engine = &namespace.options().engine;
        let write = |(offset, event): &(_, Arguments)| namespace.write(event, true, Some(*offset));
        let replayed: Vec<Message> = missed.events.iter().flat_map(write).collect();
        let sizes = |parts: &[Message]| parts.iter().map(|part| part.payload().len()).sum::<usize>();
        let bytes = sizes(&replayed);
        let mut state = self.lock();
        let Some(keep) = self.keep().filter(|_| state.phase == Phase::Returning) else {
            return Err(NotReleased::Closed);
        };
        let mut slot = keep.held();
        let held = slot.as_ref().filter(|held| !held.is_over).ok_or(NotReleased::TooMuch)?;
        let count = replayed.len() + held.events.iter().map(|(_, parts)| parts.len()).sum::<usize>();
        if count + SPARE_MESSAGES > engine.max_queued_messages || bytes + held.bytes > engine.max_queued_bytes {
            return Err(NotReleased::TooMuch);
        }
        let held = slot.take().unwrap_or_default();
        let mut batch = Vec::with_capacity(count + reply.len());
        if bytes + sizes(reply) <= ONE_PIECE {
            batch.extend(replayed);
            batch.extend_from_slice(reply);
        } else {
            batch.extend_from_slice(reply);
            batch.extend(replayed);
        }
        for (stamp, parts) in held.events {
            if keep.holding.admit(stamp).is_some() {
                batch.extend(parts);
            }
        }
        // In one go, so that it leaves together.
        if self.0.client.connection().send(&batch).is_err() {
            return Err(NotReleased::Closed);
        }
        state.phase = Phase::Connected;
        state.queue.begin();
        self.0.is_connected.store(true, Ordering::Release);
        Ok(())
    }

    /// Keeps the session on that the client has come back to. Returns false if it has come back once more, elsewhere.
    pub(crate) fn resume(&self, adoption: Adoption) -> bool {
        let (Some(keep), Some(recovery)) = (self.keep(), self.recovery()) else { return false };
        keep.go_on(|| recovery.resume(adoption).is_some())
    }

    /// Forgets a socket whose client does not go on where it was, as if it had never been. Returns false if it was closed
    /// before.
    pub(crate) fn abandon(&self) -> bool {
        let mut state = self.lock();
        let handlers = std::mem::take(&mut state.handlers);
        let before = std::mem::replace(&mut state.phase, Phase::Closed);
        if before == Phase::Returning {
            self.0.namespace.hub().remove_if(&self.0.id, |other| other == self);
        }
        drop(state);
        drop(handlers);
        before != Phase::Closed
    }

    /// Ends the socket. Returns whether it was connected. Its handlers hear of it behind the events that wait.
    pub(crate) fn close(&self, reason: DisconnectReason) -> bool {
        self.finish(reason, true)
    }

    /// Ends a socket whose client is connected elsewhere, and the connection that it has left.
    pub(crate) fn fence(&self) {
        self.finish(DisconnectReason::TransportClose, false);
        self.0.client.connection().close(CloseReason::TransportClose, true);
    }

    fn finish(&self, reason: DisconnectReason, holds_session: bool) -> bool {
        let session = match (self.keep(), self.recovery()) {
            (Some(keep), Some(recovery)) if keep.finish() && holds_session => Some((&keep.holding, recovery)),
            _ => None,
        };
        if let Some((holding, recovery)) = session {
            recovery.leaving(holding);
        }
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.phase, Phase::Closed);
        self.0.is_connected.store(false, Ordering::Release);
        let was_connected = before == Phase::Connected;
        if was_connected || before == Phase::Returning {
            let rooms = self.0.namespace.hub().remove_if(&self.0.id, |other| other == self);
            state.rooms = rooms.unwrap_or_default();
        }
        let snapshot = session.map(|_| Snapshot { rooms: state.rooms.clone(), data: state.data_value() });
        drop(state);
        if let Some((holding, recovery)) = session {
            recovery.end(holding, snapshot.filter(|_| was_connected && reason.is_recoverable()));
        }
        if before == Phase::Closed {
            return false;
        }
        self.0.acks.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if was_connected {
            self.submit(Job::Disconnect(reason));
        } else {
            self.ended();
        }
        was_connected
    }

    /// Leaves the namespace, and tells the client.
    pub(crate) fn leave_namespace(&self, reason: DisconnectReason) {
        if self.connected() {
            let parts = self.0.client.encode(Kind::Disconnect, self.0.namespace.name(), None, None);
            self.0.client.connection().send(&parts).ok();
        }
        self.0.client.left(self);
        self.close(reason);
    }

    /// Forgets the rooms, once those who are told of the end have seen them.
    pub(crate) fn forget_rooms(&self) {
        self.lock().rooms = Vec::new();
    }

    /// Forgets what handlers hold, and gives the namespace free.
    pub(crate) fn ended(&self) {
        let handlers = std::mem::take(&mut self.lock().handlers);
        drop(handlers);
        self.0.namespace.released();
    }

    /// Sends the answer to an event of the client.
    pub(crate) fn answer(&self, id: u64, values: &impl Serialize) -> Result<(), EmitError> {
        if !self.connected() {
            return Err(EmitError::Disconnected);
        }
        let arguments = Arguments::values(values).map_err(|error| EmitError::Arguments(error.to_string()))?;
        let parts = self.0.client.encode(Kind::Ack, self.0.namespace.name(), Some(id), Some(&arguments));
        self.0.client.connection().send(&parts).map_err(EmitError::from)
    }

    /// Sends what was encoded.
    pub(crate) fn send(&self, parts: &[Message], is_volatile: bool) -> Result<(), EmitError> {
        if !self.connected() {
            return Err(EmitError::Disconnected);
        }
        let connection = self.0.client.connection();
        if is_volatile {
            connection.send_volatile(parts)?;
        } else {
            connection.send(parts)?;
        }
        Ok(())
    }

    /// Sends what was encoded with this stamp for many, unless the client has it, or it has to wait until the client has
    /// what it missed. `write` encodes it with another stamp.
    pub(crate) fn give(
        &self,
        parts: &[Message],
        is_volatile: bool,
        stamp: Stamp,
        write: impl FnOnce(Stamp) -> Vec<Message>,
    ) {
        // Who has gone, or is disconnected because its queue is full, does not get it.
        let Some(keep) = self.keep() else {
            self.send(parts, is_volatile).ok();
            return;
        };
        let engine = &self.0.namespace.options().engine;
        if !self.connected() && keep.hold_back(stamp, parts, engine.max_queued_messages, engine.max_queued_bytes) {
            return;
        }
        match keep.holding.admit(stamp) {
            Some(own) if own == stamp => self.send(parts, is_volatile).ok(),
            Some(other) => self.send(&write(other), is_volatile).ok(),
            None => None,
        };
    }

    /// Notes that an event without an offset is about to be sent, whose last argument the client may take for one.
    pub(crate) fn mistake(&self, last_text: Option<&str>) {
        if let (Some(keep), Some(text)) = (self.keep(), last_text) {
            keep.holding.mistake(text);
        }
    }

    /// Notes that rooms or data have changed.
    pub(crate) fn touched(&self) {
        if let (Some(keep), Some(recovery)) = (self.keep(), self.recovery()) {
            recovery.changed(&keep.holding);
        }
    }

    /// Returns what is to be kept of the socket.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        let rooms = match state.phase {
            Phase::Connected | Phase::Returning => self.0.namespace.hub().rooms(&self.0.id),
            Phase::Connecting | Phase::Closed => std::iter::once(&self.0.id).chain(&state.rooms).cloned().collect(),
        };
        Snapshot { rooms, data: state.data_value() }
    }

    /// Returns the session of the socket, if its client can come back.
    pub(crate) fn keep(&self) -> Option<&Keep> {
        self.0.keep.get().map(|keep| &**keep)
    }

    /// Returns what the client proves with that the session is its own.
    pub(crate) fn secret(&self) -> Option<&str> {
        self.keep().map(|keep| &**keep.holding.secret())
    }

    fn epoch(&self) -> u64 {
        self.keep().map_or(0, |keep| keep.holding.epoch())
    }

    fn recovery(&self) -> Option<&Recovery> {
        self.0.namespace.cluster().recovery()
    }

    /// Returns whether somebody wants to see outgoing events.
    pub(crate) fn is_watched(&self) -> bool {
        self.0.is_watched.load(Ordering::Acquire)
    }

    /// Shows an outgoing event to those who want to see it.
    pub(crate) fn show_outgoing(&self, arguments: &Arguments) {
        let handlers = self.lock().handlers.clone();
        let event = Event { arguments: arguments.clone(), ack: crate::Ack::default() };
        for entry in handlers.iter() {
            if let Entry::Outgoing(handler) = entry {
                handler(self, &event);
            }
        }
    }
}

impl From<SendError> for EmitError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::QueueFull => Self::QueueFull,
            _ => Self::Disconnected,
        }
    }
}
