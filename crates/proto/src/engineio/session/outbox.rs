//! Decides what waits to be sent, how much of it may, and how it is taken out all at once.

use std::collections::VecDeque;

use super::Config;
use crate::engineio::message::Message;
use crate::engineio::packet::PacketType;

/// A packet that is to be sent.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// The open packet with its data.
    Open(Box<String>),
    /// Ends the session.
    Close,
    /// Asks whether the client is there.
    Ping,
    /// Answers a ping.
    Pong,
    /// Releases a GET.
    Noop,
    /// A message of the application.
    Message(Message),
}

impl Outgoing {
    /// Returns the type of the packet.
    pub fn kind(&self) -> PacketType {
        match self {
            Self::Open(_) => PacketType::Open,
            Self::Close => PacketType::Close,
            Self::Ping => PacketType::Ping,
            Self::Pong => PacketType::Pong,
            Self::Noop => PacketType::Noop,
            Self::Message(_) => PacketType::Message,
        }
    }
}

/// Packets in their order. One alone, which is the rule, costs no allocation.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Empty only if all is.
    first: Option<Outgoing>,
    rest: VecDeque<Outgoing>,
}

impl Batch {
    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Gives the packets without taking them.
    pub fn iter(&self) -> impl Iterator<Item = &Outgoing> {
        self.first.iter().chain(&self.rest)
    }

    pub(super) fn push(&mut self, packet: Outgoing) {
        match self.first {
            None => self.first = Some(packet),
            Some(_) => self.rest.push_back(packet),
        }
    }
}

impl IntoIterator for Batch {
    type Item = Outgoing;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Outgoing>, std::collections::vec_deque::IntoIter<Outgoing>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    batch: Batch,
    bytes: usize,
}

impl Outbox {
    /// Says whether the messages may wait as well; with none, whether one packet without data may.
    pub(super) fn has_room(&self, config: &Config, messages: &[Message]) -> bool {
        let bytes: usize = messages.iter().map(|message| message.payload().len()).sum();
        let fits_bytes = self.bytes == 0 || self.bytes.saturating_add(bytes) <= config.max_queued_bytes;
        let fits_count = self.batch.len() + messages.len().max(1) <= config.max_queued_messages;
        self.batch.is_empty() || (fits_bytes && fits_count)
    }

    pub(super) fn push(&mut self, packet: Outgoing) {
        if let Outgoing::Message(message) = &packet {
            self.bytes += message.payload().len();
        }
        self.batch.push(packet);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.batch.len()
    }

    pub(super) fn take(&mut self) -> Batch {
        self.bytes = 0;
        std::mem::take(&mut self.batch)
    }
}
