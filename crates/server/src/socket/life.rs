//! Decides how a socket lives: when it is connected, when it is closed, and what it can be sent meanwhile.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use limpet_proto::engineio::message::Message;
use limpet_proto::socketio::arguments::Arguments;
use limpet_proto::socketio::packet::Kind;
use serde::Serialize;

use super::handlers::Entry;
use super::{Phase, Socket};
use crate::engine::SendError;
use crate::error::EmitError;
use crate::event::Event;
use crate::queue::Job;
use crate::reason::DisconnectReason;

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

    /// Ends the socket. Returns whether it was connected. Its handlers hear of it behind the events that wait.
    pub(crate) fn close(&self, reason: DisconnectReason) -> bool {
        let mut state = self.lock();
        let was_connected = match std::mem::replace(&mut state.phase, Phase::Closed) {
            Phase::Closed => return false,
            Phase::Connecting => false,
            Phase::Connected => true,
        };
        self.0.is_connected.store(false, Ordering::Release);
        if was_connected {
            state.rooms = self.0.namespace.hub().remove(&self.0.id).unwrap_or_default();
        }
        drop(state);
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
