//! What an endpoint saw, in order, for tests to read and to wait for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::wait::PATIENCE;

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The number of the connection, from 0.
    pub connection: usize,
    /// The method.
    pub method: String,
    /// The target.
    pub target: String,
    /// The whole head, without the empty line at its end.
    pub head: String,
    /// The decoded body; empty where the endpoint does not read bodies.
    pub body: Vec<u8>,
}

/// One thing that happened at an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A connection, by its number, was accepted.
    Connected(usize),
    /// A request was read.
    Request(Received),
    /// The other side ended or reset this connection.
    Ended(usize),
    /// The endpoint no longer listens.
    Stopped,
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    events: Mutex<Vec<Event>>,
    grown: Condvar,
}

impl Journal {
    pub(super) fn add(&self, event: Event) {
        self.lock().push(event);
        self.grown.notify_all();
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.lock().clone()
    }

    /// The first value that `pick` gives; `None` when there is none in time.
    pub(super) fn wait_for<T>(&self, pick: impl Fn(&Event) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut events = self.lock();
        loop {
            if let Some(found) = events.iter().find_map(&pick) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            events = self.grown.wait_timeout(events, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
