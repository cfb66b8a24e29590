//! Decides how an event is answered: at most once, and only if the client waits for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::error::EmitError;
use crate::socket::Socket;

/// The answer that a client waits for, or does not. The last parameter of a handler that answers.
///
/// ```no_run
/// # let io = limpet_server::Server::new(limpet_server::Options::default());
/// use limpet_server::{Ack, Socket};
/// io.on_connection(|socket: Socket| async move {
///     socket.on("sum", |_: Socket, a: i64, b: i64, ack: Ack| async move {
///         ack.send(a + b).ok();
///     });
/// });
/// ```
#[derive(Clone, Default)]
pub struct Ack(Option<Arc<Wanted>>);

struct Wanted {
    socket: Socket,
    id: u64,
    is_sent: AtomicBool,
}

impl Ack {
    pub(crate) fn wanted(socket: Socket, id: u64) -> Self {
        Self(Some(Arc::new(Wanted { socket, id, is_sent: AtomicBool::new(false) })))
    }

    /// Returns whether the client waits for an answer and has not got one.
    pub fn is_wanted(&self) -> bool {
        self.0.as_ref().is_some_and(|wanted| !wanted.is_sent.load(Ordering::Relaxed))
    }

    /// Answers. A tuple is several arguments, `()` is none. Does nothing when no answer is wanted, or one was sent.
    ///
    /// # Errors
    /// [`EmitError`] when the socket is gone, its queue is full, or the arguments cannot be written.
    pub fn send(self, values: impl Serialize) -> Result<(), EmitError> {
        match self.0 {
            Some(wanted) if !wanted.is_sent.swap(true, Ordering::Relaxed) => wanted.socket.answer(wanted.id, &values),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack").field("is_wanted", &self.is_wanted()).finish()
    }
}
