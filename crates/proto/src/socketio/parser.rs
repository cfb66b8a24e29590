//! Decides how a packet becomes the messages that carry it.
//!
//! The messages are the same for all who get them: encode once, send the clones.

use std::fmt::Write as _;

use bytes::Bytes;

use super::arguments::{Arguments, is_plain};
use super::msgpack;
use super::packet::{Kind, write_head};
use crate::engineio::message::Message;

/// Names how packets are written. Clients must use the same as their server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parser {
    /// Text with JSON, and bytes as messages behind it: socket.io-parser, the one that clients come with.
    #[default]
    Json,
    /// One message of bytes: socket.io-msgpack-parser.
    Msgpack,
}

impl Parser {
    /// Writes a packet: one message, or with the JSON parser one more for each attachment. They must be sent in order
    /// with nothing between them.
    ///
    /// For [`Kind::Connect`] and [`Kind::ConnectError`] the payload is the first of the arguments.
    pub fn encode(self, kind: Kind, namespace: &str, id: Option<u64>, arguments: Option<&Arguments>) -> Vec<Message> {
        if self == Self::Msgpack {
            let mut bytes = Vec::new();
            msgpack::encode(kind, namespace, id, arguments, &mut bytes);
            return vec![Message::binary(&bytes)];
        }
        let is_list = matches!(kind, Kind::Event | Kind::Ack);
        let attachments = arguments.filter(|_| is_list).map(Arguments::attachments).unwrap_or_default();
        let payload = match arguments {
            Some(arguments) if is_list => arguments.text(),
            Some(arguments) => arguments.raw(0).unwrap_or_default(),
            None => "",
        };
        json(kind, namespace, id, attachments, |head| Message::text_parts(&[head, payload]))
    }

    /// Writes an event with a text behind its arguments, as one more: what [`encode`](Self::encode) makes of
    /// [`Arguments::followed_by`], with less work where the text is plain.
    pub fn encode_followed(self, namespace: &str, arguments: &Arguments, text: &str) -> Vec<Message> {
        if self == Self::Msgpack || !is_plain(text) {
            return self.encode(Kind::Event, namespace, None, Some(&arguments.followed_by(text)));
        }
        let (list, comma) = arguments.open();
        json(Kind::Event, namespace, None, arguments.attachments(), |head| {
            Message::text_parts(&[head, list, comma, "\"", text, "\"]"])
        })
    }

    /// Writes a packet that is no list: [`Kind::Connect`] with an object or nothing, [`Kind::Disconnect`] with nothing,
    /// [`Kind::ConnectError`] with an object, or for clients of protocol 4 with any value.
    pub fn encode_control(self, kind: Kind, namespace: &str, payload: Option<&serde_json::Value>) -> Vec<Message> {
        let arguments = payload.map(|payload| {
            let mut text = String::from("[");
            // Writing to a String never fails.
            let _ = write!(text, "{payload}]");
            Arguments::trusted(text, Vec::new())
        });
        self.encode(kind, namespace, None, arguments.as_ref())
    }
}

/// Writes the head of a packet, puts the text behind it, and the attachments into messages of their own.
fn json(
    kind: Kind,
    namespace: &str,
    id: Option<u64>,
    attachments: &[Bytes],
    text: impl FnOnce(&str) -> Message,
) -> Vec<Message> {
    let mut head = String::with_capacity(namespace.len() + 32);
    write_head(kind, namespace, id, attachments.len(), &mut head);
    std::iter::once(text(&head)).chain(attachments.iter().map(|bytes| Message::binary(bytes))).collect()
}
