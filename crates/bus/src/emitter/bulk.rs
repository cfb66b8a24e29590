//! Decides how events leave for who emits many: those of a batch in one write, and their answers are read together.

use std::fmt;
use std::mem;

use limpet_proto::resp::{self, Frame};
use limpet_proto::socketio::arguments::Arguments;
use serde::Serialize;

use super::{Emitter, Form, RESPONSE_TIMEOUT, UID, event, malformed};
use crate::adapter::BusError;
use crate::redis::direct::Direct;
use crate::redis::streams::Bulk as Streams;
use crate::redis::{Address, message};

/// How many events wait, and how many bytes; one that is longer waits alone.
const MAX_WAITING: (usize, usize) = (512, 128 * 1024);

/// Emits many events over a connection of its own. Nothing is sent before it [is told to](Self::send), and up to 512 events or
/// 128 KiB wait for that. What waits when it is dropped is not sent.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use limpet_bus::Emitter;
///
/// let lobby = Emitter::connect("redis://127.0.0.1:6379").await?.to("lobby");
/// let mut bulk = lobby.bulk().await?;
/// for number in 0..100_000 {
///     if bulk.is_full() {
///         bulk.send().await?;
///     }
///     bulk.add(&lobby, "news", number)?;
/// }
/// bulk.send().await?;
/// # Ok(())
/// # }
/// ```
pub struct Bulk {
    way: Way,
    /// How many events wait, and how long they are together.
    events: usize,
    bytes: usize,
}

/// How Redis is reached.
enum Way {
    Publish {
        connection: Box<Direct>,
        /// The commands that wait.
        out: Vec<u8>,
        /// Of each of them, to which event it belongs.
        owners: Vec<usize>,
    },
    Streams(Box<Streams>),
}

/// Says which event Redis did not take, and why. Those before it were taken; those behind it may have been, and it too when the
/// connection broke.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unsent {
    /// The place of the event among those that waited, from 0.
    pub index: usize,
    /// What went wrong.
    #[source]
    pub error: BusError,
}

impl Bulk {
    pub(super) async fn open(address: Address, form: &Form) -> Result<Self, BusError> {
        let way = match form {
            Form::Streams(emitting) => Way::Streams(Box::new(Streams::new(address, emitting.options()))),
            // Whatever node of a cluster it leads to tells the others.
            Form::Node { .. } | Form::Python { .. } => {
                let connection = Direct::connect(address, "", RESPONSE_TIMEOUT).await;
                let connection = connection.map_err(|error| BusError::Failed(Box::new(error)))?;
                Way::Publish { connection: Box::new(connection), out: Vec::new(), owners: Vec::new() }
            }
        };
        Ok(Self { way, events: 0, bytes: 0 })
    }

    /// Returns whether no more events can be added before those that wait are sent.
    pub fn is_full(&self) -> bool {
        self.events >= MAX_WAITING.0 || self.bytes >= MAX_WAITING.1
    }

    /// Returns how many events wait.
    pub fn len(&self) -> usize {
        self.events
    }

    /// Returns whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Adds an event for whom the emitter means, which is the one that this was made of, or comes of it. A tuple is several
    /// arguments.
    ///
    /// # Errors
    /// [`BusError::Malformed`] when the arguments are no JSON, [`BusError::Unsupported`] when the name is reserved,
    /// [`BusError::Full`] when [too much waits](Self::is_full).
    pub fn add(&mut self, emitter: &Emitter, name: &str, arguments: impl Serialize) -> Result<(), BusError> {
        self.add_arguments(emitter, Arguments::event(name, &arguments).map_err(malformed)?)
    }

    /// Adds an event that is one JSON array, its name first.
    ///
    /// # Errors
    /// As [`add`](Self::add), and [`BusError::Malformed`] when it is none.
    pub fn add_json(&mut self, emitter: &Emitter, text: &str) -> Result<(), BusError> {
        self.add_arguments(emitter, event(text)?)
    }

    fn add_arguments(&mut self, emitter: &Emitter, arguments: Arguments) -> Result<(), BusError> {
        if self.is_full() {
            return Err(BusError::Full);
        }
        let message = emitter.message(arguments)?;
        self.bytes += match &mut self.way {
            Way::Publish { out, owners, .. } => {
                let before = out.len();
                for (channel, body) in emitter.published(&message)? {
                    resp::write_command(&[b"PUBLISH", channel.as_bytes(), &body], out);
                    owners.push(self.events);
                }
                out.len() - before
            }
            Way::Streams(streams) => match message::write(&message)? {
                Some(written) => streams.add(self.events, &emitter.namespace, written)?,
                None => 0,
            },
        };
        self.events += 1;
        Ok(())
    }

    /// Sends what waits, and ends when Redis has taken all of it. Then nothing waits any more, also after an error.
    ///
    /// # Errors
    /// [`Unsent`] with the first event that Redis did not take.
    pub async fn send(&mut self) -> Result<(), Unsent> {
        let events = mem::take(&mut self.events);
        self.bytes = 0;
        if events == 0 {
            return Ok(());
        }
        let sent = match &mut self.way {
            Way::Publish { connection, out, owners } => {
                let mut answered = 0;
                let take = |number, _: &Frame<'_>| {
                    answered = number + 1;
                    Ok(())
                };
                let sent = connection.exchange(out, owners.len(), take).await;
                let first = owners.get(answered).copied().unwrap_or_default();
                out.clear();
                out.shrink_to(MAX_WAITING.1 * 2);
                owners.clear();
                sent.map_err(|error| (first, BusError::Failed(Box::new(error))))
            }
            Way::Streams(streams) => streams.send(UID).await,
        };
        sent.map_err(|(index, error)| Unsent { index, error })
    }
}

impl fmt::Debug for Bulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulk").field("events", &self.events).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
