//! Decides how an event is seen by those who take it whole: catch-alls and middlewares.

use std::borrow::Cow;
use std::fmt;

use limpet_proto::socketio::arguments::Arguments;
use serde::de::DeserializeOwned;

use crate::ack::Ack;
use crate::error::ArgumentError;

/// An event: its name, its arguments, and the way to answer it. Clones share the arguments.
///
/// ```no_run
/// # let io = limpet_server::Server::new(limpet_server::Options::default());
/// use limpet_server::{Event, Socket};
/// io.on_connection(|socket: Socket| async move {
///     socket.on_any(|_: Socket, event: Event| async move {
///         println!("{} with {} arguments", event.name(), event.len());
///     });
/// });
/// ```
#[derive(Clone)]
pub struct Event {
    pub(crate) arguments: Arguments,
    pub(crate) ack: Ack,
}

impl Event {
    /// Returns the name. A name that is a number is returned as its digits.
    pub fn name(&self) -> Cow<'_, str> {
        self.arguments.event_name()
    }

    /// Returns how many arguments there are, without the name.
    pub fn len(&self) -> usize {
        self.arguments.len().saturating_sub(1)
    }

    /// Returns whether there is no argument.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads an argument; the first behind the name is 0. One that is not there reads as null.
    ///
    /// # Errors
    /// [`ArgumentError`] when the argument is not of this type.
    pub fn get<T: DeserializeOwned>(&self, index: usize) -> Result<T, ArgumentError> {
        self.arguments.get(index + 1).map_err(|error| ArgumentError { index, cause: error.to_string() })
    }

    /// Returns the name and the arguments as they came.
    pub fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    /// Returns the way to answer. [`Ack::is_wanted`] says whether the client waits for an answer.
    pub fn ack(&self) -> Ack {
        self.ack.clone()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("name", &self.name()).field("arguments", &self.len()).finish()
    }
}
