//! Decides how messages that leave together are added to a stream: as one transaction, so that a part of it never comes
//! before another, each with a counter, by which those who read know what they have already seen.

use limpet_proto::resp::{self, Frame, Value};
use redis::RedisResult;

use super::entry::{self, Words};
use crate::log::Offset;
use crate::node::random_u64;
use crate::redis::direct::Direct;
use crate::redis::wire;

/// How much memory for what leaves in one go is kept for the next one.
const KEPT_BYTES: usize = 256 * 1024;

/// What one publisher adds to one stream.
pub(in crate::redis) struct Transaction {
    stream: String,
    /// About how many entries the stream keeps.
    max_len: u64,
    /// Tells the entries of this publisher from others.
    publisher: String,
    /// What leaves in one go.
    out: Vec<u8>,
}

/// A message to be added.
pub(in crate::redis) struct Added<'a> {
    pub(in crate::redis) node: &'a str,
    pub(in crate::redis) namespace: &'a str,
    pub(in crate::redis) kind: u64,
    pub(in crate::redis) data: &'a [u8],
}

impl Transaction {
    pub(in crate::redis) fn new(stream: String, max_len: u64) -> Self {
        Self { stream, max_len, publisher: format!("{:016x}", random_u64()), out: Vec::new() }
    }

    pub(in crate::redis) fn stream(&self) -> &str {
        &self.stream
    }

    /// Adds messages, the first of them with this counter. `again` is for a repeat: the first copies, if there are any, are
    /// behind that place. Returns the place of the last one.
    pub(in crate::redis) async fn add<'a>(
        &mut self,
        connection: &mut Direct,
        messages: impl ExactSizeIterator<Item = Added<'a>>,
        counter: u64,
        again: Option<Offset>,
    ) -> RedisResult<Option<Offset>> {
        let count = self.compose(messages, counter, again);
        let mut last = None;
        let take = |number, frame: &Frame<'_>| {
            // The answer to the last command has the places of all.
            if number + 1 == count {
                last = place(frame)?;
            }
            Ok(())
        };
        connection.exchange(&self.out, count, take).await?;
        Ok(last)
    }

    /// Writes the commands, and returns how many they are.
    fn compose<'a>(
        &mut self,
        messages: impl ExactSizeIterator<Item = Added<'a>>,
        counter: u64,
        again: Option<Offset>,
    ) -> usize {
        let Self { out, publisher, .. } = self;
        out.clear();
        out.shrink_to(KEPT_BYTES);
        let count = messages.len();
        if count != 1 {
            resp::write_command(&[b"MULTI"], out);
        }
        for (Added { node, namespace, kind, data }, counter) in messages.zip(counter..) {
            resp::write_words(entry::WORDS + 4 + if again.is_some() { 2 } else { 0 }, out);
            entry::add(out, &self.stream, self.max_len);
            entry::write(out, node, namespace, kind, data);
            out.word(b"publisher");
            out.word(publisher.as_bytes());
            out.word(b"counter");
            entry::number(out, counter);
            if let Some(again) = again {
                out.word(b"again");
                out.word(again.to_string().as_bytes());
            }
        }
        if count != 1 {
            resp::write_command(&[b"EXEC"], out);
        }
        if count == 1 { 1 } else { count + 2 }
    }
}

/// Reads the place of the last message: of the one answer, or of those of a transaction.
fn place(frame: &Frame<'_>) -> RedisResult<Option<Offset>> {
    let mut last = None;
    for value in frame.values() {
        match value {
            Value::Error(text) => return Err(wire::error(text)),
            Value::Bulk(id) => last = Some(id),
            _ => {}
        }
    }
    Ok(last.and_then(|id| str::from_utf8(id).ok()?.parse().ok()))
}
