//! Decides when the messages of an Engine.IO session make up a packet: at once, or with the last of its attachments.
//!
//! Nothing may come between a packet and its attachments. What waits for them is at most one packet with the number of
//! attachments that the owner allows, each as large as one message of the session may be.

use std::borrow::Cow;

use bytes::Bytes;

use super::arguments::Arguments;
use super::msgpack;
use super::packet::{Body, Kind, Packet, PacketError};
use super::parser::Parser;

/// A packet with all that belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded<'a> {
    /// What it is for.
    pub kind: Kind,
    /// The namespace with its leading slash; a version 4 client may put a query behind it.
    pub namespace: Cow<'a, str>,
    /// The number by which an answer names its question, at most 2^53 - 1.
    pub id: Option<u64>,
    /// The arguments of an event, the values of an answer; of the others a list with their payload alone, if they have
    /// one.
    pub payload: Option<Arguments>,
}

/// Puts packets together. Works for what clients send and for what servers send.
#[derive(Debug)]
pub struct Decoder {
    parser: Parser,
    max_attachments: usize,
    pending: Option<Box<Pending>>,
}

/// A packet whose attachments are still to come.
#[derive(Debug)]
struct Pending {
    kind: Kind,
    namespace: String,
    id: Option<u64>,
    text: String,
    attachments: Vec<Bytes>,
    /// How many are missing, at least one.
    missing: usize,
}

impl Decoder {
    /// Begins between two packets. The number of attachments of one packet is limited for the JSON parser alone, since
    /// those of msgpack lie in one message; see [`msgpack::MAX_ATTACHMENTS`].
    pub fn new(parser: Parser, max_attachments: usize) -> Self {
        Self { parser, max_attachments, pending: None }
    }

    /// Takes a text message; gives the packet if it is a whole one.
    ///
    /// # Errors
    /// [`PacketError`] when it is no packet, or attachments are due. The session is to be closed.
    pub fn handle_text<'a>(&mut self, text: &'a str) -> Result<Option<Decoded<'a>>, PacketError> {
        if self.parser == Parser::Msgpack {
            return Err(PacketError::UnexpectedText);
        }
        if self.pending.is_some() {
            return Err(PacketError::Interrupted);
        }
        let packet = Packet::parse(text, self.max_attachments)?;
        let single = |payload: &str| Arguments::trusted(format!("[{payload}]"), Vec::new());
        let (kind, payload) = match packet.body {
            Body::Event(list) | Body::Ack(list) if packet.attachments > 0 => {
                let kind = if matches!(packet.body, Body::Event(_)) { Kind::Event } else { Kind::Ack };
                self.pending = Some(Box::new(Pending {
                    kind,
                    namespace: packet.namespace.to_owned(),
                    id: packet.id,
                    text: list.to_owned(),
                    attachments: Vec::new(),
                    missing: packet.attachments,
                }));
                return Ok(None);
            }
            Body::Event(list) => (Kind::Event, Some(Arguments::trusted(list, Vec::new()))),
            Body::Ack(list) => (Kind::Ack, Some(Arguments::trusted(list, Vec::new()))),
            Body::Connect(payload) => (Kind::Connect, payload.map(|payload| single(payload.get()))),
            Body::Disconnect => (Kind::Disconnect, None),
            Body::ConnectError(payload) => (Kind::ConnectError, Some(single(payload.get()))),
        };
        Ok(Some(Decoded { kind, namespace: Cow::Borrowed(packet.namespace), id: packet.id, payload }))
    }

    /// Takes a message of bytes; gives the packet if it is the last attachment, or a packet by itself.
    ///
    /// # Errors
    /// [`PacketError`] when it is neither. The session is to be closed.
    pub fn handle_binary<'a>(&mut self, bytes: &'a Bytes) -> Result<Option<Decoded<'a>>, PacketError> {
        if self.parser == Parser::Msgpack {
            return msgpack::decode(bytes).map(Some);
        }
        let mut pending = self.pending.take().ok_or(PacketError::UnexpectedBytes)?;
        pending.attachments.push(bytes.clone());
        pending.missing -= 1;
        if pending.missing > 0 {
            self.pending = Some(pending);
            return Ok(None);
        }
        let Pending { kind, namespace, id, text, attachments, .. } = *pending;
        let payload = Some(Arguments::trusted(text, attachments));
        Ok(Some(Decoded { kind, namespace: Cow::Owned(namespace), id, payload }))
    }
}
