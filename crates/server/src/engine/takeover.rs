//! Decides how a connection gets from who has read its request to the WebSocket that it becomes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use tokio::net::TcpStream;

/// What an upgrade can be granted on.
pub(super) enum Carrier {
    /// A connection of our own listener.
    Own(Takeover),
    /// What an HTTP library will give once the answer has been sent.
    Hyper(OnUpgrade),
}

type Then = Box<dyn FnOnce(TcpStream, Bytes) + Send>;

/// A place where our own listener finds who takes a connection. It looks there when it has sent the answer that grants it.
#[derive(Clone, Default)]
pub(crate) struct Takeover(Arc<Mutex<Option<Then>>>);

impl Takeover {
    /// Says what becomes of the connection, which comes with what has been read behind the request.
    pub(super) fn set(&self, then: impl FnOnce(TcpStream, Bytes) + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(then));
    }

    /// Gives the connection away; `false` if nobody wants it.
    pub(crate) fn give(&self, stream: TcpStream, early: Bytes) -> bool {
        let then = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match then {
            Some(then) => {
                then(stream, early);
                true
            }
            None => false,
        }
    }
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Takeover").finish_non_exhaustive()
    }
}
