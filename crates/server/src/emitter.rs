//! Decides how one socket is sent an event: with what flags, and who waits for the answer.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use limpet_bus::{Flags, Targets};
use limpet_proto::socketio::arguments::Arguments;
use limpet_proto::socketio::packet::Kind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::acks::{Acks, Waiter};
use crate::broadcast::Broadcast;
use crate::error::{AckError, ArgumentError, EmitError};
use crate::rooms::IntoRooms;
use crate::socket::Socket;

/// Events that are not reserved have any other name than these.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Sends events to one socket in a certain way. Made by [`Socket::volatile`], [`Socket::timeout`] and [`Socket::compress`].
#[derive(Debug, Clone)]
#[must_use = "an emitter does nothing until it emits"]
pub struct Emitter {
    socket: Socket,
    flags: Flags,
}

impl Emitter {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, flags: Flags::default() }
    }

    /// Drops events when the client cannot take them right now.
    pub fn volatile(mut self) -> Self {
        self.flags.volatile = true;
        self
    }

    /// Says whether the transport may compress what is sent.
    pub fn compress(mut self, compress: bool) -> Self {
        self.flags.compress = compress;
        self
    }

    /// Limits the wait for acknowledgements.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.flags.timeout = Some(timeout);
        self
    }

    /// Means all sockets of the namespace except this one, in the same way.
    pub fn broadcast(self) -> Broadcast {
        Broadcast::new(self.socket.namespace().clone(), self.socket.targets(), self.flags)
    }

    /// Means the sockets in these rooms except this one, in the same way.
    pub fn to(self, rooms: impl IntoRooms) -> Broadcast {
        self.broadcast().in_room(rooms)
    }

    /// Sends an event; see [`Socket::emit`].
    ///
    /// # Errors
    /// As [`Socket::emit`].
    pub fn emit(&self, name: &str, arguments: impl Serialize) -> Result<(), EmitError> {
        let arguments = event(name, &arguments)?;
        let socket = &self.socket;
        if socket.keep().is_none() {
            return self.send(None, &arguments);
        }
        if !socket.connected() {
            return Err(EmitError::Disconnected);
        }
        // What can be missed goes through the log, and back to this socket alone.
        let flags = Flags { local: self.flags.volatile, ..self.flags };
        Ok(socket.namespace().cluster().broadcast(arguments, Targets::room(socket.id()), flags)?)
    }

    /// Sends an event, and waits until the bus has it; see [`Broadcast::emit_confirmed`].
    ///
    /// # Errors
    /// As [`Broadcast::emit_confirmed`], and when the socket is not connected.
    pub fn emit_confirmed(&self, name: &str, arguments: impl Serialize) -> BoxFuture<'static, Result<(), EmitError>> {
        let socket = &self.socket;
        let namespace = socket.namespace().clone();
        let own = Broadcast::new(namespace, Targets::room(socket.id()), self.flags);
        let queued =
            if socket.connected() { Ok(own.emit_confirmed(name, arguments)) } else { Err(EmitError::Disconnected) };
        Box::pin(async move { queued?.await })
    }

    /// Sends an event and waits for the acknowledgement; see [`Socket::emit_with_ack`].
    pub fn emit_with_ack<R: DeserializeOwned + 'static>(
        &self,
        name: &str,
        arguments: impl Serialize,
    ) -> BoxFuture<'static, Result<R, AckError>> {
        let timeout = self.flags.timeout.or_else(|| self.socket.namespace().options().ack_timeout);
        let asked = event(name, &arguments).map_err(AckError::from).and_then(|arguments| self.ask(&arguments));
        Box::pin(async move {
            let (answer, _guard) = asked?;
            let answer = match timeout {
                Some(timeout) => tokio::time::timeout(timeout, answer).await.map_err(|_| AckError::Timeout)?,
                None => answer.await,
            };
            let answer = answer.map_err(|_| AckError::Disconnected)?;
            answer.get(0).map_err(|error| ArgumentError { index: 0, cause: error.to_string() }.into())
        })
    }

    fn ask(&self, arguments: &Arguments) -> Result<(oneshot::Receiver<Arguments>, Guard), AckError> {
        let (sender, answer) = oneshot::channel();
        let namespace = self.socket.namespace();
        let id = namespace.next_id();
        if !acks(&self.socket).add(id, Waiter::One(sender), namespace.options().max_waiting_acks) {
            return Err(AckError::TooMany);
        }
        let guard = Guard { socket: self.socket.clone(), id };
        if self.socket.keep().is_none() {
            self.send(Some(id), arguments)?;
        } else if self.socket.connected() {
            // It goes by no log, and must not overtake what does.
            let (emitter, arguments) = (self.clone(), arguments.clone());
            namespace.cluster().in_order(move || {
                emitter.socket.mistake(arguments.last_text().as_deref());
                emitter.send(Some(id), &arguments).ok();
            });
        } else {
            return Err(EmitError::Disconnected.into());
        }
        Ok((answer, guard))
    }

    fn send(&self, id: Option<u64>, arguments: &Arguments) -> Result<(), EmitError> {
        let socket = &self.socket;
        if !socket.connected() {
            return Err(EmitError::Disconnected);
        }
        let mut parts = socket.0.client.encode(Kind::Event, socket.namespace().name(), id, Some(arguments));
        if !self.flags.compress {
            parts = parts.into_iter().map(|part| part.uncompressed()).collect();
        }
        socket.send(&parts, self.flags.volatile)?;
        if socket.is_watched() {
            socket.show_outgoing(arguments);
        }
        Ok(())
    }
}

/// Ends the wait for an acknowledgement, however it ends.
struct Guard {
    socket: Socket,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        acks(&self.socket).remove(self.id);
    }
}

pub(crate) fn acks(socket: &Socket) -> MutexGuard<'_, Acks> {
    socket.0.acks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes an event.
pub(crate) fn event(name: &str, arguments: &impl Serialize) -> Result<Arguments, EmitError> {
    if RESERVED.contains(&name) {
        return Err(EmitError::ReservedName(name.to_owned()));
    }
    Arguments::event(name, arguments).map_err(|error| EmitError::Arguments(error.to_string()))
}
