//! The two counters of an endpoint that every choice reads, side by side with those of its neighbours.
//!
//! A choice among 256 endpoints would touch 256 cache lines if each counter lay in its own endpoint. Here the cells of
//! endpoints that were made one after the other lie together, eight to a cache line.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// Cells are made in lots of this many, 8 bytes each, and never given back to the system: they are used again.
const LOT: usize = 256;

static FREE: Mutex<Vec<&'static Cell>> = Mutex::new(Vec::new());

/// The counters of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Cell {
    /// Sessions, tunnels and requests that belong to neither.
    pub(super) load: AtomicU32,
    /// Slots in use: requests and tunnels in progress, while the endpoint has a limit.
    pub(super) in_use: AtomicU32,
}

impl Cell {
    /// Takes a cell that nobody uses.
    pub(super) fn take() -> &'static Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if free.is_empty() {
            let lot: Box<[Self]> = (0..LOT).map(|_| Self::default()).collect();
            // The last is taken first.
            free.extend(Box::leak(lot).iter().rev());
        }
        free.pop().unwrap_or_else(|| Box::leak(Box::default()))
    }

    /// Gives the cell back, once nothing counts on it any more.
    pub(super) fn give_back(&'static self) {
        self.load.store(0, Ordering::Relaxed);
        self.in_use.store(0, Ordering::Relaxed);
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }
}
