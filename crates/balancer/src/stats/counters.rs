//! Where numbers are kept: sharded by thread, added to without contention, summed when somebody reads them.
//!
//! A shard costs about 1 KiB, for each listener, upstream and endpoint and each worker that has counted for it.

use std::array;
use std::cell::Cell;
use std::ops::{AddAssign, Index};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::sampler::Rate;
use crate::affinity::Evidence;
use crate::tunnel::close::CloseReason;

/// The most shards of one set of counters. Each thread has its own, but for those beyond that, which share the last: that
/// costs time but no numbers.
const MAX_SHARDS: usize = 32;

/// The number of last values over which times are averaged, on each worker.
const AVERAGED: u64 = 1024;

/// What is counted. Not every number belongs to every object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Client connections that were accepted.
    Connections,
    /// Requests: at a listener all, at an endpoint each attempt that it was sent.
    Requests,
    /// Bytes from clients: request heads and bodies, and what tunnels bring.
    BytesIn,
    /// Bytes to clients: response heads and bodies, and what tunnels bring.
    BytesOut,
    /// Responses with a status of 1xx, which are those that begin tunnels.
    Status1xx,
    /// Responses with a status of 2xx.
    Status2xx,
    /// Responses with a status of 3xx.
    Status3xx,
    /// Responses with a status of 4xx.
    Status4xx,
    /// Responses with a status of 5xx.
    Status5xx,
    /// Responses with any other status.
    StatusOther,
    /// Requests that were refused by a rule.
    Denied,
    /// Connections that were refused by a rule.
    DeniedConnections,
    /// Requests that could not be understood, or that did not arrive in time.
    RequestErrors,
    /// Requests that the balancer answered itself.
    AnsweredHere,
    /// Connections to the endpoint that failed.
    ConnectErrors,
    /// Responses that were refused because they would have been dangerous.
    DeniedResponses,
    /// Responses that did not come, came too late or were malformed.
    ResponseErrors,
    /// Requests that were sent again on a new connection to the same endpoint.
    Retries,
    /// Requests that went on to another endpoint.
    Redispatches,
    /// Exchanges that ended because the client went away.
    ClientAborts,
    /// Responses that the endpoint broke off.
    ServerAborts,
    /// New connections to the endpoint.
    NewConnections,
    /// Requests on a connection that was kept.
    ReusedConnections,
    /// Requests of sessions that no endpoint has.
    UnknownSessions,
    /// Engine.IO sessions that began with a polling handshake.
    PollingHandshakes,
    /// Engine.IO sessions that began on a WebSocket.
    WebsocketHandshakes,
    /// Tunnels that began: upgrades that succeeded.
    Tunnels,
    /// Requests for an upgrade that did not become a tunnel.
    FailedUpgrades,
    /// Messages from clients in tunnels.
    MessagesIn,
    /// Messages to clients in tunnels.
    MessagesOut,
    /// Gauge: requests in progress and tunnels.
    Current,
    /// Gauge: tunnels that live.
    LiveTunnels,
    /// Gauge: Engine.IO sessions that live on polling.
    LivePolling,
    /// Gauge: Engine.IO sessions that live on a WebSocket.
    LiveWebsocket,
}

const COUNTS: usize = Count::LiveWebsocket as usize + 1;

impl Count {
    /// The classes of statuses, from 1xx to 5xx, and the rest.
    pub const STATUSES: [Self; 6] =
        [Self::Status1xx, Self::Status2xx, Self::Status3xx, Self::Status4xx, Self::Status5xx, Self::StatusOther];

    /// Returns the class of a status.
    pub fn of_status(status: u16) -> Self {
        match status / 100 {
            1 => Self::Status1xx,
            2 => Self::Status2xx,
            3 => Self::Status3xx,
            4 => Self::Status4xx,
            5 => Self::Status5xx,
            _ => Self::StatusOther,
        }
    }
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// In the queue, where an endpoint has a limit of requests in progress.
    Queue,
    /// Opening a connection to an endpoint.
    Connect,
    /// From the end of that to the head of the response.
    Response,
    /// From the choice of the endpoint to the end of the exchange.
    Total,
}

const TIMES: usize = Time::Total as usize + 1;

/// The classes of close codes that are told apart: each registered code (RFC 6455 section 7.4.1), and those of
/// libraries and of applications by their thousand.
pub const CLOSE_CODES: [&str; 20] = [
    "1000", "1001", "1002", "1003", "1004", "1005", "1006", "1007", "1008", "1009", "1010", "1011", "1012", "1013",
    "1014", "1015", "1xxx", "3xxx", "4xxx", "other",
];

/// Returns the place of a close code in [`CLOSE_CODES`].
fn close_code_place(code: u16) -> usize {
    match code {
        1000..=1015 => usize::from(code - 1000),
        1016..=2999 => 16,
        3000..=3999 => 17,
        4000..=4999 => 18,
        _ => 19,
    }
}

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

/// Sums are read while others add: a gauge may look as if more had left than entered.
fn not_negative(sum: u64) -> u64 {
    if sum > u64::MAX / 2 { 0 } else { sum }
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

/// Every number of one object, or of several together, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    counts: [u64; COUNTS],
    /// Sums of microseconds and their numbers.
    times: [(u64, u64); TIMES],
    evidence: [u64; Evidence::ALL.len()],
    closes: [u64; CloseReason::ALL.len()],
    client_codes: [u64; CLOSE_CODES.len()],
    endpoint_codes: [u64; CLOSE_CODES.len()],
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
    fn close_codes_have_their_places() {
        for (code, name) in [(1000, "1000"), (1006, "1006"), (1015, "1015"), (1016, "1xxx"), (2999, "1xxx")] {
            assert_eq!(CLOSE_CODES[close_code_place(code)], name);
        }
        for (code, name) in [(3000, "3xxx"), (4999, "4xxx"), (0, "other"), (999, "other"), (5000, "other")] {
            assert_eq!(CLOSE_CODES[close_code_place(code)], name);
        }
    }

    #[test]
    fn a_shard_is_about_a_kibibyte() {
        assert!(size_of::<Shard>() <= 1024, "{}", size_of::<Shard>());
    }
}
