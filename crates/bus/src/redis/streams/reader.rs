//! Decides how a stream is read: from the end that it had when this process connected, each entry once, and after an outage
//! from the last entry on, so that nothing is missed.
//!
//! When Redis has lost entries that were read, as after a restart without its data, reading goes on with what is there, and
//! an entry that says so is added: who reads across it knows that something is missing. What is trimmed before it was read,
//! because a node was cut off or is slower than those who write, is noticed and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use limpet_proto::resp::{self, Frame, MAX_FRAME};
use redis::{RedisError, RedisResult, Value, cmd};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::entry::{self, Compared, Entry, Info, Words};
use super::feed::{Feed, give};
use super::patience::Patient;
use super::trouble::Trouble;
use crate::health::Meter;
use crate::log::Offset;
use crate::recovery::Repeats;
use crate::redis::ask::Ask;
use crate::redis::direct::Direct;
use crate::redis::wire::is_too_long;

/// How many entries are read in one go, if they are not too long together.
pub(super) const COUNT: u64 = 500;

/// How many bytes are read in one go; more only of an entry that is longer.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// How long Redis waits for an entry before it says that there is none.
const BLOCK: Duration = Duration::from_secs(5);

/// How long an answer to a read may take: what shows that Redis is silent.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(8);

/// How often nodes without traffic of their own hear of how far the stream is, at most.
const TELL_INTERVAL: Duration = Duration::from_millis(100);

/// How many entries are read before the reader looks whether it has missed some, if they take [`TELL_INTERVAL`]. It looks
/// too when nothing comes any more.
const LOOK_AFTER: usize = COUNT as usize;

/// The pause before Redis is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// How many entries of the past are looked at for the first copy of one that was published again.
const MAX_LOOK: usize = 20_000;

/// How many publishers are told apart; about 200 bytes for each.
pub(super) const MAX_PUBLISHERS: usize = 4096;

