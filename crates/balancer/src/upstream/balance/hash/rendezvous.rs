//! Highest random weight (Thaler and Ravishankar): every endpoint draws a number for a key, and the best one wins.
//!
//! A key belongs to one of 65,536 groups, and a group draws for all its keys, so that the winner can be kept: a group
//! that has no winner yet costs a few microseconds once for each snapshot, any other a look-up. Which endpoint wins
//! depends on the identities and weights of the endpoints alone, so that all balancers agree.

use std::sync::atomic::{AtomicU16, Ordering};

use super::functions::{mix64, sum64};
use crate::upstream::balance::tiers::Seat;

const GROUPS: usize = 1 << 16;

/// The winners that are known. 128 KiB for each tier that is used, and 8 bytes for each endpoint.
#[derive(Debug)]
pub(crate) struct Rendezvous {
    /// One more than the seat; 0 is not known.
    winners: Box<[AtomicU16]>,
    seeds: Vec<u64>,
}

impl Rendezvous {
    pub(crate) fn of(seats: &[Seat]) -> Self {
        let seed = |seat: &Seat| {
            let [a, b, c, d, e, f] = seat.endpoint.id().0;
            mix64(u64::from_be_bytes([0, 1, a, b, c, d, e, f]))
        };
        Self { winners: (0..GROUPS).map(|_| AtomicU16::new(0)).collect(), seeds: seats.iter().map(seed).collect() }
    }

    pub(super) fn pick(&self, seats: &[Seat], key: &[u8], open: impl Fn(usize) -> bool) -> Option<usize> {
        let group = (sum64(key) >> 48) as usize;
        let kept = &self.winners[group];
        let winner = match usize::from(kept.load(Ordering::Relaxed)).checked_sub(1) {
            Some(winner) => winner,
            None => {
                let winner = self.draw(seats, group, |_| true)?;
                kept.store(u16::try_from(winner + 1).unwrap_or(0), Ordering::Relaxed);
                winner
            }
        };
        if open(winner) { Some(winner) } else { self.draw(seats, group, open) }
    }

    /// Finds the endpoint with the least `-ln(u) / weight`, where `u` is its draw within 0 and 1.
    fn draw(&self, seats: &[Seat], group: usize, open: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best = (f64::INFINITY, None);
        for (at, (seat, seed)) in seats.iter().zip(&self.seeds).enumerate() {
            let drawn = mix64(seed ^ mix64(group as u64 + 1));
            let cost = minus_ln(drawn) / f64::from(seat.weight);
            if cost < best.0 && open(at) {
                best = (cost, Some(at));
            }
        }
        best.1
    }
}

/// Returns the negative natural logarithm of a number of 64 bits behind the point. It uses only operations whose results
/// are the same on every machine, unlike the ones of a mathematical library.
fn minus_ln(fraction: u64) -> f64 {
    let fraction = fraction | 1;
    let zeros = fraction.leading_zeros();
    // 1 <= mantissa < 2
    let mantissa = (fraction << zeros >> 11) as f64 / (1_u64 << 52) as f64;
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = (0..16).rev().fold(0.0, |sum, n| sum * square + 1.0 / f64::from(2 * n + 1));
    f64::from(zeros + 1) * std::f64::consts::LN_2 - 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_one() {
        for bits in [1, 12345, 1 << 40, 1 << 63, u64::MAX / 3, u64::MAX] {
            let expected = -(bits as f64 / 2_f64.powi(64)).ln();
            assert!((minus_ln(bits) - expected).abs() < 1e-9, "{bits}: {} {expected}", minus_ln(bits));
        }
    }
}
