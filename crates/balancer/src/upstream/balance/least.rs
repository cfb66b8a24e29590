//! The endpoint with the least load for its weight.

use std::sync::atomic::Ordering;

use super::tiers::{Seat, Tier};
use crate::upstream::cell::Cell;

/// Returns the load of an endpoint for its weight, as HAProxy's `leastconn` reckons it: one more than it has, so that
/// weight counts from the first request on; but idle endpoints are all equal, so that they have turns.
pub(super) fn score(cell: &Cell, step: u32) -> u64 {
    let load = u64::from(cell.load.load(Ordering::Relaxed));
    (load + u64::from(load != 0)) * u64::from(step)
}

/// Finds the least loaded endpoint; the first of equals is the one whose turn it is.
pub(super) fn least(tier: &Tier, turn: usize, free: impl Fn(&Seat) -> bool) -> Option<usize> {
    let count = tier.seats.len();
    let from = turn % count.max(1);
    let mut least = (u64::MAX, None);
    for range in [from..count, 0..from] {
        let scored = tier.cells[range.clone()].iter().zip(range);
        for ((cell, step), at) in scored {
            let score = score(cell, *step);
            // Nobody is below an idle endpoint.
            if score < least.0 && free(&tier.seats[at]) {
                least = (score, Some(at));
                if score == 0 {
                    return least.1;
                }
            }
        }
    }
    least.1
}
