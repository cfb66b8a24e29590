//! Limits the rate of requests by client, by header, or for a route as a whole, as nginx's `limit_req` does.
//!
//! Several limits of a route apply in order: the first that has no room refuses, and then none of them is charged. The
//! longest wait counts. A request whose key is empty (it lacks the header) is not counted.
//!
//! - A single limit is exact over all workers. With several, all but the last are looked at first and charged
//!   afterwards, so that requests of one key that arrive at the same moment on two workers may both pass.
//! - A key costs 40 bytes, divided by the occupancy of its table: 47 to 93. Headers are not kept, only 128 bits of a
//!   hash under a secret of this process. When the table is full, a key that was not seen for long is forgotten.
//! - A key is also forgotten when its bucket has leaked for so long that it is as good as new.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use limpet_proto::http1::request_head::Lines;

use super::bucket::{Bucket, Flow, Full, Millis};
use super::{Admission, Refusal};
use crate::config::{RateKey, RateLimitConfig};
use crate::table::{Entry, Seconds, Table};

/// The most limits of one route.
pub const MAX_LIMITS: usize = 8;

/// The rate limits of one route, in order.
#[derive(Debug, Default)]
pub struct RateLimits(Box<[RateLimit]>);

/// One rate limit with the buckets of its keys.
#[derive(Debug)]
pub struct RateLimit {
    config: RateLimitConfig,
    flow: Flow,
    buckets: Table<Key, Bucket>,
    idle_limit: Seconds,
    random: [RandomState; 2],
    refused: AtomicU64,
    delayed: AtomicU64,
}

/// An address, or the hash of a header.
type Key = [u8; 16];

impl RateLimits {
    /// Makes the limits of a route without any keys; no more than [`MAX_LIMITS`] of them.
    pub fn new(configs: &[RateLimitConfig]) -> Self {
        Self(configs.iter().take(MAX_LIMITS).cloned().map(RateLimit::new).collect())
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the limits, for their counters.
    pub fn as_slice(&self) -> &[RateLimit] {
        &self.0
    }

    /// Decides on a request, and charges it if it may pass.
    pub fn admit(&self, client: IpAddr, lines: &Lines<'_, '_>, now: Millis) -> Admission {
        let mut keys = [None; MAX_LIMITS];
        let mut delay = Duration::ZERO;
        let mut longest = None;
        for (n, (limit, slot)) in self.0.iter().zip(&mut keys).enumerate() {
            let Some(key) = limit.key(client, lines) else { continue };
            let offered = if n + 1 == self.0.len() {
                limit.take(key, now)
            } else {
                *slot = Some(key);
                limit.offer(key, now)
            };
            match offered {
                Ok(excess) => raise(&mut delay, &mut longest, limit, excess),
                Err(full) => return limit.refuse(full.passes_after.max(self.others_pass_after(n, client, lines, now))),
            }
        }
        for (limit, key) in self.0.iter().zip(keys) {
            let Some(key) = key else { continue };
            raise(&mut delay, &mut longest, limit, limit.charge(key, now));
        }
        match longest {
            Some(limit) => {
                limit.delayed.fetch_add(1, Ordering::Relaxed);
                Admission::Wait(delay)
            }
            None => Admission::Pass,
        }
    }

    /// Forgets the keys of one shard of each limit that are as good as new; meant to be called from a timer.
    pub fn sweep(&self, step: usize, now: Seconds) {
        for limit in &self.0 {
            let shards = limit.buckets.shards();
            // Every shard has its turn at least every few seconds, however many there are.
            let per_step = (shards / 16).max(1);
            for at in 0..per_step {
                limit.buckets.sweep((step * per_step + at) % shards, now);
            }
        }
    }

    /// Returns when the limits behind the one that refuses would have room.
    fn others_pass_after(&self, refusing: usize, client: IpAddr, lines: &Lines<'_, '_>, now: Millis) -> Duration {
        let behind = self.0.iter().skip(refusing + 1);
        let waits = behind.filter_map(|limit| limit.offer(limit.key(client, lines)?, now).err());
        waits.map(|full| full.passes_after).max().unwrap_or_default()
    }
}

fn raise<'a>(delay: &mut Duration, longest: &mut Option<&'a RateLimit>, limit: &'a RateLimit, excess: u32) {
    let asked = limit.flow.delay_of(excess);
    if asked > *delay {
        *delay = asked;
        *longest = Some(limit);
    }
}

