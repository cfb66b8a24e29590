//! Decides which functions can handle events, and how arguments become their parameters.
//!
//! Parameters are read by position: the first behind the socket is the first argument of the event. Arguments that are
//! not there read as null, so an `Option` takes them; more arguments than parameters are no error.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::ack::Ack;
use crate::error::{ArgumentError, ConnectError};
use crate::event::Event;
use crate::reason::DisconnectReason;
use crate::socket::Socket;

/// What a handler does, as it waits to be run.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;
pub(crate) type OnEvent = Arc<dyn Fn(Socket, &Event) -> Result<Work, ArgumentError> + Send + Sync>;
pub(crate) type OnSocket = Arc<dyn Fn(Socket) -> Work + Send + Sync>;
pub(crate) type OnEnd = Arc<dyn Fn(Socket, DisconnectReason) -> Work + Send + Sync>;
pub(crate) type Refusal = Pin<Box<dyn Future<Output = Result<(), ConnectError>> + Send>>;
pub(crate) type OnConnect = Arc<dyn Fn(Socket) -> Refusal + Send + Sync>;

/// A function that handles an event: `|socket: Socket, a: A, b: B, …| async { … }` with up to 6 parameters that serde can
/// read, or that are an [`Ack`] or an [`Event`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot handle an event",
    note = "a handler is `|socket: Socket, a: A, b: B, ack: Ack| async move {{ … }}` with up to 6 parameters behind the socket, \
            each of a type that implements `serde::de::DeserializeOwned`, or `Ack`, or `Event`; its future returns `()`"
)]
pub trait EventHandler<Parameters>: Send + Sync + 'static {
    /// Reads the parameters and begins.
    ///
    /// # Errors
    /// [`ArgumentError`] when an argument is not of the type of its parameter.
    fn call(&self, socket: Socket, event: &Event) -> Result<Pin<Box<dyn Future<Output = ()> + Send>>, ArgumentError>;
}

/// A type that a parameter of a handler can have. Every type that serde can read is one.
pub trait FromEvent: Sized {
    /// Reads the argument with this place behind the name.
    ///
    /// # Errors
    /// [`ArgumentError`] when the argument is not of this type.
    fn from_event(event: &Event, index: usize) -> Result<Self, ArgumentError>;
}

impl<T: DeserializeOwned> FromEvent for T {
    fn from_event(event: &Event, index: usize) -> Result<Self, ArgumentError> {
        event.get(index)
    }
}

impl FromEvent for Ack {
    fn from_event(event: &Event, _: usize) -> Result<Self, ArgumentError> {
        Ok(event.ack())
    }
}

impl FromEvent for Event {
    fn from_event(event: &Event, _: usize) -> Result<Self, ArgumentError> {
        Ok(event.clone())
    }
}

macro_rules! event_handlers {
    ($($parameter:ident $index:literal),*) => {
        impl<F, Fut, $($parameter),*> EventHandler<($($parameter,)*)> for F
        where
            F: Fn(Socket, $($parameter),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = ()> + Send + 'static,
            $($parameter: FromEvent,)*
        {
            #[allow(unused_variables, clippy::allow_attributes, reason = "without parameters the event is not looked at")]
            fn call(
                &self,
                socket: Socket,
                event: &Event,
            ) -> Result<Pin<Box<dyn Future<Output = ()> + Send>>, ArgumentError> {
                Ok(Box::pin(self(socket, $($parameter::from_event(event, $index)?),*)))
            }
        }
    };
}

event_handlers!();
event_handlers!(A 0);
event_handlers!(A 0, B 1);
event_handlers!(A 0, B 1, C 2);
event_handlers!(A 0, B 1, C 2, D 3);
event_handlers!(A 0, B 1, C 2, D 3, E 4);
event_handlers!(A 0, B 1, C 2, D 3, E 4, G 5);
event_handlers!(A 0, B 1, C 2, D 3, E 4, G 5, H 6);
