//! The leaky bucket of one key, with the arithmetic of nginx's `limit_req`: whole thousandths of a request, whole
//! milliseconds, every division rounded down.
//!
//! The bucket holds an *excess*: how far the requests so far are ahead of the rate. It leaks at the rate. A request adds
//! 1,000; if the sum is above `burst`, the request is refused and leaves the bucket as it was. If the sum is above
//! `delay`, the request waits until the rest has leaked. A key that was never seen begins with an excess of 0 *after*
//! its first request, so that `burst = 0` passes one request and then one per 1/rate.

use std::num::NonZeroU32;
use std::time::Duration;

/// One request, in the unit of buckets.
pub const REQUEST: u32 = 1000;

/// Milliseconds since some start that all callers share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

/// How a bucket leaks and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Thousandths of a request per second.
    pub rate: NonZeroU32,
    /// The largest excess, in thousandths of a request.
    pub burst: u32,
    /// The largest excess of a request that does not wait, in thousandths of a request; `None` if none ever waits.
    pub delay: Option<u32>,
}

impl Flow {
    /// Returns the time after which a bucket is as if its key had never been seen.
    pub fn forgets_after(&self) -> Duration {
        self.time_for(u64::from(self.burst) + u64::from(REQUEST))
    }

    /// Returns how long a request with this excess has to wait, rounded down as nginx does.
    pub fn delay_of(&self, excess: u32) -> Duration {
        let waits_for = self.delay.map_or(0, |delay| excess.saturating_sub(delay));
        Duration::from_millis(u64::from(waits_for) * 1000 / u64::from(self.rate.get()))
    }

    /// Returns the time in which this much leaks, rounded up to milliseconds.
    fn time_for(&self, thousandths: u64) -> Duration {
        Duration::from_millis((thousandths * 1000).div_ceil(u64::from(self.rate.get())))
    }
}

/// The bucket of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    last: Millis,
    excess: u32,
}

/// A request that the bucket has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// The time until there is room for one request, if no other takes it.
    pub passes_after: Duration,
}

impl Bucket {
    /// Makes the bucket of a key whose first request comes now and passes.
    pub fn first(now: Millis) -> Self {
        Self { last: now, excess: 0 }
    }

    /// Returns the excess that one more request would leave, without taking it.
    ///
    /// # Errors
    /// [`Full`] when there is no room for it.
    pub fn offer(&self, flow: &Flow, now: Millis) -> Result<u32, Full> {
        let excess = self.excess_with_one_more(flow, now);
        if excess <= u64::from(flow.burst) {
            // It is at most the burst, which fits.
            return Ok(u32::try_from(excess).unwrap_or(u32::MAX));
        }
        // Counted from the last request and not from now: that is how the leak will be rounded then.
        let must_leak = u64::from(self.excess) + u64::from(REQUEST) - u64::from(flow.burst);
        let elapsed = Duration::from_millis(self.elapsed_ms(now));
        Err(Full { passes_after: flow.time_for(must_leak).saturating_sub(elapsed) })
    }

    /// Takes one more request, whether there is room or not, and returns the excess that it leaves.
    pub fn take(&mut self, flow: &Flow, now: Millis) -> u32 {
        self.excess = u32::try_from(self.excess_with_one_more(flow, now)).unwrap_or(u32::MAX);
        self.last = self.last.max(now);
        self.excess
    }

    fn excess_with_one_more(&self, flow: &Flow, now: Millis) -> u64 {
        let leaked = u64::from(flow.rate.get()).saturating_mul(self.elapsed_ms(now)) / 1000;
        (u64::from(self.excess) + u64::from(REQUEST)).saturating_sub(leaked)
    }

    /// Threads can see time in a slightly different order.
    fn elapsed_ms(&self, now: Millis) -> u64 {
        now.0.saturating_sub(self.last.0)
    }
}

#[cfg(test)]
mod tests;
