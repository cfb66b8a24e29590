//! Numbers as they are read: summed over threads, or over objects.

use std::ops::{AddAssign, Index};
use std::time::Duration;

use super::count::{CLOSE_CODES, COUNTS, Count, TIMES, Time};
use crate::affinity::Evidence;
use crate::tunnel::close::CloseReason;

/// Every number of one object, or of several together, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    pub(super) counts: [u64; COUNTS],
    /// Sums of microseconds and their numbers.
    pub(super) times: [(u64, u64); TIMES],
    pub(super) evidence: [u64; Evidence::ALL.len()],
    pub(super) closes: [u64; CloseReason::ALL.len()],
    pub(super) client_codes: [u64; CLOSE_CODES.len()],
    pub(super) endpoint_codes: [u64; CLOSE_CODES.len()],
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            counts: [0; COUNTS],
            times: [(0, 0); TIMES],
            evidence: [0; Evidence::ALL.len()],
            closes: [0; CloseReason::ALL.len()],
            client_codes: [0; CLOSE_CODES.len()],
            endpoint_codes: [0; CLOSE_CODES.len()],
        }
    }
}

impl Totals {
    /// Returns a number.
    pub fn get(&self, count: Count) -> u64 {
        not_negative(self.counts[count as usize])
    }

    /// Returns the responses of all statuses.
    pub fn responses(&self) -> u64 {
        Count::STATUSES.iter().map(|class| self.get(*class)).sum()
    }

    /// Returns an average time, `None` before the first.
    pub fn average(&self, time: Time) -> Option<Duration> {
        let (sum, number) = self.times[time as usize];
        sum.checked_div(number).map(Duration::from_micros)
    }

    /// Returns how often requests were bound by each kind of evidence.
    pub fn evidence(&self) -> impl Iterator<Item = (Evidence, u64)> + '_ {
        Evidence::ALL.into_iter().zip(self.evidence)
    }

    /// Returns how often tunnels ended for each reason.
    pub fn closes(&self) -> impl Iterator<Item = (CloseReason, u64)> + '_ {
        CloseReason::ALL.into_iter().zip(self.closes)
    }

    /// Returns how often clients sent each class of [close codes](CLOSE_CODES).
    pub fn client_codes(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        CLOSE_CODES.into_iter().zip(self.client_codes)
    }

    /// Returns how often endpoints sent each class of [close codes](CLOSE_CODES).
    pub fn endpoint_codes(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        CLOSE_CODES.into_iter().zip(self.endpoint_codes)
    }
}

impl Index<Count> for Totals {
    type Output = u64;

    fn index(&self, count: Count) -> &u64 {
        &self.counts[count as usize]
    }
}

impl AddAssign<&Self> for Totals {
    fn add_assign(&mut self, other: &Self) {
        let add = |sums: &mut [u64], parts: &[u64]| {
            sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum = sum.wrapping_add(*part));
        };
        add(&mut self.counts, &other.counts);
        add(&mut self.evidence, &other.evidence);
        add(&mut self.closes, &other.closes);
        add(&mut self.client_codes, &other.client_codes);
        add(&mut self.endpoint_codes, &other.endpoint_codes);
        for ((sum, number), (other_sum, other_number)) in self.times.iter_mut().zip(&other.times) {
            *sum = sum.saturating_add(*other_sum);
            *number += other_number;
        }
    }
}

/// Sums are read while others add: a gauge may look as if more had left than entered.
pub(super) fn not_negative(sum: u64) -> u64 {
    if sum > u64::MAX / 2 { 0 } else { sum }
}
