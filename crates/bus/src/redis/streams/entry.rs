//! Decides how a message stands in a stream: the fields `uid`, `nsp`, `type` and `data`, as Node writes them, where data is
//! JSON, or msgpack in base64 when it holds bytes.
//!
//! Ours have three more, which Node passes over. `publisher` and `counter` tell a message that was published again from a
//! new one. What is published again says in `again` behind which place its first copy would be. A stream that has lost
//! entries gets one that says only `lost`.

mod info;
#[cfg(test)]
mod tests;

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use limpet_proto::resp::{self, Frame, Value as Said};
use limpet_proto::socketio::msgpack;
use redis::{Cmd, Value};

use crate::adapter::BusError;
use crate::envelope::Message;
use crate::log::Offset;
use crate::node::NodeId;
use crate::recovery::Repeats;
use crate::redis::classic::malformed;
use crate::redis::message::{self, Written};
pub(in crate::redis) use info::{Compared, Info};

/// How long the data of an entry may be, in bytes; more is dropped without a look at it.
const MAX_DATA: usize = 64 * 1024 * 1024;

/// The field of the entry that tells of a loss.
pub(in crate::redis) const LOST: &str = "lost";

/// An entry as it came, not yet understood.
#[derive(Debug, Default)]
pub(in crate::redis) struct Entry {
    pub(in crate::redis) offset: Offset,
    /// Where all parts lie.
    bytes: Bytes,
    uid: Part,
    namespace: Part,
    kind: Part,
    data: Part,
    publisher: Part,
    counter: Part,
    again: Part,
    /// Whether it tells of a loss.
    pub(in crate::redis) is_loss: bool,
}

