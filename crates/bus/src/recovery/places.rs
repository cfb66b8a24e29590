//! Decides up to where a node is in the log: where it has begun to deliver, and where it has done so.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::log::Offset;

/// The places of one namespace on one node. They never move back.
#[derive(Debug, Default)]
pub(crate) struct Places {
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    begun: Option<Offset>,
    done: Option<Offset>,
    /// How many wait for a place.
    waiting: usize,
}

impl Places {
    /// Returns the place up to which entries have been given to the sockets, or are about to be.
    pub(crate) fn begun(&self) -> Option<Offset> {
        self.lock().begun
    }

    /// Returns the place up to which all entries have reached the sockets.
    pub(crate) fn done(&self) -> Option<Offset> {
        self.lock().done
    }

    /// Notes that an entry is about to be given to the sockets. False if it has been before.
    pub(crate) fn begin(&self, offset: Offset) -> bool {
        let mut state = self.lock();
        let is_new = Some(offset) > state.begun;
        state.begun = state.begun.max(Some(offset));
        is_new
    }

    /// Notes that everything up to here has reached the sockets.
    pub(crate) fn finish(&self, offset: Offset) {
        let mut state = self.lock();
        state.begun = state.begun.max(Some(offset));
        state.done = state.done.max(Some(offset));
        let is_awaited = state.waiting > 0;
        drop(state);
        if is_awaited {
            self.moved.notify_waiters();
        }
    }

    /// Waits until the entry of this place has reached the sockets.
    pub(crate) async fn reached(&self, offset: Offset) {
        let _waiting = Waiting::new(self);
        loop {
            let moved = self.moved.notified();
            if self.done() >= Some(offset) {
                return;
            }
            moved.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits, until it is dropped.
struct Waiting<'a>(&'a Places);

impl<'a> Waiting<'a> {
    fn new(places: &'a Places) -> Self {
        places.lock().waiting += 1;
        Self(places)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}