impl RateLimit {
    fn new(config: RateLimitConfig) -> Self {
        let flow = config.flow();
        let keys = if config.per == RateKey::Route { 1 } else { config.keys };
        Self {
            // One second more, since the table's time has whole seconds.
            idle_limit: Seconds(Seconds::lasting(flow.forgets_after()).0.saturating_add(1)),
            buckets: Table::new(keys),
            random: [RandomState::new(), RandomState::new()],
            refused: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            flow,
            config,
        }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &RateLimitConfig {
        &self.config
    }

    /// Returns the number of requests that were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Returns the number of requests that had to wait the longest for this limit.
    pub fn delayed(&self) -> u64 {
        self.delayed.load(Ordering::Relaxed)
    }

    /// Returns the number of keys that are remembered.
    pub fn keys(&self) -> usize {
        self.buckets.len()
    }

    fn key(&self, client: IpAddr, lines: &Lines<'_, '_>) -> Option<Key> {
        match &self.config.per {
            RateKey::Route => Some([0; 16]),
            RateKey::Client => Some(match client {
                IpAddr::V4(client) => client.to_ipv6_mapped().octets(),
                IpAddr::V6(client) => client.octets(),
            }),
            RateKey::Header(name) => {
                let value = lines.named(name).next()?.trim_ascii();
                let [high, low] = self.random.each_ref().map(|random| random.hash_one(value));
                (!value.is_empty()).then(|| (u128::from(high) << 64 | u128::from(low)).to_ne_bytes())
            }
        }
    }

    /// Returns the excess that one more request of a key would leave.
    fn offer(&self, key: Key, now: Millis) -> Result<u32, Full> {
        self.buckets.update(&key, seconds(now), |bucket| bucket.offer(&self.flow, now)).unwrap_or(Ok(0))
    }

    /// Takes one more request of a key, if there is room.
    fn take(&self, key: Key, now: Millis) -> Result<u32, Full> {
        self.with_bucket(key, now, |bucket| {
            let excess = bucket.offer(&self.flow, now)?;
            bucket.take(&self.flow, now);
            Ok(excess)
        })
        .unwrap_or(Ok(0))
    }

    /// Takes one more request of a key that was offered room before.
    fn charge(&self, key: Key, now: Millis) -> u32 {
        self.with_bucket(key, now, |bucket| bucket.take(&self.flow, now)).unwrap_or(0)
    }

    /// Uses the bucket of a key; for a new key it is made instead, its first request taken, and `None` returned.
    fn with_bucket<R>(&self, key: Key, now: Millis, act: impl FnOnce(&mut Bucket) -> R) -> Option<R> {
        let is_first = Cell::new(false);
        let make = || {
            is_first.set(true);
            Some(Entry { key, value: Bucket::first(now), idle_limit: self.idle_limit })
        };
        let act = |bucket: &mut Bucket| (!is_first.get()).then(|| act(bucket));
        self.buckets.get_or_insert_with(&key, seconds(now), make, act).flatten()
    }

    fn refuse(&self, passes_after: Duration) -> Admission {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let retry_after = Seconds::lasting(passes_after).0.max(1);
        Admission::Refuse(Refusal::Rate { status: self.config.status, retry_after })
    }
}

fn seconds(now: Millis) -> Seconds {
    Seconds(u32::try_from(now.0 / 1000).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
