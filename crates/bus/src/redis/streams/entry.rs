//! Decides how a message stands in a stream: the fields `uid`, `nsp`, `type` and `data`, as Node writes them, where data is
//! JSON, or msgpack in base64 when it holds bytes.
//!
//! Ours have three more, which Node passes over. `publisher` and `counter` tell a message that was published again from a
//! new one. What is published again says in `again` behind which place its first copy would be. A stream that has lost
//! entries gets one that says only `lost`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use limpet_proto::socketio::msgpack;
use redis::{Cmd, Value};

use crate::adapter::BusError;
use crate::envelope::Message;
use crate::log::Offset;
use crate::node::NodeId;
use crate::recovery::Repeats;
use crate::redis::classic::malformed;
use crate::redis::message::{self, Written};

/// How long the data of an entry may be, in bytes; more is dropped without a look at it.
const MAX_DATA: usize = 64 * 1024 * 1024;

/// The field of the entry that tells of a loss.
pub(in crate::redis) const LOST: &str = "lost";

/// An entry as it came, not yet understood.
#[derive(Debug, Default)]
pub(in crate::redis) struct Entry {
    pub(in crate::redis) offset: Offset,
    uid: Vec<u8>,
    namespace: Vec<u8>,
    kind: Vec<u8>,
    data: Vec<u8>,
    publisher: Vec<u8>,
    counter: Vec<u8>,
    again: Vec<u8>,
    /// Whether it tells of a loss.
    pub(in crate::redis) is_loss: bool,
}

/// Who published an entry of ours, and which of its messages it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) struct Mark<'a> {
    pub(in crate::redis) publisher: &'a str,
    pub(in crate::redis) counter: u64,
    /// If it was published again: the first copy, if there is one, is behind this place.
    pub(in crate::redis) again: Option<Offset>,
}

impl Entry {
    pub(in crate::redis) fn namespace(&self) -> &str {
        str::from_utf8(&self.namespace).unwrap_or_default()
    }

    pub(in crate::redis) fn uid(&self) -> &[u8] {
        &self.uid
    }

    /// Says whether it is a broadcast.
    pub(in crate::redis) fn is_broadcast(&self) -> bool {
        self.kind == b"3"
    }

    /// Returns what tells repeats apart; entries of others have nothing of the kind.
    pub(in crate::redis) fn mark(&self) -> Option<Mark<'_>> {
        let text = |bytes| str::from_utf8(bytes).ok();
        let publisher = text(&self.publisher).filter(|publisher| (1..=64).contains(&publisher.len()))?;
        let counter = text(&self.counter)?.parse().ok()?;
        Some(Mark { publisher, counter, again: text(&self.again)?.parse().ok() })
    }

    /// Reads the message and who sent it.
    ///
    /// # Errors
    /// [`BusError::Malformed`] when it is none.
    pub(in crate::redis) fn read(self) -> Result<(NodeId, Message), BusError> {
        if self.data.len() > MAX_DATA {
            return Err(malformed("the data is too long"));
        }
        let uid = String::from_utf8(self.uid).ok().filter(|uid| !uid.is_empty());
        let uid = uid.ok_or_else(|| malformed("the uid is missing"))?;
        let kind = str::from_utf8(&self.kind).ok().and_then(|kind| kind.parse().ok());
        let kind = kind.ok_or_else(|| malformed("the type is no number"))?;
        let message = match self.data.first() {
            None => message::read(kind, "{}", Vec::new())?,
            Some(b'{') => message::read(kind, str::from_utf8(&self.data).map_err(malformed)?, Vec::new())?,
            Some(_) => {
                let bytes = Bytes::from(STANDARD.decode(&self.data).map_err(malformed)?);
                let (text, attachments) = msgpack::to_json(&bytes).map_err(malformed)?;
                message::read(kind, &text, attachments)?
            }
        };
        Ok((uid.into(), message))
    }
}

impl Mark<'_> {
    /// Notes the entry, and returns whether it is there for the first time.
    pub(in crate::redis) fn is_new(self, repeats: &mut Repeats) -> bool {
        repeats.is_new(self.publisher, self.counter)
    }

    /// Returns behind which place the first copy has to be looked for, by one who has noted everything behind `start`.
    pub(in crate::redis) fn look_behind(self, start: Offset) -> Option<Offset> {
        self.again.filter(|again| *again < start)
    }
}

