//! Decides how a stream is read: from the end that it had when this process connected, each entry once, and after an outage
//! from the last entry on, so that nothing is missed.
//!
//! When Redis has lost entries that were read, as after a restart without its data, reading goes on with what is there, and
//! an entry that says so is added: who reads across it knows that something is missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{RedisError, RedisResult, Value, cmd};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::entry::{self, Entry, Info};
use super::feed::{Feed, give};
use super::repeats::Repeats;
use super::trouble::Trouble;
use crate::health::Meter;
use crate::log::Offset;
use crate::redis::Kept;

/// How many entries are read in one go.
const COUNT: u64 = 500;

/// How long Redis waits for an entry before it says that there is none.
const BLOCK: Duration = Duration::from_secs(5);

/// How long an answer to a read may take: what shows that Redis is silent.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(8);

/// How often nodes without traffic of their own hear of how far the stream is, at most.
const TELL_INTERVAL: Duration = Duration::from_millis(100);

/// The pause before Redis is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// How many entries of the past are looked at for the first copy of one that was published again.
const MAX_LOOK: usize = 20_000;

/// What reads a stream.
pub(super) struct Reader {
    pub(super) stream: String,
    /// For the blocking reads alone.
    pub(super) connection: Kept,
    pub(super) feed: Arc<Feed>,
    pub(super) meter: Arc<Meter>,
    /// Whether nodes get back their own messages.
    pub(super) has_log: Arc<AtomicBool>,
    pub(super) repeats: Repeats,
}

impl Reader {
    /// Reads until nobody uses the adapter any more, which is when `alive` has no sender.
    pub(super) async fn run(mut self, mut alive: watch::Receiver<()>) {
        tokio::select! {
            _ = alive.changed() => {}
            () = self.read() => {}
        }
    }

    async fn read(&mut self) {
        let start = self.feed.position();
        let mut next = start;
        let mut outage = Trouble::new(self.meter.clone(), "reading of a stream");
        let mut told = Instant::now();
        loop {
            let entries = if outage.is_on() { self.resume(&mut next).await } else { self.next(next).await };
            let entries = match entries {
                Ok(entries) => entries,
                Err(error) => {
                    outage.begin(&error);
                    sleep(RETRY).await;
                    continue;
                }
            };
            outage.end();
            let is_idle = entries.is_empty();
            for entry in entries {
                next = entry.offset;
                self.take(entry, start).await;
            }
            if is_idle || told.elapsed() >= TELL_INTERVAL {
                self.feed.tell();
                told = Instant::now();
            }
        }
    }

    /// Waits for what is behind a place.
    async fn next(&mut self, after: Offset) -> RedisResult<Vec<Entry>> {
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(COUNT).arg("BLOCK").arg(BLOCK.as_millis() as u64);
        command.arg("STREAMS").arg(&self.stream).arg(after.to_string());
        command.query_async(&mut self.connection).await.map(entry::of_xread)
    }

    /// Looks after an outage whether the last entry is still there, and changes the place from where to go on if the
    /// stream has begun anew.
    async fn resume(&mut self, next: &mut Offset) -> RedisResult<Vec<Entry>> {
        let info = info(&mut self.connection, &self.stream).await?;
        let last: Value = cmd("XRANGE")
            .arg(&self.stream)
            .arg(next.to_string())
            .arg(next.to_string())
            .query_async(&mut self.connection)
            .await?;
        let is_there = *next == Offset::ZERO || !entry::of_xrange(last).is_empty();
        // The entry may have been trimmed, or it was never there: the stream had only this end.
        let is_cut = info.added > info.length && info.first.is_none_or(|first| first > *next);
        let is_trimmed = info.last == *next || info.last > *next && is_cut;
        if is_there || is_trimmed {
            return Ok(Vec::new());
        }
        self.feed.lose();
        tracing::error!(
            stream = self.stream, last = %*next, end = %info.last,
            "Redis has lost entries of the stream: clients that have not had them get fresh sessions"
        );
        // It is added with a place above all that was read, so that places go on rising.
        let id = if info.last < *next { next.next().to_string() } else { "*".to_owned() };
        let mut mark = cmd("XADD");
        mark.arg(&self.stream).arg(id).arg(entry::LOST).arg(next.to_string());
        if let Err(error) = mark.query_async::<Value>(&mut self.connection).await {
            // Another node has been faster.
            tracing::debug!(stream = self.stream, %error, "the loss is not marked");
        }
        *next = info.last.min(*next);
        Ok(Vec::new())
    }

    async fn take(&mut self, entry: Entry, start: Offset) {
        self.meter.received.add(1);
        let offset = entry.offset;
        let is_new = self.is_new(&entry, start).await;
        let members = self.feed.advance(offset, entry.namespace());
        if !is_new {
            return;
        }
        if members.is_empty() {
            return;
        }
        let has_log = self.has_log.load(Ordering::Relaxed);
        let is_own = |uid: &[u8]| members.iter().all(|member| member.node.as_str().as_bytes() == uid);
        if !has_log && is_own(entry.uid()) {
            return;
        }
        match entry.read() {
            Ok((node, message)) => give(&members, &node, message, Some(offset), has_log),
            Err(error) => {
                self.meter.malformed.add(1);
                tracing::debug!(stream = self.stream, %offset, %error, "an entry of the stream is dropped");
            }
        }
    }

    async fn is_new(&mut self, entry: &Entry, start: Offset) -> bool {
        let Some(mark) = entry.mark() else { return true };
        if let Some(after) = self.repeats.look_behind(mark, start) {
            // If Redis cannot be asked now, the connection breaks, and what is missed is at worst a repeat.
            if let Err(error) = look(&mut self.connection, &self.stream, after, start, &mut self.repeats).await {
                tracing::warn!(stream = self.stream, %error, "an event may come twice: the past cannot be looked at");
            }
        }
        self.repeats.is_new(mark)
    }
}

/// Notes what was published behind `after`, up to and with `upto`.
pub(super) async fn look(
    connection: &mut (impl ConnectionLike + Send),
    stream: &str,
    mut after: Offset,
    upto: Offset,
    repeats: &mut Repeats,
) -> Result<(), RedisError> {
    let mut seen = 0;
    while after < upto && seen < MAX_LOOK {
        let entries = range(connection, stream, after, upto, COUNT).await?;
        let Some(last) = entries.last() else { break };
        after = last.offset;
        seen += entries.len();
        for mark in entries.iter().filter_map(Entry::mark) {
            repeats.is_new(mark);
        }
    }
    Ok(())
}

/// Reads entries behind `after`, up to and with `upto`.
pub(super) async fn range(
    connection: &mut (impl ConnectionLike + Send),
    stream: &str,
    after: Offset,
    upto: Offset,
    count: u64,
) -> RedisResult<Vec<Entry>> {
    let mut command = cmd("XRANGE");
    command.arg(stream).arg(after.next().to_string()).arg(upto.to_string()).arg("COUNT").arg(count);
    command.query_async(connection).await.map(entry::of_xrange)
}

/// Asks what there is to know of a stream.
pub(super) async fn info(connection: &mut (impl ConnectionLike + Send), stream: &str) -> RedisResult<Info> {
    match cmd("XINFO").arg("STREAM").arg(stream).query_async(connection).await {
        Ok(answer) => Ok(Info::read(answer)),
        Err(error) if is_no_stream(&error) => Ok(Info::default()),
        Err(error) => Err(error),
    }
}

fn is_no_stream(error: &RedisError) -> bool {
    error.code() == Some("ERR") && error.detail().is_some_and(|detail| detail.contains("no such key"))
}
