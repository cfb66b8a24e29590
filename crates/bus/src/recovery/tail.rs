//! Decides which of the latest entries of a log are kept in memory, and whether a stretch of them is whole.
//!
//! Entries stand one behind the other in chunks of memory, as bytes: what is kept and forgotten a hundred thousand times a second is
//! copied once and costs no allocation of its own. It is read seldom, when a client comes back, and then made anew.

use std::collections::VecDeque;
use std::time::Duration;

use limpet_proto::socketio::arguments::Arguments;
use tokio::time::Instant;

use crate::log::{Offset, Stretch};
use crate::target::{Flags, Targets};

mod form;
#[cfg(test)]
mod tests;

use form::Head;

/// How long a chunk is. The first ones are as long as what is kept already, so that a namespace of few events costs little; one for a
/// longer entry is as long as that.
const CHUNK: (usize, usize) = (2 * 1024, 64 * 1024);

/// How much a [`Tail`] keeps. What is beyond any of the bounds goes, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailBounds {
    /// How long an entry is kept.
    pub time: Duration,
    /// How many entries are kept.
    pub entries: usize,
    /// How many bytes the entries may take; one is kept whatever it takes. Each takes 45 bytes besides its text, and 4 besides each
    /// room and attachment. The memory that they lie in may have as much again free, and 128 KiB.
    pub bytes: usize,
}

/// The latest entries of one namespace, in order.
#[derive(Debug)]
pub struct Tail {
    chunks: VecDeque<Chunk>,
    bounds: TailBounds,
    /// How many entries there are, and what they take.
    count: usize,
    bytes: usize,
    /// Everything behind this place is here, up to the last one.
    floor: Offset,
    last: Offset,
    /// From when on time is counted.
    began: Option<Instant>,
}

/// Entries one behind the other. It is never made longer than it was at first, and goes as a whole.
struct Chunk {
    bytes: Vec<u8>,
    /// Where the first one begins that is kept.
    start: usize,
    /// The place of the first one that was written.
    first: Offset,
}

impl Tail {
    /// Begins with nothing, behind a place of the log.
    pub fn new(bounds: TailBounds, floor: Offset) -> Self {
        Self { chunks: VecDeque::new(), bounds, count: 0, bytes: 0, floor, last: floor, began: None }
    }

    /// Adds a broadcast. One that is not behind the last one is not added.
    pub fn push(&mut self, offset: Offset, arguments: &Arguments, targets: &Targets, flags: Flags, now: Instant) {
        if offset <= self.last {
            return;
        }
        let size = form::size(arguments, targets, flags);
        if u32::try_from(size).is_err() {
            // Nobody writes that. It is not kept, and so nothing before it is of use.
            return self.restart(offset);
        }
        self.last = offset;
        let at = self.time(now);
        let chunk = match self.chunks.back_mut().filter(|chunk| chunk.bytes.capacity() - chunk.bytes.len() >= size) {
            Some(chunk) => chunk,
            None => {
                let length = self.bytes.clamp(CHUNK.0, CHUNK.1).max(size);
                self.chunks.push_back(Chunk { bytes: Vec::with_capacity(length), start: 0, first: offset });
                let Some(chunk) = self.chunks.back_mut() else { return };
                chunk
            }
        };
        form::write(&mut chunk.bytes, Head { size, offset, at }, (arguments, targets, flags));
        self.count += 1;
        self.bytes += size;
        self.trim(now);
    }

    /// Lets go what is too old.
    pub fn trim(&mut self, now: Instant) {
        let now = self.time(now);
        while let Some(chunk) = self.chunks.front_mut() {
            let Some(Head { size, offset, at }) = chunk.bytes.get(chunk.start..).and_then(form::head) else { break };
            let is_old = u128::from(now.saturating_sub(at)) > self.bounds.time.as_nanos();
            let is_too_much = self.count > self.bounds.entries || self.bytes > self.bounds.bytes;
            if !is_old && (!is_too_much || self.count == 1) {
                break;
            }
            self.floor = offset;
            self.count -= 1;
            self.bytes -= size;
            chunk.start += size;
            if chunk.start >= chunk.bytes.len() {
                self.chunks.pop_front();
            }
        }
    }

    /// Forgets everything: entries behind `floor` follow.
    pub fn restart(&mut self, floor: Offset) {
        *self = Self::new(self.bounds, floor);
    }

    /// Returns the place behind which everything is here.
    pub fn floor(&self) -> Offset {
        self.floor
    }

    /// Returns the entries behind `after`, up to and with `upto`.
    pub fn read(&self, after: Offset, upto: Offset) -> Stretch {
        // What is wanted begins in the last chunk whose first one is not wanted, or behind it.
        let begin = self.chunks.partition_point(|chunk| chunk.first <= after).saturating_sub(1);
        let all = self.chunks.range(begin..).flat_map(Chunk::entries);
        let wanted = all.skip_while(|(offset, _)| *offset <= after).take_while(|(offset, _)| *offset <= upto);
        let entries: Option<Vec<_>> = wanted.map(|(_, bytes)| form::read(bytes)).collect();
        let is_whole = after >= self.floor && entries.is_some();
        Stretch { entries: entries.unwrap_or_default(), is_whole }
    }

    /// Returns how many entries there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn time(&mut self, now: Instant) -> u64 {
        let began = *self.began.get_or_insert(now);
        u64::try_from(now.saturating_duration_since(began).as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Chunk {
    /// Returns the place and the bytes of each entry that is kept.
    fn entries(&self) -> impl Iterator<Item = (Offset, &[u8])> {
        let mut rest = self.bytes.get(self.start..).unwrap_or_default();
        std::iter::from_fn(move || {
            let Head { size, offset, .. } = form::head(rest)?;
            let (entry, behind) = rest.split_at_checked(size)?;
            rest = behind;
            Some((offset, entry))
        })
    }
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunk").field("first", &self.first).field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}
