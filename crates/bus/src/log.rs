//! Decides what an adapter keeps that outlives a node: the events of all namespaces in one order, and clients' sessions.
//!
//! An adapter that has a log gives every node what every node published, its own included, each with its [`Offset`]. All
//! nodes see the events of a namespace in the order of their offsets. A session has one holder at a time: who
//! [adopts](Log::adopt) it gets a higher epoch, and what the former holder still [saves](Log::save) is refused.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use limpet_proto::socketio::arguments::Arguments;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::adapter::BusError;
use crate::node::NodeId;
use crate::target::{Flags, Room, Targets};

/// A place in the log. Written as Redis writes the ids of a stream: milliseconds since 1970, a dash, a counter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Offset {
    /// Milliseconds since 1970.
    pub millis: u64,
    /// Tells entries of one millisecond apart.
    pub counter: u64,
}

/// What is wrong with a text that should be an [`Offset`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an offset is two numbers joined by a dash")]
pub struct NoOffset;

/// A broadcast as the log keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its place.
    pub offset: Offset,
    /// The event.
    pub arguments: Arguments,
    /// Whom it is for.
    pub targets: Targets,
    /// How it is sent.
    pub flags: Flags,
}

/// A part of the log.
#[derive(Debug, Clone, Default)]
pub struct Stretch {
    /// The broadcasts of one namespace, in order, each once.
    pub entries: Vec<Entry>,
    /// Whether the log still had everything in between. If not, what is missing is not known.
    pub is_whole: bool,
}

/// A client's session in a namespace, as it outlives its connection and its node.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// The public id of the socket.
    pub id: Room,
    /// The secret by which the client proves that the session is its own: the `pid` of the CONNECT packet.
    pub secret: Arc<str>,
    /// The rooms of the socket, its own among them.
    pub rooms: Vec<Room>,
    /// What the application keeps with it.
    pub data: Value,
    /// What is known of how far the client is. A session that a Node server kept has none.
    pub progress: Progress,
}

/// How far a client is, as the holder of its session knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The end of the log when the session began: the client has missed nothing before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Offset>,
    /// The last logged event that was sent to the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Offset>,
    /// Up to here the log has nothing else for the client behind `sent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Offset>,
    /// An event without an offset that ended in a text, which a client takes for its offset; and the offset that it had
    /// before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mistaken: Option<(String, Option<Offset>)>,
}

/// By what right a node holds a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The holder.
    pub node: NodeId,
    /// Counts the holders; a higher one takes the session from a lower one. The first is 1.
    pub epoch: u64,
}

/// What became of an attempt to keep a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It is kept.
    Kept,
    /// Somebody else holds it: the socket here is one that its client has left.
    Taken,
}

/// A session that was found.
#[derive(Debug, Clone)]
pub struct Adopted {
    /// As it was saved last.
    pub session: Session,
    /// The right by which it is held now.
    pub epoch: u64,
    /// Who held it before, if that is known and may be alive.
    pub former: Option<NodeId>,
}

impl Entry {
    /// Returns whether a session with these rooms wants it. Volatile events are for those who are there.
    pub fn is_for(&self, rooms: &[Room]) -> bool {
        let is_in = |named: &[Room]| named.iter().any(|room| rooms.contains(room));
        let Targets { rooms: meant, except } = &self.targets;
        !self.flags.volatile && (meant.is_empty() || is_in(meant)) && !is_in(except)
    }
}

