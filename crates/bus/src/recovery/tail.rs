//! Decides which of the latest entries of a log are kept in memory, and whether a stretch of them is whole.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::log::{Entry, Offset, Stretch};
use crate::target::Room;

/// What an entry takes besides its texts and bytes, in bytes; about.
const OVERHEAD: usize = 256;

/// How much a [`Tail`] keeps. What is beyond any of the bounds goes, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailBounds {
    /// How long an entry is kept.
    pub time: Duration,
    /// How many entries are kept.
    pub entries: usize,
    /// How many bytes the entries may take, with what goes with each; one entry is kept whatever it takes.
    pub bytes: usize,
}

/// The latest entries of one namespace, in order.
#[derive(Debug)]
pub struct Tail {
    entries: VecDeque<Kept>,
    bounds: TailBounds,
    bytes: usize,
    /// Everything behind this place is here.
    floor: Offset,
}

#[derive(Debug)]
struct Kept {
    entry: Entry,
    at: Instant,
    bytes: usize,
}

impl Tail {
    /// Begins with nothing, behind a place of the log.
    pub fn new(bounds: TailBounds, floor: Offset) -> Self {
        Self { entries: VecDeque::new(), bounds, bytes: 0, floor }
    }

    /// Adds an entry. One that is not behind the last one is not added.
    pub fn push(&mut self, entry: Entry, now: Instant) {
        let last = self.entries.back().map_or(self.floor, |last| last.entry.offset);
        if entry.offset <= last {
            return;
        }
        let bytes = size(&entry);
        self.bytes += bytes;
        self.entries.push_back(Kept { entry, at: now, bytes });
        self.trim(now);
    }

    /// Lets go what is too old.
    pub fn trim(&mut self, now: Instant) {
        while let Some(first) = self.entries.front() {
            let is_old = now.saturating_duration_since(first.at) > self.bounds.time;
            let is_too_much = self.entries.len() > self.bounds.entries || self.bytes > self.bounds.bytes;
            if !is_old && (!is_too_much || self.entries.len() == 1) {
                break;
            }
            self.floor = first.entry.offset;
            self.bytes -= first.bytes;
            self.entries.pop_front();
        }
    }

    /// Forgets everything: entries behind `floor` follow.
    pub fn restart(&mut self, floor: Offset) {
        self.entries.clear();
        self.bytes = 0;
        self.floor = floor;
    }

    /// Returns the place behind which everything is here.
    pub fn floor(&self) -> Offset {
        self.floor
    }

    /// Returns the entries behind `after`, up to and with `upto`.
    pub fn read(&self, after: Offset, upto: Offset) -> Stretch {
        let begin = self.entries.partition_point(|kept| kept.entry.offset <= after);
        let end = self.entries.partition_point(|kept| kept.entry.offset <= upto).max(begin);
        let entries = self.entries.range(begin..end).map(|kept| kept.entry.clone()).collect();
        Stretch { entries, is_whole: after >= self.floor }
    }

    /// Returns how many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn size(entry: &Entry) -> usize {
    let attachments: usize = entry.arguments.attachments().iter().map(|bytes| bytes.len() + OVERHEAD / 4).sum();
    let names = |rooms: &[Room]| rooms.iter().map(|room| room.len() + OVERHEAD / 8).sum::<usize>();
    OVERHEAD + entry.arguments.text().len() + attachments + names(&entry.targets.rooms) + names(&entry.targets.except)
}

#[cfg(test)]
mod tests {
    use limpet_proto::socketio::arguments::Arguments;

    use super::*;
    use crate::target::{Flags, Targets};

    const BOUNDS: TailBounds = TailBounds { time: Duration::from_secs(60), entries: 3, bytes: 1 << 20 };

    fn offset(millis: u64) -> Offset {
        Offset { millis, counter: 0 }
    }

    fn entry(millis: u64, text: &str) -> Entry {
        Entry {
            offset: offset(millis),
            arguments: Arguments::event("ev", &(text,)).unwrap(),
            targets: Targets::all(),
            flags: Flags::default(),
        }
    }

    fn read(tail: &Tail, after: u64, upto: u64) -> (Vec<u64>, bool) {
        let stretch = tail.read(offset(after), offset(upto));
        (stretch.entries.iter().map(|entry| entry.offset.millis).collect(), stretch.is_whole)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stretch_is_whole_until_its_first_entry_has_gone() {
        let mut tail = Tail::new(BOUNDS, offset(4));
        for millis in [5, 7, 8] {
            tail.push(entry(millis, ""), Instant::now());
        }
        assert_eq!(read(&tail, 4, 9), (vec![5, 7, 8], true));
        assert_eq!(read(&tail, 5, 7), (vec![7], true));
        assert_eq!(read(&tail, 6, 6), (vec![], true));
        assert_eq!(read(&tail, 9, 5), (vec![], true));
        assert_eq!(read(&tail, 3, 9), (vec![5, 7, 8], false), "what was before the tail is not known");
        tail.push(entry(9, ""), Instant::now());
        assert_eq!(read(&tail, 5, 9), (vec![7, 8, 9], true));
        assert_eq!(read(&tail, 4, 9), (vec![7, 8, 9], false));
        // Not behind the last one: there already.
        tail.push(entry(9, ""), Instant::now());
        tail.push(entry(8, ""), Instant::now());
        assert_eq!(tail.len(), 3);
        tail.restart(offset(20));
        assert_eq!((read(&tail, 9, 30), tail.floor(), tail.is_empty()), ((vec![], false), offset(20), true));
    }

    #[tokio::test(start_paused = true)]
    async fn time_and_bytes_are_bounded() {
        let mut tail = Tail::new(BOUNDS, Offset::ZERO);
        tail.push(entry(1, ""), Instant::now());
        tokio::time::advance(Duration::from_secs(40)).await;
        tail.push(entry(2, ""), Instant::now());
        tokio::time::advance(Duration::from_secs(30)).await;
        tail.trim(Instant::now());
        assert_eq!(read(&tail, 0, 9), (vec![2], false));
        tokio::time::advance(Duration::from_secs(90)).await;
        tail.trim(Instant::now());
        assert_eq!((tail.len(), tail.bytes, tail.floor()), (0, 0, offset(2)));
        let bounds = TailBounds { bytes: 3 * OVERHEAD, ..BOUNDS };
        let mut tail = Tail::new(bounds, Offset::ZERO);
        for millis in 1..=3 {
            tail.push(entry(millis, "some text"), Instant::now());
        }
        assert_eq!(read(&tail, 1, 9), (vec![2, 3], true));
        tail.push(entry(4, &"x".repeat(2000)), Instant::now());
        assert_eq!(read(&tail, 3, 9), (vec![4], true));
    }
}
