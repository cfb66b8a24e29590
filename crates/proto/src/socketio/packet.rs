//! Decides which packet a text message is, and how a packet is written.
//!
//! ```text
//! type [attachments "-"] [namespace ","] [id] [json]        51-/chat,7["photo",{"_placeholder":true,"num":0}]
//! ```
//!
//! The JSON of arguments is checked to be well-formed and stays text, until somebody asks for a type.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

#[cfg(test)]
mod tests;

/// Names that the libraries use for themselves; no event may have one.
const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// The largest id that JavaScript holds exactly, 2^53 - 1.
pub(super) const MAX_ID: u64 = (1 << 53) - 1;

/// A packet.
#[derive(Debug, Clone)]
pub struct Packet<'a> {
    /// The namespace with its leading slash. A version 4 client may put a query behind it.
    pub namespace: &'a str,
    /// The number by which an answer names its question, at most 2^53 - 1.
    pub id: Option<u64>,
    /// How many binary messages follow and belong to it.
    pub attachments: usize,
    /// What it says.
    pub body: Body<'a>,
}

/// What a packet says.
#[derive(Debug, Clone)]
pub enum Body<'a> {
    /// Asks to join the namespace, or says that the client has; the payload is an object.
    Connect(Option<&'a RawValue>),
    /// Leaves the namespace.
    Disconnect,
    /// An event: the JSON array of its name and arguments, at least the name.
    Event(&'a str),
    /// Answers an event that has an id: the JSON array of the values.
    Ack(&'a str),
    /// Refuses to join: an object with a message, or text.
    ConnectError(&'a RawValue),
}

/// Says why a text is no packet. The connection that sent it is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The type is none of the seven.
    #[error("an unknown packet type")]
    UnknownType,
    /// The number of attachments is malformed.
    #[error("a malformed number of attachments")]
    Attachments,
    /// It announces more attachments than are taken.
    #[error("too many attachments")]
    TooManyAttachments,
    /// The id is no whole number, or larger than JavaScript can count.
    #[error("an invalid id")]
    Id,
    /// The payload is missing, no JSON, or not what the type asks for.
    #[error("an invalid payload")]
    Payload,
    /// The event has a name that the libraries use for themselves.
    #[error("a reserved event name")]
    ReservedEvent,
    /// A placeholder names an attachment that does not come.
    #[error("a placeholder without its attachment")]
    Placeholder,
    /// A text came where attachments of the packet before are due.
    #[error("a packet before the attachments of the one before")]
    Interrupted,
    /// Bytes came that no packet announced, or that cannot be one.
    #[error("bytes that belong to no packet")]
    UnexpectedBytes,
    /// A text came where the parser takes bytes alone.
    #[error("text where packets are bytes")]
    UnexpectedText,
    /// The bytes are no msgpack map of a packet.
    #[error("malformed msgpack")]
    Msgpack,
    /// Values lie in one another deeper than is taken.
    #[error("values nested too deeply")]
    TooDeep,
    /// The namespace is no text.
    #[error("an invalid namespace")]
    Namespace,
}

impl<'a> Packet<'a> {
    /// Reads a packet with at most this many attachments; the reference takes 10.
    ///
    /// # Errors
    /// [`PacketError`] when the text is none.
    pub fn parse(text: &'a str, max_attachments: usize) -> Result<Self, PacketError> {
        let (&kind, _) = text.as_bytes().split_first().ok_or(PacketError::UnknownType)?;
        if !matches!(kind, b'0'..=b'6') {
            return Err(PacketError::UnknownType);
        }
        let mut rest = &text[1..];
        let is_binary = matches!(kind, b'5' | b'6');
        let mut attachments = 0;
        if is_binary {
            let (number, behind) = rest.split_once('-').ok_or(PacketError::Attachments)?;
            attachments = decimal(number).ok_or(PacketError::Attachments)?;
            rest = behind;
        }
        let attachments = usize::try_from(attachments).unwrap_or(usize::MAX);
        if is_binary && attachments == 0 {
            return Err(PacketError::Attachments);
        }
        if attachments > max_attachments {
            return Err(PacketError::TooManyAttachments);
        }
        let mut namespace = "/";
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let id = match digits {
            0 => None,
            _ => Some(decimal(&rest[..digits]).filter(|id| *id <= MAX_ID).ok_or(PacketError::Id)?),
        };
        let json = &rest[digits..];
        let body = match kind {
            b'0' if json.is_empty() => Body::Connect(None),
            b'0' => Body::Connect(Some(raw(json).filter(|raw| is_object(raw)).ok_or(PacketError::Payload)?)),
            b'1' if json.is_empty() => Body::Disconnect,
            b'2' | b'5' => Body::Event(event(json)?),
            b'3' | b'6' => Body::Ack(list(json)?.text),
            b'4' => {
                let payload = raw(json).filter(|raw| is_object(raw) || raw.get().starts_with('"'));
                Body::ConnectError(payload.ok_or(PacketError::Payload)?)
            }
            _ => return Err(PacketError::Payload),
        };
        if let Body::Event(list) | Body::Ack(list) = body
            && is_binary
        {
            check_placeholders(list, attachments)?;
        }
        Ok(Self { namespace, id, attachments, body })
    }
}

/// Appends the beginning of a packet, to which its JSON is to be appended.
///
/// `kind` is that of a packet without attachments; with some, an event or ack becomes its binary form.
pub fn write_head(kind: Kind, namespace: &str, id: Option<u64>, attachments: usize, out: &mut String) {
    let digit = match kind {
        Kind::Connect => '0',
        Kind::Disconnect => '1',
        Kind::Event if attachments > 0 => '5',
        Kind::Event => '2',
        Kind::Ack if attachments > 0 => '6',
        Kind::Ack => '3',
        Kind::ConnectError => '4',
    };
    out.push(digit);
    if attachments > 0 {
        out.push_str(&attachments.to_string());
        out.push('-');
    }
    if namespace != "/" {
        out.push_str(namespace);
        out.push(',');
    }
    if let Some(id) = id {
        out.push_str(&id.to_string());
    }
}

/// Names what a packet is for, whether bytes belong to it or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Joins a namespace.
    Connect,
    /// Leaves a namespace.
    Disconnect,
    /// An event.
    Event,
    /// An answer.
    Ack,
    /// A refusal to join.
    ConnectError,
}

fn decimal(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

fn raw(json: &str) -> Option<&RawValue> {
    serde_json::from_str(json).ok()
}

/// A JSON array that was found to be well-formed.
struct List<'a> {
    text: &'a str,
    first: Option<&'a RawValue>,
}

fn list(json: &str) -> Result<List<'_>, PacketError> {
    struct First;
    impl<'a> Visitor<'a> for First {
        type Value = Option<&'a RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let first = list.next_element()?;
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(first)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    let first = reader.deserialize_seq(First).and_then(|first| reader.end().map(|()| first));
    Ok(List { text: json.trim_ascii(), first: first.map_err(|_| PacketError::Payload)? })
}

fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// Returns the text of a JSON string; one that holds half a character, which JavaScript allows, stays as it is written.
pub(super) fn string(json: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let written = json.strip_prefix('"')?.strip_suffix('"')?;
    // What has no escapes is read as it is written.
    if memchr::memchr(b'\\', written.as_bytes()).is_none() {
        return Some(Cow::Borrowed(written));
    }
    Some(serde_json::from_str(json).map_or(Cow::Borrowed(written), |Text(text)| text))
}

/// Takes a list that begins as an event does.
fn event(json: &str) -> Result<&str, PacketError> {
    let list = list(json)?;
    check_event_name(list.first.ok_or(PacketError::Payload)?.get())?;
    Ok(list.text)
}

/// Says that events may have a name that is written like this: a number, or text that the libraries do not use.
pub(super) fn check_event_name(json: &str) -> Result<(), PacketError> {
    match json.as_bytes().first() {
        Some(b'"') => check_name(&string(json).ok_or(PacketError::Payload)?),
        Some(b'-' | b'0'..=b'9') => Ok(()),
        _ => Err(PacketError::Payload),
    }
}

/// Says that events may have this name.
pub(super) fn check_name(name: &str) -> Result<(), PacketError> {
    if RESERVED_EVENTS.contains(&name) { Err(PacketError::ReservedEvent) } else { Ok(()) }
}

/// The member that marks an object as the place of an attachment.
pub(super) const PLACEHOLDER: &str = "_placeholder";

/// Returns the attachment that takes the place of a value, if it is a placeholder with a whole number.
pub fn placeholder(object: &serde_json::Map<String, serde_json::Value>) -> Option<Option<usize>> {
    if object.get(PLACEHOLDER) != Some(&serde_json::Value::Bool(true)) {
        return None;
    }
    let number = object.get("num").and_then(serde_json::Value::as_u64);
    Some(number.and_then(|number| usize::try_from(number).ok()))
}

/// Says that every placeholder within names an attachment that comes.
fn check_placeholders(list: &str, attachments: usize) -> Result<(), PacketError> {
    if !list.contains(PLACEHOLDER) && !list.contains('\\') {
        return Ok(());
    }
    let value = serde_json::from_str(list).map_err(|_| PacketError::Payload)?;
    let mut waiting: Vec<&serde_json::Value> = vec![&value];
    while let Some(value) = waiting.pop() {
        match value {
            serde_json::Value::Object(object) => match placeholder(object) {
                Some(Some(number)) if number < attachments => {}
                Some(_) => return Err(PacketError::Placeholder),
                None => waiting.extend(object.values()),
            },
            serde_json::Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
    Ok(())
}