/// Appends the fields of Node to an XADD.
pub(crate) fn write(command: &mut Cmd, uid: &str, namespace: &str, kind: u64, data: &[u8]) {
    command.arg("uid").arg(uid).arg("nsp").arg(namespace).arg("type").arg(kind).arg("data").arg(data);
}

/// Returns the data as it stands in a stream.
pub(crate) fn data(written: Written) -> Vec<u8> {
    match written.binary_data() {
        Some(bytes) => STANDARD.encode(bytes).into_bytes(),
        None => written.data.into_bytes(),
    }
}

/// Begins an XADD to a stream that keeps about so many entries.
pub(crate) fn add(stream: &str, max_len: u64) -> Cmd {
    let mut command = redis::cmd("XADD");
    command.arg(stream).arg("MAXLEN").arg("~").arg(max_len).arg("*");
    command
}

/// Reads what XREAD answers for one stream; nothing if the time ran out.
pub(in crate::redis) fn of_xread(answer: Value) -> Vec<Entry> {
    let list = match answer {
        Value::Map(mut streams) if streams.len() == 1 => streams.pop().map(|(_, entries)| entries),
        Value::Array(mut streams) if streams.len() == 1 => match streams.pop() {
            Some(Value::Array(mut pair)) if pair.len() == 2 => pair.pop(),
            _ => None,
        },
        _ => None,
    };
    of_xrange(list.unwrap_or_default())
}

/// Reads what XRANGE answers. What is no entry is left out: Redis writes none.
pub(in crate::redis) fn of_xrange(answer: Value) -> Vec<Entry> {
    let Value::Array(entries) = answer else { return Vec::new() };
    entries.into_iter().filter_map(entry).collect()
}

fn entry(value: Value) -> Option<Entry> {
    let Value::Array(mut pair) = value else { return None };
    let (Some(fields), Some(id), None) = (pair.pop(), pair.pop(), pair.pop()) else { return None };
    let mut entry = Entry { offset: offset(&id)?, ..Entry::default() };
    let Value::Array(fields) = fields else { return Some(entry) };
    let mut fields = fields.into_iter();
    while let (Some(Value::BulkString(name)), Some(value)) = (fields.next(), fields.next()) {
        let Value::BulkString(value) = value else { continue };
        let place = match &*name {
            b"uid" => &mut entry.uid,
            b"nsp" => &mut entry.namespace,
            b"type" => &mut entry.kind,
            b"data" => &mut entry.data,
            b"publisher" => &mut entry.publisher,
            b"counter" => &mut entry.counter,
            b"again" => &mut entry.again,
            name => {
                entry.is_loss |= name == LOST.as_bytes();
                continue;
            }
        };
        *place = value;
    }
    Some(entry)
}

/// Reads the id of an entry.
pub(in crate::redis) fn offset(value: &Value) -> Option<Offset> {
    match value {
        Value::BulkString(id) => str::from_utf8(id).ok()?.parse().ok(),
        Value::SimpleString(id) => id.parse().ok(),
        _ => None,
    }
}

/// What XINFO STREAM says of a stream. One that does not exist is all zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::redis) struct Info {
    /// How many entries it has.
    pub(in crate::redis) length: u64,
    /// The end: the highest id that it has had.
    pub(in crate::redis) last: Offset,
    /// The first entry that is still there.
    pub(in crate::redis) first: Option<Offset>,
    /// How many entries it has ever had.
    pub(in crate::redis) added: u64,
    /// The highest id that was deleted one by one.
    pub(in crate::redis) max_deleted: Offset,
}

impl Info {
    /// Reads what XINFO STREAM answers. What an old Redis does not say reads as the worst.
    pub(in crate::redis) fn read(answer: Value) -> Self {
        let mut info = Self { added: u64::MAX, ..Self::default() };
        let members: Vec<(Value, Value)> = match answer {
            Value::Map(members) => members,
            Value::Array(list) => {
                let mut list = list.into_iter();
                std::iter::from_fn(|| list.next().zip(list.next())).collect()
            }
            _ => Vec::new(),
        };
        for (name, value) in members {
            let name = match &name {
                Value::BulkString(name) => str::from_utf8(name).unwrap_or_default(),
                Value::SimpleString(name) => name,
                _ => continue,
            };
            let number = if let Value::Int(number) = value { u64::try_from(number).ok() } else { None };
            match name {
                "length" => info.length = number.unwrap_or_default(),
                "entries-added" => info.added = number.unwrap_or(u64::MAX),
                "last-generated-id" => info.last = offset(&value).unwrap_or_default(),
                "max-deleted-entry-id" => info.max_deleted = offset(&value).unwrap_or_default(),
                "first-entry" => info.first = entry(value).map(|entry| entry.offset),
                _ => {}
            }
        }
        info
    }

