//! Decides how packets look in msgpack: socket.io-msgpack-parser 3, which writes with notepack.io 2.2.
//!
//! ```text
//! {"type": 0..=4, "nsp": text, "data": …, "id": integer}
//! ```
//!
//! One message of bytes is one packet, with its bytes inside. Here it becomes what the JSON parser would have made of the
//! same values: a date is ISO text, undefined is null in a list and nothing in an object, and bytes (as bin, or as
//! extension 0 from an ArrayBuffer) are attachments.

mod date;
pub mod parts;
mod read;
mod write;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;

use super::arguments::Arguments;
use super::decoder::Decoded;
use super::packet::{Kind, MAX_ID, PLACEHOLDER, PacketError, check_event_name};
use read::{Reader, Values};

/// How deep lists and objects may lie in one another. serde_json reads 128.
pub const MAX_DEPTH: usize = 100;

/// How many attachments one packet may have. They lie in one message, so only their number has to be limited.
pub const MAX_ATTACHMENTS: usize = 1024;

/// Reads a packet. Long attachments share the bytes of the message.
///
/// # Errors
/// [`PacketError`] when the bytes are none. The session that sent them is to be closed.
pub fn decode(bytes: &Bytes) -> Result<Decoded<'_>, PacketError> {
    let mut reader = Reader::new(bytes);
    let mut kind = None;
    let mut namespace = None;
    let mut id = None;
    let mut data = Values::default();
    for _ in 0..reader.map()? {
        match &*reader.text()? {
            "type" => kind = reader.integer().map_err(|_| PacketError::UnknownType)?,
            "nsp" => namespace = Some(reader.text().map_err(|_| PacketError::Namespace)?),
            "id" => id = reader.integer()?,
            "data" => {
                data = Values::default();
                reader.value(&mut data)?;
            }
            _ => reader.value(&mut Values::default())?,
        }
    }
    if !reader.is_at_end() {
        return Err(PacketError::Msgpack);
    }
    let kind = match kind {
        Some(0) => Kind::Connect,
        Some(1) => Kind::Disconnect,
        Some(2) => Kind::Event,
        Some(3) => Kind::Ack,
        Some(4) => Kind::ConnectError,
        _ => return Err(PacketError::UnknownType),
    };
    let namespace: Cow<'_, str> = namespace.ok_or(PacketError::Namespace)?;
    let id = match id {
        None => None,
        Some(id) => Some(u64::try_from(id).ok().filter(|id| *id <= MAX_ID).ok_or(PacketError::Id)?),
    };
    Ok(Decoded { kind, namespace, id, payload: payload(kind, data)? })
}

/// Reads any one value as JSON, with its bytes beside it: what a bus between nodes carries.
///
/// # Errors
/// [`PacketError::Msgpack`] when the bytes are not one value, [`PacketError::Placeholder`] when an object in it looks like
/// the place of bytes beside real ones.
pub fn to_json(bytes: &Bytes) -> Result<(String, Vec<Bytes>), PacketError> {
    let mut reader = Reader::new(bytes);
    let mut values = Values::for_bytes(bytes.len());
    reader.value(&mut values)?;
    if !reader.is_at_end() || values.text.is_empty() {
        return Err(PacketError::Msgpack);
    }
    check_placeholders(&values)?;
    Ok((values.text, values.attachments))
}

/// Appends well-formed JSON as msgpack, with bytes in their places.
pub fn from_json(json: &str, attachments: &[Bytes], out: &mut Vec<u8>) {
    write::json(json, attachments, out);
}

/// Checks that no object only looks like the place of an attachment: it would become one.
fn check_placeholders(values: &Values) -> Result<(), PacketError> {
    if values.attachments.is_empty() {
        return Ok(());
    }
    let mark = format!("\"{PLACEHOLDER}\":true");
    let places = memchr::memmem::find_iter(values.text.as_bytes(), mark.as_bytes()).count();
    if places == values.attachments.len() { Ok(()) } else { Err(PacketError::Placeholder) }
}

/// Checks that data is what the type asks for.
fn payload(kind: Kind, data: Values) -> Result<Option<Arguments>, PacketError> {
    check_placeholders(&data)?;
    let Values { text, attachments, .. } = data;
    let is_absent = text.is_empty() || text == "null";
    let first = text.bytes().next();
    let is_fine = match kind {
        Kind::Connect => is_absent || first == Some(b'{'),
        Kind::Disconnect => is_absent,
        Kind::ConnectError => matches!(first, Some(b'{' | b'"')),
        Kind::Event | Kind::Ack => first == Some(b'['),
    };
    if !is_fine {
        return Err(PacketError::Payload);
    }
    if is_absent {
        return Ok(None);
    }
    if kind == Kind::Event {
        let mut values = serde_json::Deserializer::from_str(text.get(1..).unwrap_or_default()).into_iter();
        let name: &serde_json::value::RawValue = values.next().and_then(Result::ok).ok_or(PacketError::Payload)?;
        check_event_name(name.get())?;
    }
    let is_list = matches!(kind, Kind::Event | Kind::Ack);
    let text = if is_list { text } else { format!("[{text}]") };
    Ok(Some(Arguments::trusted(text, attachments)))
}

/// Appends a packet. For [`Kind::Connect`] and [`Kind::ConnectError`] the data is the first of the arguments.
pub fn encode(kind: Kind, namespace: &str, id: Option<u64>, arguments: Option<&Arguments>, out: &mut Vec<u8>) {
    let is_list = matches!(kind, Kind::Event | Kind::Ack);
    let data = arguments.and_then(|arguments| if is_list { Some(arguments.text()) } else { arguments.raw(0) });
    let attachments = arguments.map(Arguments::attachments).unwrap_or_default();
    let members = 2 + usize::from(data.is_some()) + usize::from(id.is_some());
    // At most four members.
    out.push(0x80 | members as u8);
    write::text("type", out);
    write::integer(
        match kind {
            Kind::Connect => 0,
            Kind::Disconnect => 1,
            Kind::Event => 2,
            Kind::Ack => 3,
            Kind::ConnectError => 4,
        },
        out,
    );
    if let Some(data) = data {
        write::text("data", out);
        write::json(data, attachments, out);
    }
    if let Some(id) = id {
        write::text("id", out);
        write::integer(id.into(), out);
    }
    write::text("nsp", out);
    write::text(namespace, out);
}
