//! Decides how many messages of a process without clients get into the streams: those of a stream together, and again when
//! Redis did not confirm them.
//!
//! A stream keeps its latest entries alone, and nobody tells a writer how far the nodes have read. So it writes no faster than
//! they read unless they are far too slow.

use std::time::Duration;

use redis::RedisResult;
use tokio::time::{Instant, sleep, sleep_until};

use super::emitting::{ATTEMPTS, RESPONSE_TIMEOUT};
use super::names::Names;
use super::patience::is_passing;
use super::transaction::{Added, Transaction};
use super::{StreamsOptions, entry, failed};
use crate::adapter::BusError;
use crate::log::Offset;
use crate::redis::Address;
use crate::redis::direct::Direct;
use crate::redis::message::Written;
use crate::target::Room;

/// Within which time at most half of what a stream keeps is written: with the 10,000 entries that are kept by default, 50,000
/// each second.
const PACE: Duration = Duration::from_millis(100);

/// What waits, by stream.
pub(crate) struct Bulk {
    address: Address,
    names: Names,
    lots: Vec<Lot>,
}

struct Lot {
    transaction: Transaction,
    connection: Option<Direct>,
    waiting: Vec<Waiting>,
    /// The counter of the first one that waits.
    counter: u64,
    /// The last place that Redis has confirmed.
    confirmed: Option<Offset>,
    pace: Pace,
}

/// Keeps a writer from overrunning those who read.
struct Pace {
    most: u64,
    /// What was written since.
    written: u64,
    since: Instant,
}

impl Pace {
    fn new(max_len: u64) -> Self {
        Self { most: (max_len / 2).max(1), written: 0, since: Instant::now() }
    }

    /// Waits until so many more may be written. What is more than may ever be written at once waits for a time of its own.
    async fn wait(&mut self, count: u64) {
        if self.written > 0 && self.written + count > self.most {
            sleep_until(self.since + PACE).await;
        }
        if self.since.elapsed() >= PACE {
            (self.written, self.since) = (0, Instant::now());
        }
        self.written += count;
    }
}

struct Waiting {
    /// What the caller calls it.
    number: usize,
    namespace: Room,
    kind: u64,
    data: Vec<u8>,
}

impl Bulk {
    pub(crate) fn new(address: Address, options: &StreamsOptions) -> Self {
        let names = options.names();
        let lot = |stream| Lot {
            transaction: Transaction::new(stream, options.max_len),
            connection: None,
            waiting: Vec::new(),
            counter: 1,
            confirmed: None,
            pace: Pace::new(options.max_len),
        };
        let lots = names.all().into_iter().map(lot).collect();
        Self { address, names, lots }
    }

    /// Adds a message, and returns how long it is.
    pub(crate) fn add(&mut self, number: usize, namespace: &Room, written: Written) -> Result<usize, BusError> {
        let lot = self.lots.get_mut(self.names.index(namespace)).ok_or(BusError::Closed)?;
        let (namespace, kind, data) = (namespace.clone(), written.kind, entry::data(written));
        let length = data.len();
        lot.waiting.push(Waiting { number, namespace, kind, data });
        Ok(length)
    }

    /// Sends what waits; then nothing waits any more. Of what failed, the number of the first one is returned with the error.
    pub(crate) async fn send(&mut self, uid: &str) -> Result<(), (usize, BusError)> {
        let mut first: Option<(usize, BusError)> = None;
        for lot in self.lots.iter_mut().filter(|lot| !lot.waiting.is_empty()) {
            let result = lot.send(&self.address, uid).await;
            lot.counter += lot.waiting.len() as u64;
            // They are in the stream all together or not at all.
            let number = lot.waiting.first().map(|waiting| waiting.number).unwrap_or_default();
            lot.waiting.clear();
            if let Err(error) = result
                && first.as_ref().is_none_or(|(other, _)| number < *other)
            {
                first = Some((number, failed(error)));
            }
        }
        first.map_or(Ok(()), Err)
    }
}

impl Lot {
    async fn send(&mut self, address: &Address, uid: &str) -> RedisResult<()> {
        let mut pause = ATTEMPTS.1;
        let before = self.confirmed;
        self.pace.wait(self.waiting.len() as u64).await;
        for attempt in 1.. {
            match self.attempt(address, uid, before.filter(|_| attempt > 1)).await {
                Ok(last) => {
                    self.confirmed = self.confirmed.max(last);
                    break;
                }
                Err(error) if is_passing(&error) && attempt < ATTEMPTS.0 => sleep(pause).await,
                Err(error) => return Err(error),
            }
            pause *= 2;
        }
        Ok(())
    }

    async fn attempt(&mut self, address: &Address, uid: &str, again: Option<Offset>) -> RedisResult<Option<Offset>> {
        let Self { transaction, connection, waiting, counter, .. } = self;
        let connection = match connection {
            Some(connection) => connection,
            None => {
                let direct = Direct::connect(address.clone(), transaction.stream(), RESPONSE_TIMEOUT).await?;
                connection.insert(direct)
            }
        };
        let messages = waiting.iter().map(|Waiting { namespace, kind, data, .. }| Added {
            node: uid,
            namespace,
            kind: *kind,
            data,
        });
        transaction.add(connection, messages, *counter, again).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_half_of_what_is_kept_is_written_at_a_time() {
        let (mut pace, begin) = (Pace::new(1000), Instant::now());
        // The third finds no room, and the last is more than ever goes at once.
        for (count, millis) in [(200, 0), (300, 0), (1, 100), (499, 100), (500, 200), (5000, 300), (1, 400)] {
            pace.wait(count).await;
            assert_eq!(begin.elapsed().as_millis().next_multiple_of(100), millis, "{count}");
        }
        sleep(PACE * 3).await;
        let rested = Instant::now();
        pace.wait(500).await;
        assert_eq!(rested.elapsed(), Duration::ZERO);
    }
}