    /// Says whether Redis counts the entries, as Redis 7 does.
    pub(in crate::redis) fn is_counted(&self) -> bool {
        self.added != u64::MAX
    }

    /// Says what has become of what was read up to `read`, the `seen`th entry that the stream has had. Whether the entry
    /// of that place `is_there` tells a stream that begun anew from one that went on.
    pub(in crate::redis) fn compare(&self, read: Offset, seen: Option<u64>, is_there: bool) -> Compared {
        if is_there || self.last == read {
            return Compared::Same;
        }
        let trimmed = self.added.saturating_sub(self.length);
        match seen.filter(|_| self.is_counted()) {
            _ if self.last < read => Compared::Lost,
            Some(seen) if self.added < seen => Compared::Lost,
            // It should be there.
            Some(seen) if trimmed < seen => Compared::Lost,
            Some(seen) if trimmed > seen => Compared::Missed(trimmed - seen),
            Some(_) => Compared::Same,
            None if self.first.is_some_and(|first| first < read) => Compared::Lost,
            None => Compared::Same,
        }
    }

    /// Says whether everything behind `after` that was ever added is still there.
    pub(in crate::redis) fn reaches_back_to(&self, after: Offset) -> bool {
        let is_untouched = after == Offset::ZERO && self.added == self.length;
        (is_untouched || self.last <= after || self.first.is_some_and(|first| first <= after))
            && self.max_deleted <= after
    }
}

/// What has become of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Compared {
    /// The stream goes on behind it.
    Same,
    /// So many entries behind it were trimmed before they were read.
    Missed(u64),
    /// It is not there any more, although it was not trimmed.
    Lost,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Offset {
        Offset { millis, counter: 0 }
    }

    #[test]
    fn a_loss_is_told_from_a_trim() {
        // Entries 1-0 to 9-0 were added, one by one; `first` to 9-0 are there.
        let cut_to =
            |first| Info { length: 10 - first, last: at(9), first: Some(at(first)), added: 9, max_deleted: at(0) };
        let gone = Info::default();
        let anew = Info { length: 3, last: at(30), first: Some(at(21)), added: 3, ..gone };
        let table = [
            // Read up to 4-0, the fourth.
            (cut_to(1), 4, Some(4), true, Compared::Same),
            (cut_to(4), 4, Some(4), true, Compared::Same),
            (cut_to(5), 4, Some(4), false, Compared::Same),
            (cut_to(7), 4, Some(4), false, Compared::Missed(2)),
            (cut_to(2), 4, Some(4), false, Compared::Lost),
            (gone, 4, Some(4), false, Compared::Lost),
            (anew, 4, Some(4), false, Compared::Lost),
            (anew, 4, None, false, Compared::Same),
            (cut_to(2), 4, None, false, Compared::Lost),
            (cut_to(7), 4, None, false, Compared::Same),
            // Read up to the end, which may be of an entry that is not there any more.
            (cut_to(7), 9, Some(9), false, Compared::Same),
            (cut_to(7), 12, Some(12), false, Compared::Lost),
            // Nothing was there yet.
            (gone, 0, Some(0), false, Compared::Same),
            (cut_to(1), 0, Some(0), false, Compared::Same),
            (cut_to(3), 0, Some(0), false, Compared::Missed(2)),
        ];
        for (info, read, seen, is_there, expected) in table {
            assert_eq!(info.compare(at(read), seen, is_there), expected, "{info:?} {read} {seen:?} {is_there}");
        }
    }

    #[test]
    fn a_stretch_is_whole_while_its_beginning_is_there() {
        let info = Info { length: 3, last: at(9), first: Some(at(7)), added: 9, max_deleted: at(0) };
        let reaches = [0, 6, 7, 8, 9].map(|after| info.reaches_back_to(at(after)));
        assert_eq!(reaches, [false, false, true, true, true]);
        let whole = Info { added: 3, ..info };
        assert!(whole.reaches_back_to(at(0)) && !whole.reaches_back_to(at(6)));
        assert!(!Info { max_deleted: at(8), ..info }.reaches_back_to(at(7)));
    }
}