/// Where a part of an entry begins and ends.
#[derive(Debug, Clone, Copy, Default)]
struct Part(u32, u32);

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
        str::from_utf8(self.part(self.namespace)).unwrap_or_default()
    }

    pub(in crate::redis) fn uid(&self) -> &[u8] {
        self.part(self.uid)
    }

    /// Returns how many bytes it has.
    pub(in crate::redis) fn len(&self) -> usize {
        self.part(self.data).len()
    }

    /// Says whether it is a broadcast.
    pub(in crate::redis) fn is_broadcast(&self) -> bool {
        self.part(self.kind) == b"3"
    }

    /// Returns what tells repeats apart; entries of others have nothing of the kind.
    pub(in crate::redis) fn mark(&self) -> Option<Mark<'_>> {
        let text = |part| str::from_utf8(self.part(part)).ok();
        let publisher = text(self.publisher).filter(|publisher| (1..=64).contains(&publisher.len()))?;
        let counter = text(self.counter)?.parse().ok()?;
        Some(Mark { publisher, counter, again: text(self.again)?.parse().ok() })
    }

    /// Reads the message and who sent it.
    ///
    /// # Errors
    /// [`BusError::Malformed`] when it is none.
    pub(in crate::redis) fn read(&self) -> Result<(NodeId, Message), BusError> {
        let data = self.part(self.data);
        if data.len() > MAX_DATA {
            return Err(malformed("the data is too long"));
        }
        let uid = str::from_utf8(self.uid()).ok().filter(|uid| !uid.is_empty());
        let uid = uid.ok_or_else(|| malformed("the uid is missing"))?;
        let kind = str::from_utf8(self.part(self.kind)).ok().and_then(|kind| kind.parse().ok());
        let kind = kind.ok_or_else(|| malformed("the type is no number"))?;
        Ok((uid.into(), read_data(kind, data)?))
    }

    fn part(&self, Part(start, end): Part) -> &[u8] {
        self.bytes.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Returns where a field belongs; `None` for one that means nothing here.
    fn field(&mut self, name: &[u8]) -> Option<&mut Part> {
        Some(match name {
            b"uid" => &mut self.uid,
            b"nsp" => &mut self.namespace,
            b"type" => &mut self.kind,
            b"data" => &mut self.data,
            b"publisher" => &mut self.publisher,
            b"counter" => &mut self.counter,
            b"again" => &mut self.again,
            name => {
                self.is_loss |= name == LOST.as_bytes();
                return None;
            }
        })
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

/// What words of a command are appended to.
pub(crate) trait Words {
    /// Appends a word.
    fn word(&mut self, word: &[u8]);
}

impl Words for Cmd {
    fn word(&mut self, word: &[u8]) {
        self.arg(word);
    }
}

/// Where commands stand as Redis reads them.
impl Words for Vec<u8> {
    fn word(&mut self, word: &[u8]) {
        resp::write_word(word, self);
    }
}

/// How many words the head of an XADD and the fields of Node are.
pub(super) const WORDS: usize = 6 + 8;

/// Appends an XADD to a stream that keeps about so many entries, up to the fields.
pub(crate) fn add(command: &mut impl Words, stream: &str, max_len: u64) {
    for word in ["XADD", stream, "MAXLEN", "~"] {
        command.word(word.as_bytes());
    }
    number(command, max_len);
    command.word(b"*");
}

/// Appends the fields of Node to an XADD.
pub(crate) fn write(command: &mut impl Words, uid: &str, namespace: &str, kind: u64, data: &[u8]) {
    for (name, value) in [("uid", uid), ("nsp", namespace)] {
        command.word(name.as_bytes());
        command.word(value.as_bytes());
    }
    command.word(b"type");
    number(command, kind);
    command.word(b"data");
    command.word(data);
}

/// Appends a number.
pub(super) fn number(command: &mut impl Words, number: u64) {
    // It has at most 20 digits.
    let mut digits = [0; 20];
    let mut rest = &mut digits[..];
    drop(write!(rest, "{number}"));
    let left = rest.len();
    command.word(&digits[..20 - left]);
}

/// Returns the data as it stands in a stream.
pub(crate) fn data(written: Written) -> Vec<u8> {
    match written.binary_data() {
        Some(bytes) => STANDARD.encode(bytes).into_bytes(),
        None => written.data.into_bytes(),
    }
}

/// Reads the data of a message of this type.
///
/// # Errors
/// [`BusError::Malformed`] when it is none.
pub(in crate::redis) fn read_data(kind: u64, data: &[u8]) -> Result<Message, BusError> {
    match data.first() {
        None => message::read(kind, "{}", Vec::new()),
        Some(b'{') => message::read(kind, str::from_utf8(data).map_err(malformed)?, Vec::new()),
        Some(_) => {
            let bytes = Bytes::from(STANDARD.decode(data).map_err(malformed)?);
            let (text, attachments) = msgpack::to_json(&bytes).map_err(malformed)?;
            message::read(kind, &text, attachments)
        }
    }
}

/// Reads what XREAD answers for one stream; nothing if the time ran out. Of an answer that has too many values what is
/// there counts.
pub(in crate::redis) fn of_xread(frame: &Frame<'_>, entries: &mut Vec<Entry>) {
    let mut values = frame.values();
    // A map in RESP3; in RESP2 a list of pairs.
    match (values.next(), values.clone().next()) {
        (Some(Said::List(2)), Some(Said::Bulk(_))) => {}
        (Some(Said::List(1)), Some(Said::List(2))) => drop(values.next()),
        _ => return,
    }
    values.next();
    let Some(count) = values.list() else { return };
    for _ in 0..count {
        let Some(2) = values.list() else { return };
        let Some(offset) = values.bulk().and_then(|id| str::from_utf8(id).ok()?.parse().ok()) else { return };
        let mut entry = Entry { offset, bytes: frame.bytes().clone(), ..Entry::default() };
        // Nothing has no fields: an entry that was deleted.
        let fields = match values.next() {
            Some(Said::List(fields)) => fields,
            _ => 0,
        };
        for _ in 0..fields / 2 {
            let name = values.clone().bulk().unwrap_or_default();
            values.skip_value();
            let place = values.clone().place();
            values.skip_value();
            if let (Some(part), Some(place)) = (entry.field(name), place) {
                *part = Part(place.start, place.end);
            }
        }
        entries.push(entry);
    }
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
    let (mut fields, mut bytes) = (fields.into_iter(), Vec::new());
    while let (Some(Value::BulkString(name)), Some(value)) = (fields.next(), fields.next()) {
        let Value::BulkString(value) = value else { continue };
        if let Some(part) = entry.field(&name) {
            let start = bytes.len();
            bytes.extend_from_slice(&value);
            *part = Part(u32::try_from(start).ok()?, u32::try_from(bytes.len()).ok()?);
        }
    }
    entry.bytes = bytes.into();
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
