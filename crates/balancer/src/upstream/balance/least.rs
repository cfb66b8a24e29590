//! The endpoint with the least load for its weight.

use super::tiers::{Seat, Tier};
use crate::upstream::cell::load_of;

/// Returns the load of an endpoint for its weight, as HAProxy's `leastconn` reckons it: one more than it has, so that
/// weight counts from the first request on; but idle endpoints are all equal, so that they have turns.
pub(super) fn score(rank: u64, step: u32) -> u64 {
    let load = u64::from(load_of(rank));
    (load + u64::from(load != 0)) * u64::from(step)
}

/// Finds the least loaded endpoint; among equals, as with HAProxy, the one whose load has not changed for longest.
pub(super) fn least(tier: &Tier, free: impl Fn(&Seat) -> bool) -> Option<usize> {
    let mut least = (u64::MAX, u64::MAX, None);
    if tier.is_even {
        for (at, (cell, _)) in tier.cells.iter().enumerate() {
            let rank = cell.rank();
            if rank < least.0 && free(&tier.seats[at]) {
                least = (rank, 0, Some(at));
            }
        }
    } else {
        for (at, (cell, step)) in tier.cells.iter().enumerate() {
            let rank = cell.rank();
            let score = score(rank, *step);
            // Most are above, and one comparison is enough for them.
            if score > least.0 {
                continue;
            }
            let moved = rank << 24;
            if (score < least.0 || moved < least.1) && free(&tier.seats[at]) {
                least = (score, moved, Some(at));
            }
        }
    }
    least.2
}
