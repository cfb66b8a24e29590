//! Chance for the intervals of probes, so that endpoints and balancers do not fall into step.

use std::time::Duration;

/// A small generator of even numbers (splitmix64); it decides nothing that anybody could want to guess.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    /// Makes a generator; equal seeds give equal numbers.
    pub(super) fn seeded(seed: u64) -> Self {
        // Balancers on several machines number their endpoints alike.
        Self(seed ^ u64::from(std::process::id()).rotate_left(32))
    }

    /// Makes an interval longer or shorter by at most `percent`.
    pub(super) fn spread(&mut self, interval: Duration, percent: u32) -> Duration {
        let most = f64::from(percent.min(100)) / 100.0;
        interval.mul_f64((self.even() * 2.0 - 1.0).mul_add(most, 1.0))
    }

    /// Returns an even number from 0 to 1.
    fn even(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_stay_within_their_spread_and_use_all_of_it() {
        let second = Duration::from_secs(1);
        for seed in 0..10 {
            let mut jitter = Jitter::seeded(seed);
            let all: Vec<f64> = (0..1000).map(|_| jitter.spread(second, 20).as_secs_f64()).collect();
            assert!(all.iter().all(|seconds| (0.8..=1.2).contains(seconds)));
            assert!(all.iter().any(|seconds| *seconds < 0.85) && all.iter().any(|seconds| *seconds > 1.15));
            let mean = all.iter().sum::<f64>() / 1000.0;
            assert!((0.98..1.02).contains(&mean), "{mean}");
            assert_eq!(jitter.spread(second, 0), second);
        }
    }
}
