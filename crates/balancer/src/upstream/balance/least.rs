//! The endpoint with the least load for its weight.

use super::tiers::{Seat, Tier};
use crate::upstream::cell::{last_rank_of, load_of, move_of};

/// Returns the load of an endpoint for its weight, as HAProxy's `leastconn` reckons it: one more than it has, so that
/// weight counts from the first request on; but idle endpoints are all equal, so that they have turns.
pub(super) fn score(rank: u64, step: u32) -> u64 {
    let load = u64::from(load_of(rank));
    (load + u64::from(load != 0)) * u64::from(step)
}

/// Finds the least loaded endpoint; among equals, as with HAProxy, the one whose load has not changed for longest.
pub(super) fn least(tier: &Tier, free: impl Fn(&Seat) -> bool) -> Option<usize> {
    let mut least = (u64::MAX, u64::MAX, None);
    if tier.is_even() {
        for burden in &tier.burdens {
            let rank = burden.cell.rank();
            if rank < least.0 && free(&tier.seats[usize::from(burden.seat)]) {
                least = (rank, 0, Some(usize::from(burden.seat)));
            }
        }
        return least.2;
    }
    // Load costs those that follow as much or more, so above this rank none of them is less loaded.
    let mut highest = u64::MAX;
    for burden in &tier.burdens {
        let rank = burden.cell.rank();
        if rank > highest {
            continue;
        }
        let (score, moved) = (score(rank, burden.step), move_of(rank));
        if (score, moved) < (least.0, least.1) && free(&tier.seats[usize::from(burden.seat)]) {
            least = (score, moved, Some(usize::from(burden.seat)));
            highest = if score == 0 { rank } else { last_rank_of(load_of(rank)) };
        }
    }
    least.2
}