/// What reads a stream.
pub(super) struct Reader {
    pub(super) stream: String,
    /// For the blocking reads alone.
    pub(super) connection: Direct,
    /// How many entries are read in one go.
    pub(super) count: u64,
    pub(super) feed: Arc<Feed>,
    pub(super) meter: Arc<Meter>,
    /// Whether nodes get back their own messages.
    pub(super) has_log: Arc<AtomicBool>,
    /// For looks at the past.
    pub(super) past: Patient,
    pub(super) repeats: Repeats,
    /// Everything behind this place is noted in `repeats`.
    pub(super) noted: Offset,
    /// How many entries the stream has ever had up to the last one that was read, if that is known.
    pub(super) seen: Option<u64>,
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
        let mut next = self.feed.position();
        let mut outage = Trouble::new(self.meter.clone(), "reading of a stream");
        let mut told = Instant::now();
        let (mut entries, mut command) = (Vec::new(), Vec::new());
        // How many entries were read since the reader looked back.
        let (mut unlooked, mut looked) = (0, Instant::now());
        let mut is_unsure = false;
        loop {
            let looks = outage.is_on() || is_unsure;
            let read =
                if looks { self.look_back(&mut next).await } else { self.next(next, &mut command, &mut entries).await };
            if let Err(error) = read {
                if is_too_long(&error) && self.count > 1 {
                    self.count = (self.count / 8).max(1);
                    continue;
                }
                outage.begin(&error);
                sleep(RETRY).await;
                continue;
            }
            outage.end();
            let is_idle = entries.is_empty();
            if looks {
                (unlooked, looked) = (0, Instant::now());
            }
            unlooked += entries.len();
            is_unsure = unlooked > 0 && (is_idle || (unlooked >= LOOK_AFTER && looked.elapsed() >= TELL_INTERVAL));
            if (entries.len() as u64) < self.count {
                self.count = COUNT;
            }
            let now = Instant::now();
            for entry in entries.drain(..) {
                next = entry.offset;
                self.seen = self.seen.map(|seen| seen + 1);
                self.take(entry, now).await;
            }
            if is_idle || now.duration_since(told) >= TELL_INTERVAL {
                self.feed.tell();
                told = now;
            }
        }
    }

    /// Waits for what is behind a place.
    async fn next(&mut self, after: Offset, command: &mut Vec<u8>, entries: &mut Vec<Entry>) -> RedisResult<()> {
        command.clear();
        resp::write_words(8, command);
        for word in ["XREAD", "COUNT"] {
            command.word(word.as_bytes());
        }
        entry::number(command, self.count);
        command.word(b"BLOCK");
        entry::number(command, BLOCK.as_millis() as u64);
        for word in ["STREAMS", &self.stream, &after.to_string()] {
            command.word(word.as_bytes());
        }
        let take = |_, frame: &Frame<'_>| {
            entries.clear();
            entry::of_xread(frame, entries);
            Ok(())
        };
        self.connection.limit(if self.count > 1 { MAX_BYTES } else { MAX_FRAME });
        self.connection.exchange(command, 1, take).await
    }

    /// Looks whether what was read is still there and nothing is missing, and changes the place from where to go on if the
    /// stream has begun anew.
    async fn look_back(&mut self, next: &mut Offset) -> RedisResult<()> {
        // The first and the last entry are in it, however long.
        self.connection.limit(MAX_FRAME);
        let info = info(&mut self.connection, &self.stream).await?;
        let place = next.to_string();
        let last: Value = self.connection.ask(cmd("XRANGE").arg(&self.stream).arg(&place).arg(&place)).await?;
        let is_there = !entry::of_xrange(last).is_empty();
        match info.compare(*next, self.seen, is_there) {
            Compared::Same => {}
            Compared::Missed(count) => {
                self.feed.lose();
                self.meter.lost.add(usize::try_from(count).unwrap_or(usize::MAX));
                self.seen = self.seen.map(|seen| seen + count);
                tracing::error!(
                    stream = self.stream,
                    count,
                    "entries of the stream were trimmed before they were read"
                );
            }
            Compared::Lost => {
                self.feed.lose();
                tracing::error!(
                    stream = self.stream, last = %*next, end = %info.last,
                    "Redis has lost entries of the stream: clients that have not had them get fresh sessions"
                );
                self.mark_loss(*next, info.last).await;
                self.seen = (info.last < *next).then_some(info.added);
                *next = info.last.min(*next);
            }
        }
        Ok(())
    }

    /// Adds an entry that tells of a loss, with a place above all that was read, so that places go on rising.
    async fn mark_loss(&mut self, read: Offset, end: Offset) {
        let id = if end < read { read.next().to_string() } else { "*".to_owned() };
        let mut mark = cmd("XADD");
        mark.arg(&self.stream).arg(id).arg(entry::LOST).arg(read.to_string());
        if let Err(error) = self.connection.ask::<Value>(&mark).await {
            // Another node has been faster.
            tracing::debug!(stream = self.stream, %error, "the loss is not marked");
        }
    }

    /// Takes an entry that was read at this time.
    async fn take(&mut self, entry: Entry, now: Instant) {
        self.meter.received.add(1);
        let offset = entry.offset;
        let is_new = self.is_new(&entry).await;
        let Some(space) = self.feed.advance(offset, entry.namespace()).filter(|_| is_new) else { return };
        let members = &space.members;
        let has_log = self.has_log.load(Ordering::Relaxed);
        let is_own = |uid: &[u8]| members.iter().all(|member| member.node.as_str().as_bytes() == uid);
        if !has_log && is_own(entry.uid()) {
            return;
        }
        match entry.read() {
            Ok((node, message)) => {
                space.keep(offset, &message, now);
                give(members, &node, message, Some(offset), has_log);
            }
            Err(error) => {
                self.meter.malformed.add(1);
                tracing::debug!(stream = self.stream, %offset, %error, "an entry of the stream is dropped");
            }
        }
    }

    async fn is_new(&mut self, entry: &Entry) -> bool {
        let Some(mark) = entry.mark() else { return true };
        if let Some(behind) = mark.look_behind(self.noted) {
            // It is tried for some time. What is missed is at worst a repeat.
            if let Err(error) = look(&mut self.past, &self.stream, behind, self.noted, &mut self.repeats).await {
                tracing::warn!(stream = self.stream, %error, "an event may come twice: the past cannot be looked at");
            }
            self.noted = behind;
        }
        mark.is_new(&mut self.repeats)
    }
}

/// Notes what was published behind `after`, up to and with `upto`.
pub(super) async fn look(
    connection: &mut impl Ask,
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
            mark.is_new(repeats);
        }
    }
    Ok(())
}

/// Reads entries behind `after`, up to and with `upto`.
pub(super) async fn range(
    connection: &mut impl Ask,
    stream: &str,
    after: Offset,
    upto: Offset,
    count: u64,
) -> RedisResult<Vec<Entry>> {
    let mut command = cmd("XRANGE");
    command.arg(stream).arg(after.next().to_string()).arg(upto.to_string()).arg("COUNT").arg(count);
    connection.ask(&command).await.map(entry::of_xrange)
}

/// Asks what there is to know of a stream.
pub(super) async fn info(connection: &mut impl Ask, stream: &str) -> RedisResult<Info> {
    match connection.ask(cmd("XINFO").arg("STREAM").arg(stream)).await {
        Ok(answer) => Ok(Info::read(answer)),
        Err(error) if is_no_stream(&error) => Ok(Info::default()),
        Err(error) => Err(error),
    }
}

fn is_no_stream(error: &RedisError) -> bool {
    error.code() == Some("ERR") && error.detail().is_some_and(|detail| detail.contains("no such key"))
}