/// What outlives a node.
pub trait Log: Send + Sync + 'static {
    /// Reads the broadcasts of a namespace behind `after`, up to and with `upto`. A broadcast that was published again, because
    /// nobody knew whether it had arrived, is among them once; what was for servers is left out.
    ///
    /// # Errors
    /// [`BusError`] when the log cannot be reached.
    fn read(&self, namespace: &str, after: Offset, upto: Offset) -> BoxFuture<'_, Result<Stretch, BusError>>;

    /// Reads what a session with these rooms has missed: those broadcasts that [`is_for`](Entry::is_for) it. A log that reads them
    /// from afar does better not to keep the others meanwhile.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_for<'a>(
        &'a self,
        namespace: &str,
        rooms: &'a [Room],
        after: Offset,
        upto: Offset,
    ) -> BoxFuture<'a, Result<Stretch, BusError>> {
        let stretch = self.read(namespace, after, upto);
        Box::pin(async move {
            let mut stretch = stretch.await?;
            stretch.entries.retain(|entry| entry.is_for(rooms));
            Ok(stretch)
        })
    }

    /// Keeps a session, for as long as [`Adapter::log`](crate::Adapter::log) was told behind the last save or refresh.
    ///
    /// # Errors
    /// [`BusError`] when the log cannot be reached: it may be kept or not.
    fn save(&self, namespace: &str, session: &Session, lease: &Lease) -> BoxFuture<'_, Result<Hold, BusError>>;

    /// Finds the session of this secret and takes it, with an epoch above all earlier ones. It stays kept, so that it can
    /// be taken again. `None` if there is none.
    ///
    /// # Errors
    /// [`BusError`] when the log cannot be reached.
    fn adopt(&self, namespace: &str, secret: &str, node: &NodeId) -> BoxFuture<'_, Result<Option<Adopted>, BusError>>;

    /// Keeps sessions for longer that have not changed: one answer for each, in their order.
    ///
    /// # Errors
    /// [`BusError`] when the log cannot be reached.
    fn refresh(
        &self,
        namespace: &str,
        sessions: &[(Arc<str>, Lease)],
    ) -> BoxFuture<'_, Result<Vec<Refreshed>, BusError>>;

    /// Forgets a session that ended for good, unless somebody else holds it.
    ///
    /// # Errors
    /// [`BusError`] when the log cannot be reached: it ends by its time.
    fn forget(&self, namespace: &str, secret: &str, lease: &Lease) -> BoxFuture<'_, Result<(), BusError>>;

    /// Returns how long sessions and events are kept.
    fn retention(&self) -> Duration;
}

/// What became of a session that was to be kept for longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// It is kept.
    Kept,
    /// Somebody else holds it.
    Taken,
    /// It is not there any more, as after a loss of the store's data: save it again.
    Lost,
}

impl Offset {
    /// The place before everything.
    pub const ZERO: Self = Self { millis: 0, counter: 0 };

    /// Returns the next possible place.
    pub const fn next(self) -> Self {
        match self.counter.checked_add(1) {
            Some(counter) => Self { millis: self.millis, counter },
            None => Self { millis: self.millis.saturating_add(1), counter: 0 },
        }
    }

    /// Returns the place before this one, as far as there can be one.
    pub const fn previous(self) -> Self {
        match (self.counter.checked_sub(1), self.millis.checked_sub(1)) {
            (Some(counter), _) => Self { millis: self.millis, counter },
            (None, Some(millis)) => Self { millis, counter: u64::MAX },
            (None, None) => self,
        }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.counter)
    }
}

impl FromStr for Offset {
    type Err = NoOffset;

    /// Reads what [`Display`](fmt::Display) writes, and nothing else: no signs, no spaces, at most 20 digits a number.
    fn from_str(text: &str) -> Result<Self, NoOffset> {
        let (millis, counter) = text.split_once('-').ok_or(NoOffset)?;
        let number = |digits: &str| {
            let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| digits.parse().ok()).flatten().ok_or(NoOffset)
        };
        Ok(Self { millis: number(millis)?, counter: number(counter)? })
    }
}

impl TryFrom<String> for Offset {
    type Error = NoOffset;

    fn try_from(text: String) -> Result<Self, NoOffset> {
        text.parse()
    }
}

impl From<Offset> for String {
    fn from(offset: Offset) -> Self {
        offset.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_as_they_are_written() {
        for text in ["0-0", "1700000000000-0", "18446744073709551615-18446744073709551615"] {
            assert_eq!(text.parse::<Offset>().map(|offset| offset.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "-", "1-", "-1", "1", "+1-0", "1-+0", " 1-0", "1-0 ", "1-0-0", "a-0", "18446744073709551616-0"]
        {
            assert_eq!(text.parse::<Offset>(), Err(NoOffset), "{text}");
        }
    }

    #[test]
    fn offsets_are_ordered_as_in_the_log() {
        let offset = |text: &str| text.parse::<Offset>().unwrap();
        assert!(offset("9-9") < offset("10-0"));
        assert!(offset("10-9") < offset("10-10"));
        assert_eq!(offset("10-9").next(), offset("10-10"));
        assert_eq!(Offset { millis: 1, counter: u64::MAX }.next(), offset("2-0"));
        for text in ["10-9", "10-0", "1-0"] {
            assert_eq!(offset(text).previous().next(), offset(text));
        }
        assert_eq!(Offset::ZERO.previous(), Offset::ZERO);
    }
}
