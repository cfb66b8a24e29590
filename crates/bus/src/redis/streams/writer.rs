//! Decides how messages get into a stream: in the order in which they were queued, many at a time, and again from the first
//! one that Redis has not confirmed when a connection breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::{RedisError, RedisResult};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::feed::Feed;
use super::transaction::{Added, Transaction};
use super::trouble::Trouble;
use crate::adapter::BusError;
use crate::health::Meter;
use crate::log::Offset;
use crate::node::NodeId;
use crate::redis::direct::Direct;

/// How many messages leave in one go.
const BATCH: usize = 256;

/// The pause before Redis is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What Redis answers when it will not take a message later either.
const FINAL: [&str; 2] = ["WRONGTYPE", "NOPERM"];

/// What an entry costs beside its data, in bytes.
const OVERHEAD: usize = 256;

/// A message for a stream.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) node: NodeId,
    pub(super) namespace: Arc<str>,
    pub(super) kind: u64,
    pub(super) data: Vec<u8>,
    /// Whom to tell once Redis has answered.
    pub(super) confirm: Option<oneshot::Sender<Result<(), BusError>>>,
}

/// The queue to a stream.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Entry>,
    size: Arc<Size>,
    max_bytes: usize,
    meter: Arc<Meter>,
}

/// What has not been taken yet.
#[derive(Debug, Default)]
struct Size {
    /// Of all that waits or is under way.
    bytes: AtomicUsize,
    /// How many are under way, and so no longer in the queue.
    under_way: AtomicUsize,
}

/// What writes the queue.
struct Writing {
    transaction: Transaction,
    connection: Direct,
    feed: Arc<Feed>,
    meter: Arc<Meter>,
    /// The counter of the first message that is not confirmed.
    counter: u64,
    /// The last one that is.
    confirmed: Offset,
}

impl Writer {
    /// Begins to write. It ends when the queue is dropped and empty.
    pub(super) fn start(
        stream: String,
        max_len: u64,
        (max_queued, max_bytes): (usize, usize),
        connection: Direct,
        feed: Arc<Feed>,
        meter: Arc<Meter>,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(max_queued.max(1));
        let size = Arc::new(Size::default());
        let writing = Writing {
            transaction: Transaction::new(stream, max_len),
            connection,
            confirmed: feed.position(),
            feed,
            meter: meter.clone(),
            counter: 1,
        };
        tokio::spawn(writing.run(waiting, size.clone()));
        Self { queue, size, max_bytes, meter }
    }

    /// Returns how many messages wait or are under way.
    pub(super) fn len(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity() + self.size.under_way.load(Ordering::Relaxed)
    }

    /// Queues a message.
    pub(super) fn publish(&self, entry: Entry) -> Result<(), BusError> {
        let size = OVERHEAD + entry.data.len();
        // One that is larger than the bound passes when nothing else waits.
        let before = self.size.bytes.fetch_add(size, Ordering::Relaxed);
        let queued = if before > 0 && before + size > self.max_bytes {
            Err(BusError::Full)
        } else {
            self.queue.try_send(entry).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => BusError::Full,
                mpsc::error::TrySendError::Closed(_) => BusError::Closed,
            })
        };
        if queued.is_err() {
            self.size.bytes.fetch_sub(size, Ordering::Relaxed);
            self.meter.refused.add(1);
        }
        queued
    }
}

impl Writing {
    async fn run(mut self, mut waiting: mpsc::Receiver<Entry>, taken: Arc<Size>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut outage = Trouble::new(self.meter.clone(), "writing of a stream");
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            let size: usize = batch.iter().map(|entry| OVERHEAD + entry.data.len()).sum();
            let count = batch.len();
            taken.under_way.store(count, Ordering::Relaxed);
            let result = self.write(&batch, &mut outage).await;
            self.counter += count as u64;
            match &result {
                Ok(last) => {
                    self.confirmed = self.confirmed.max(*last);
                    self.meter.published.add(count);
                }
                Err(error) => {
                    self.meter.lost.add(count);
                    let stream = self.transaction.stream();
                    tracing::error!(stream, lost = count, %error, "Redis does not take what is published");
                }
            }
            for entry in batch.drain(..) {
                let Some(confirm) = entry.confirm else { continue };
                // Who asked may have stopped waiting.
                drop(confirm.send(match &result {
                    Ok(_) => Ok(()),
                    Err(error) => Err(BusError::Failed(error.clone().into())),
                }));
            }
            taken.under_way.store(0, Ordering::Relaxed);
            taken.bytes.fetch_sub(size, Ordering::Relaxed);
        }
    }

    /// Writes a batch, as often as it takes. Returns the place of its last message, or why Redis does not take it.
    async fn write(&mut self, batch: &[Entry], outage: &mut Trouble) -> Result<Offset, RedisError> {
        let mut pause = RETRY.0;
        // Whatever becomes of the first attempt, its copies are behind both.
        let before = self.confirmed.max(self.feed.position());
        let mut again = None;
        loop {
            match self.attempt(batch, again).await {
                Ok(last) => {
                    outage.end();
                    return Ok(last.unwrap_or(before));
                }
                Err(error) => {
                    outage.begin(&error);
                    if is_final(&error) {
                        return Err(error);
                    }
                }
            }
            again = Some(before);
            sleep(pause).await;
            pause = RETRY.1.min(pause * 2);
        }
    }

    async fn attempt(&mut self, batch: &[Entry], again: Option<Offset>) -> RedisResult<Option<Offset>> {
        let messages = batch.iter().map(|Entry { node, namespace, kind, data, .. }| Added {
            node: node.as_str(),
            namespace,
            kind: *kind,
            data,
        });
        self.transaction.add(&mut self.connection, messages, self.counter, again).await
    }
}

/// Says whether Redis will not take it later either.
pub(super) fn is_final(error: &RedisError) -> bool {
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| errors.iter().any(|(_, error)| FINAL.contains(&error.code())))
}
