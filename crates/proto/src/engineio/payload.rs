//! Decides how packets share the body of one polling request or response.
//!
//! Version 4 joins packets with a byte that no packet may begin or end with. Version 3 puts the length before each,
//! in UTF-16 units where the body is text; with packets of bytes in it, and a client that takes them, the body is
//! binary. Reading stops at the first error: the packets before it count.

#[cfg(test)]
mod tests;
mod v3;

use super::Version;
use super::packet::{Packet, PacketError};

/// Separates the packets of a version 4 body.
const SEPARATOR: char = '\u{1e}';

/// A body as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// A body of text.
    Text(&'a str),
    /// A body of bytes; version 3 alone has these.
    Binary(&'a [u8]),
}

/// Reads the packets of a body, each in its turn.
#[derive(Debug, Clone)]
pub struct Packets<'a>(Rest<'a>);

#[derive(Debug, Clone)]
enum Rest<'a> {
    Separated(Option<&'a str>),
    Text(v3::Text<'a>),
    Binary(v3::Binary<'a>),
    /// After an error nothing follows.
    Nothing,
}

/// Begins to read a body.
///
/// # Errors
/// [`PacketError::Empty`] for a body without a packet, [`PacketError::UnknownType`] for bytes in version 4.
pub fn read<'a>(version: Version, body: Body<'a>) -> Result<Packets<'a>, PacketError> {
    Ok(Packets(match (version, body) {
        (_, Body::Text("") | Body::Binary([])) => return Err(PacketError::Empty),
        (Version::V4, Body::Text(text)) => Rest::Separated(Some(text)),
        (Version::V4, Body::Binary(_)) => return Err(PacketError::UnknownType),
        (Version::V3, Body::Text(text)) => Rest::Text(v3::Text::new(text)),
        (Version::V3, Body::Binary(bytes)) => Rest::Binary(v3::Binary::new(bytes)),
    }))
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, PacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        let packet = match &mut self.0 {
            Rest::Separated(rest) => {
                let text = (*rest)?;
                let (packet, behind) = match text.split_once(SEPARATOR) {
                    Some((packet, behind)) => (packet, Some(behind)),
                    None => (text, None),
                };
                *rest = behind;
                Some(Packet::from_text(Version::V4, packet))
            }
            Rest::Text(rest) => rest.next(),
            Rest::Binary(rest) => rest.next(),
            Rest::Nothing => None,
        };
        if matches!(packet, Some(Err(_))) {
            self.0 = Rest::Nothing;
        }
        packet
    }
}

/// A body to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// To be sent as `text/plain; charset=UTF-8`.
    Text(String),
    /// To be sent as `application/octet-stream`.
    Binary(Vec<u8>),
}

/// Writes packets as one body. `takes_binary` says that a version 3 client takes bytes (it did not send `b64`).
pub fn write(version: Version, packets: &[Packet<'_>], takes_binary: bool) -> Written {
    match version {
        Version::V4 => {
            let mut out = String::new();
            for (n, packet) in packets.iter().enumerate() {
                if n > 0 {
                    out.push(SEPARATOR);
                }
                packet.write_text(version, &mut out);
            }
            Written::Text(out)
        }
        Version::V3 if takes_binary && packets.iter().any(Packet::is_binary) => {
            Written::Binary(v3::write_binary(packets))
        }
        Version::V3 => Written::Text(v3::write_text(packets)),
    }
}
