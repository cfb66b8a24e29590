//! Where numbers are kept: sharded by thread, added to without contention, summed when somebody reads them.
//!
//! A shard costs about 1 KiB, for each listener, upstream and endpoint and each worker that has counted for it.

use std::array;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::sampler::Rate;
use crate::affinity::Evidence;
use crate::tunnel::close::CloseReason;

mod count;
mod totals;

use count::{COUNTS, TIMES, close_code_place};
use totals::not_negative;

pub use count::{CLOSE_CODES, Count, Time};
pub use totals::Totals;

/// The most shards of one set of counters. Each thread has its own, but for those beyond that, which share the last: that
/// costs time but no numbers.
const MAX_SHARDS: usize = 32;

/// The number of last values over which times are averaged, on each worker.
const AVERAGED: u64 = 1024;

/// One thread's part of a set of counters. Alone on its cache lines, also on processors that fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub struct Shard {
    counts: [AtomicU64; COUNTS],
    times: [Average; TIMES],
    evidence: [AtomicU64; Evidence::ALL.len()],
    closes: [AtomicU64; CloseReason::ALL.len()],
    client_codes: [AtomicU64; CLOSE_CODES.len()],
    endpoint_codes: [AtomicU64; CLOSE_CODES.len()],
    /// The largest [`Count::Current`] of this shard.
    peak: AtomicU64,
    /// Whether several threads write.
    is_shared: bool,
}

impl Shard {
    fn new(place: usize) -> Self {
        Self {
            counts: zeros(),
            times: array::from_fn(|_| Average::default()),
            evidence: zeros(),
            closes: zeros(),
            client_codes: zeros(),
            endpoint_codes: zeros(),
            peak: AtomicU64::new(0),
            is_shared: place == MAX_SHARDS - 1,
        }
    }
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    array::from_fn(|_| AtomicU64::new(0))
}

impl Shard {
    /// Adds to a number. Only the thread whose shard it is may do so.
    pub fn add(&self, count: Count, number: u64) {
        self.bump(&self.counts[count as usize], number);
    }

    /// Takes one from a gauge. Where another thread added it, this shard's part is negative, and the sum is right.
    pub fn leave(&self, gauge: Count) {
        self.bump(&self.counts[gauge as usize], 1_u64.wrapping_neg());
    }

    /// Adds a time to its average.
    pub fn time(&self, time: Time, took: Duration) {
        self.times[time as usize].add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts how a request was bound.
    pub fn bound(&self, evidence: Evidence) {
        self.bump(&self.evidence[evidence as usize], 1);
    }

    /// Counts the end of a tunnel.
    pub fn closed(&self, reason: CloseReason, client_code: Option<u16>, endpoint_code: Option<u16>) {
        self.bump(&self.closes[reason as usize], 1);
        for (codes, code) in [(&self.client_codes, client_code), (&self.endpoint_codes, endpoint_code)] {
            if let Some(code) = code {
                self.bump(&codes[close_code_place(code)], 1);
            }
        }
    }

    /// Adds to one of the numbers and returns the sum.
    fn bump(&self, sum: &AtomicU64, number: u64) -> u64 {
        if self.is_shared {
            return sum.fetch_add(number, Ordering::Relaxed).wrapping_add(number);
        }
        // One thread writes. Without a locked instruction it does so in a tenth of the time.
        let new = sum.load(Ordering::Relaxed).wrapping_add(number);
        sum.store(new, Ordering::Relaxed);
        new
    }
}

/// The average of about the last 1,024 values, as HAProxy's sliding sums.
#[derive(Debug, Default)]
struct Average {
    sum: AtomicU64,
    number: AtomicU64,
}

impl Average {
    fn add(&self, micros: u64) {
        // One thread writes; when two share a shard a value may be lost, which an average does not mind.
        let (sum, number) = (self.sum.load(Ordering::Relaxed), self.number.load(Ordering::Relaxed));
        let forgotten = if number < AVERAGED { 0 } else { sum / AVERAGED };
        self.sum.store((sum - forgotten).saturating_add(micros), Ordering::Relaxed);
        if number < AVERAGED {
            self.number.store(number + 1, Ordering::Relaxed);
        }
    }
}

/// The numbers of one listener, upstream or endpoint.
#[derive(Debug, Default)]
pub struct Counters {
    shards: [OnceLock<Arc<Shard>>; MAX_SHARDS],
    peak: AtomicU64,
    queue_peak: AtomicU64,
    /// Requests per second.
    pub request_rate: Rate,
    /// Connections per second.
    pub connection_rate: Rate,
    /// One more than the second of the last request since the process began; 0 before the first. Of the last sample.
    pub(super) last_request: AtomicU64,
}

impl Counters {
    /// Returns this thread's shard.
    pub fn shard(&self) -> &Arc<Shard> {
        let place = own_place();
        self.shards[place].get_or_init(|| Arc::new(Shard::new(place)))
    }

