//! The counters of an endpoint that choices read, side by side with those of its neighbours.
//!
//! A choice among 256 endpoints would touch 256 cache lines if each counter lay in its own endpoint. Here the cells of
//! endpoints that were made one after the other lie together, four to a cache line.

use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Cells are made in lots of this many, 16 bytes each, and never given back to the system: they are used again.
const LOT: usize = 256;

/// The bits below the load, which say when it changed last.
const MOVE_BITS: u32 = 40;

static FREE: Mutex<Vec<&'static Cell>> = Mutex::new(Vec::new());

/// Counts the changes of load. It comes round after 10^12 of them, when endpoints of equal load have turns out of order
/// once.
static MOVES: AtomicU64 = AtomicU64::new(0);

/// The counters of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Cell {
    /// Sessions, tunnels and requests that belong to neither, above the number of the last change.
    load_and_move: AtomicU64,
    /// Slots in use: requests and tunnels in progress, while the endpoint has a limit.
    pub(super) in_use: AtomicU32,
    /// What it is ahead in turns by weight; changed under a lock of its upstream.
    pub(super) ahead: AtomicI32,
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
        let cell = free.pop().unwrap_or_else(|| Box::leak(Box::default()));
        cell.move_to_end();
        cell
    }

    /// Gives the cell back, once nothing counts on it any more.
    pub(super) fn give_back(&'static self) {
        self.load_and_move.store(0, Ordering::Relaxed);
        self.in_use.store(0, Ordering::Relaxed);
        self.ahead.store(0, Ordering::Relaxed);
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }

    /// Returns the load.
    pub(super) fn load(&self) -> u32 {
        load_of(self.rank())
    }

    /// Returns a number that is the smaller the lower the load, and among equals the longer it has not changed.
    pub(super) fn rank(&self) -> u64 {
        self.load_and_move.load(Ordering::Relaxed)
    }

    /// Adds a unit of load, unless it is at `most`; 0 for no limit. Returns whether it did.
    pub(super) fn add(&self, most: u32) -> bool {
        self.change(|load| (most == 0 || load < most).then_some(load + 1))
    }

    /// Takes a unit of load away.
    pub(super) fn subtract(&self) {
        self.change(|load| Some(load.saturating_sub(1)));
    }

    /// Puts the endpoint behind all others of its load.
    pub(super) fn move_to_end(&self) {
        self.change(Some);
    }

    fn change(&self, change: impl Fn(u32) -> Option<u32>) -> bool {
        let moved = MOVES.fetch_add(1, Ordering::Relaxed) & ((1 << MOVE_BITS) - 1);
        let change = |before| Some(u64::from(change(load_of(before))?) << MOVE_BITS | moved);
        self.load_and_move.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }
}

/// Returns the load of a [rank](Cell::rank), up to 16,777,215.
pub(super) fn load_of(rank: u64) -> u32 {
    (rank >> MOVE_BITS) as u32
}

/// Returns the part of a [rank](Cell::rank) that is the smaller the longer the load has not changed.
pub(super) fn move_of(rank: u64) -> u64 {
    rank & ((1 << MOVE_BITS) - 1)
}

/// Returns the highest [rank](Cell::rank) that endpoints of this load can have.
pub(super) fn last_rank_of(load: u32) -> u64 {
    u64::from(load) << MOVE_BITS | ((1 << MOVE_BITS) - 1)
}
