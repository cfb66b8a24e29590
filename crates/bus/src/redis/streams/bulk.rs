//! Decides how many messages of a process without clients get into the streams: those of a stream together, and again when
//! Redis did not confirm them.

use redis::RedisResult;
use tokio::time::sleep;

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
