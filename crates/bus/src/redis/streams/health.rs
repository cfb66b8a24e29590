//! Decides what is counted, and what is said of a Redis that cannot be reached: once when it begins, and once when it ends.

use std::sync::atomic::AtomicU64;

use redis::RedisError;
use tokio::time::Instant;

/// What has become of messages so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Those that Redis has confirmed.
    pub(super) published: AtomicU64,
    /// Attempts to publish that failed and were repeated.
    pub(super) retries: AtomicU64,
    /// Those that Redis did not take.
    pub(super) lost: AtomicU64,
    /// Those that found the queue full.
    pub(super) full: AtomicU64,
    /// Those that came.
    pub(super) received: AtomicU64,
    /// Those that came again.
    pub(super) repeats: AtomicU64,
    /// What came and was no message.
    pub(super) malformed: AtomicU64,
    /// How often Redis had lost entries that had come already.
    pub(super) losses: AtomicU64,
}

/// One side of the way to Redis.
pub(super) struct Outage {
    /// What an outage of it means.
    meaning: &'static str,
    since: Option<Instant>,
}

impl Outage {
    pub(super) fn new(meaning: &'static str) -> Self {
        Self { meaning, since: None }
    }

    /// Says whether it was broken when something was tried last.
    pub(super) fn is_on(&self) -> bool {
        self.since.is_some()
    }

    pub(super) fn begin(&mut self, error: &RedisError) {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            tracing::error!(%error, "Redis cannot be reached: {}", self.meaning);
        }
    }

    pub(super) fn end(&mut self) {
        if let Some(since) = self.since.take() {
            tracing::info!(seconds = since.elapsed().as_secs_f32(), "Redis can be reached again");
        }
    }
}