    /// Adds to a number.
    pub fn add(&self, count: Count, number: u64) {
        self.shard().add(count, number);
    }

    /// Counts one more of what is [current](Count::Current).
    ///
    /// The peak is exact for one worker. With several, the sum is looked at whenever a worker breaks its own record, and
    /// once a second.
    pub fn enter(&self) -> &Arc<Shard> {
        let shard = self.shard();
        let current = shard.bump(&shard.counts[Count::Current as usize], 1);
        // Where others have left what this shard entered, its part can be anything; only records count.
        if current > shard.peak.load(Ordering::Relaxed) && current < u64::MAX / 2 {
            shard.peak.store(current, Ordering::Relaxed);
            self.note_peak(self.sum(Count::Current));
        }
        shard
    }

    /// Returns the largest number of [current](Count::Current) ones that was seen.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Notes a number of current ones.
    pub fn note_peak(&self, current: u64) {
        if current > self.peak() {
            self.peak.fetch_max(current, Ordering::Relaxed);
        }
    }

    /// Returns the largest number of waiting ones that was seen.
    pub fn queue_peak(&self) -> u64 {
        self.queue_peak.load(Ordering::Relaxed)
    }

    /// Notes a number of waiting ones.
    pub fn note_queue(&self, waiting: usize) {
        self.queue_peak.fetch_max(waiting as u64, Ordering::Relaxed);
    }

    /// Sums one number.
    pub fn sum(&self, count: Count) -> u64 {
        let parts = self.shards.iter().filter_map(OnceLock::get).map(|shard| &shard.counts[count as usize]);
        let sum = parts.fold(0, |sum: u64, part| sum.wrapping_add(part.load(Ordering::Relaxed)));
        not_negative(sum)
    }

    /// Sums every number.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            add_all(&mut totals.counts, &shard.counts);
            add_all(&mut totals.evidence, &shard.evidence);
            add_all(&mut totals.closes, &shard.closes);
            add_all(&mut totals.client_codes, &shard.client_codes);
            add_all(&mut totals.endpoint_codes, &shard.endpoint_codes);
            for ((sum, number), average) in totals.times.iter_mut().zip(&shard.times) {
                *sum = sum.saturating_add(average.sum.load(Ordering::Relaxed));
                *number += average.number.load(Ordering::Relaxed);
            }
        }
        totals
    }
}

fn add_all(sums: &mut [u64], parts: &[AtomicU64]) {
    sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum = sum.wrapping_add(part.load(Ordering::Relaxed)));
}

/// Returns this thread's place among the shards.
fn own_place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    match PLACE.get() {
        usize::MAX => {
            let place = NEXT.fetch_add(1, Ordering::Relaxed).min(MAX_SHARDS - 1);
            PLACE.set(place);
            place
        }
        place => place,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn every_thread_counts_and_nothing_is_lost() {
        let counters = Counters::default();
        thread::scope(|scope| {
            for _ in 0..MAX_SHARDS * 2 {
                scope.spawn(|| (0..1000).for_each(|_| counters.add(Count::BytesIn, 3)));
            }
        });
        assert_eq!(counters.sum(Count::BytesIn), 3 * 1000 * MAX_SHARDS as u64 * 2);
        assert_eq!(counters.totals().get(Count::BytesIn), counters.sum(Count::BytesIn));
    }

    #[test]
    fn a_gauge_may_be_left_on_another_thread() {
        let counters = Counters::default();
        (0..3).for_each(|_| _ = counters.enter());
        thread::scope(|scope| {
            scope.spawn(|| (0..3).for_each(|_| counters.shard().leave(Count::Current)));
        });
        assert_eq!((counters.sum(Count::Current), counters.peak()), (0, 3));
        // This shard's own part is 3 still; the sum is what counts.
        counters.enter();
        assert_eq!((counters.sum(Count::Current), counters.peak()), (1, 3));
    }

    #[test]
    fn averages_forget() {
        let average = Average::default();
        let value = |average: &Average| average.sum.load(Ordering::Relaxed) / average.number.load(Ordering::Relaxed);
        average.add(100);
        average.add(300);
        assert_eq!(value(&average), 200);
        (0..1022).for_each(|_| average.add(200));
        assert_eq!((value(&average), average.number.load(Ordering::Relaxed)), (200, AVERAGED));
        (0..AVERAGED * 10).for_each(|_| average.add(1_000_000));
        assert!((990_000..=1_000_000).contains(&value(&average)), "{}", value(&average));
    }

    #[test]
    fn a_shard_is_about_a_kibibyte() {
        assert!(size_of::<Shard>() <= 1024, "{}", size_of::<Shard>());
    }
}
