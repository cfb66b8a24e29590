//! Two endpoints by chance, and of these the one with less load.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};

use super::least;
use super::tiers::{Seat, Tier};

/// How often a pair is drawn before every endpoint is looked at.
const DRAWS: usize = 4;

thread_local! {
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0) | 1);
}

/// Draws two endpoints, each by its weight, and finds the one with less load for its weight.
pub(super) fn less_loaded_of_two(tier: &Tier, free: impl Fn(&Seat) -> bool) -> Option<usize> {
    let schedule = tier.schedule();
    for _ in 0..DRAWS {
        let draw = next();
        let pick = |bits: u64| schedule.get(((bits * schedule.len() as u64) >> 32) as usize).map(|at| usize::from(*at));
        let (one, other) = (pick(draw >> 32)?, pick(draw & 0xffff_ffff)?);
        let load = |at: usize| least::score(tier.seats[at].rank(), tier.seats[at].step());
        match (free(&tier.seats[one]), free(&tier.seats[other])) {
            (true, true) => return Some(if load(other) < load(one) { other } else { one }),
            (true, false) => return Some(one),
            (false, true) => return Some(other),
            (false, false) => {}
        }
    }
    least::least(tier, free)
}

/// Marsaglia's xorshift64*: good enough to spread load, and no key.
fn next() -> u64 {
    let mut x = STATE.get();
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    STATE.set(x);
    x.wrapping_mul(0x2545_f491_4f6c_dd1d)
}
