//! Decides how an entry stands among others in one piece of memory: its size, its place, its time, and then the event and whom it is
//! for. What is as long as it likes has its length before it.

use std::time::Duration;

use bytes::Bytes;
use limpet_proto::socketio::arguments::Arguments;

use crate::log::{Entry, Offset};
use crate::target::{Flags, Room, Targets};

/// The size, the place and the time.
pub(super) const HEAD: usize = 4 + 16 + 8;

/// The flags, the length of the text, and how many rooms, rooms that are left out, and attachments there are.
const COUNTS: usize = 1 + 4 * LENGTH;

/// What a room or an attachment takes besides its bytes.
const LENGTH: usize = 4;

/// What a time limit takes.
const TIMEOUT: usize = 8 + 4;

const VOLATILE: u8 = 1;
const LOCAL: u8 = 2;
const COMPRESS: u8 = 4;
const TIMED: u8 = 8;

/// What is known of an entry without reading it.
pub(super) struct Head {
    pub(super) size: usize,
    pub(super) offset: Offset,
    /// Nanoseconds since the tail began.
    pub(super) at: u64,
}

/// Returns how many bytes an entry takes.
pub(super) fn size(arguments: &Arguments, targets: &Targets, flags: Flags) -> usize {
    let rooms = |rooms: &[Room]| rooms.iter().map(|room| LENGTH + room.len()).sum::<usize>();
    let attachments: usize = arguments.attachments().iter().map(|bytes| LENGTH + bytes.len()).sum();
    let timeout = if flags.timeout.is_some() { TIMEOUT } else { 0 };
    HEAD + COUNTS + timeout + arguments.text().len() + rooms(&targets.rooms) + rooms(&targets.except) + attachments
}

/// Appends an entry whose size is known.
pub(super) fn write(
    out: &mut Vec<u8>,
    Head { size, offset, at }: Head,
    (arguments, targets, flags): (&Arguments, &Targets, Flags),
) {
    number(out, size);
    out.extend_from_slice(&offset.millis.to_le_bytes());
    out.extend_from_slice(&offset.counter.to_le_bytes());
    out.extend_from_slice(&at.to_le_bytes());
    let Flags { volatile, local, compress, timeout } = flags;
    let bits = [(volatile, VOLATILE), (local, LOCAL), (compress, COMPRESS), (timeout.is_some(), TIMED)];
    out.push(bits.into_iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum());
    if let Some(timeout) = timeout {
        out.extend_from_slice(&timeout.as_secs().to_le_bytes());
        out.extend_from_slice(&timeout.subsec_nanos().to_le_bytes());
    }
    text(out, arguments.text().as_bytes());
    for rooms in [&targets.rooms, &targets.except] {
        number(out, rooms.len());
        rooms.iter().for_each(|room| text(out, room.as_bytes()));
    }
    number(out, arguments.attachments().len());
    arguments.attachments().iter().for_each(|bytes| text(out, bytes));
}

/// Reads what is known of the entry at the beginning of these bytes.
pub(super) fn head(bytes: &[u8]) -> Option<Head> {
    let mut rest = Rest(bytes);
    Some(Head {
        size: rest.number()?,
        offset: Offset { millis: u64::from_le_bytes(rest.take()?), counter: u64::from_le_bytes(rest.take()?) },
        at: u64::from_le_bytes(rest.take()?),
    })
}

/// Reads the entry at the beginning of these bytes.
pub(super) fn read(bytes: &[u8]) -> Option<Entry> {
    let Head { offset, .. } = head(bytes)?;
    let mut rest = Rest(bytes.get(HEAD..)?);
    let [bits] = rest.take()?;
    let timeout = match bits & TIMED {
        0 => None,
        _ => Some(Duration::new(u64::from_le_bytes(rest.take()?), u32::from_le_bytes(rest.take()?))),
    };
    let flags =
        Flags { volatile: bits & VOLATILE != 0, local: bits & LOCAL != 0, compress: bits & COMPRESS != 0, timeout };
    let text = str::from_utf8(rest.text()?).ok()?;
    let mut rooms = || {
        let count = rest.number()?;
        (0..count).map(|_| Some(Room::from(str::from_utf8(rest.text()?).ok()?))).collect::<Option<Vec<_>>>()
    };
    let targets = Targets { rooms: rooms()?, except: rooms()? };
    let count = rest.number()?;
    let attachments = (0..count).map(|_| rest.text().map(Bytes::copy_from_slice)).collect::<Option<Vec<_>>>()?;
    Some(Entry { offset, arguments: Arguments::trusted(text, attachments), targets, flags })
}

/// Appends a number that is below the size of the entry, which was looked at.
fn number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&(number as u32).to_le_bytes());
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<usize> {
        self.take().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}
