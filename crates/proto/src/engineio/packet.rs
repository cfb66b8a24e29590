//! Decides which packet a text or a binary message is, and how a packet is written, in both protocol versions.
//!
//! A packet is a type and data. As text it is the digit of the type and the data; as bytes it is a message, with the
//! type in front of it in version 3 alone. Follows engine.io-parser 5 (version 4) and 2 (version 3).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Version;

/// Marks binary data that is written as base64, where only text passes.
const BASE64_MARK: u8 = b'b';

/// Decodes with or without padding, as the reference's decoder does.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Names what a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketType {
    /// Begins a session: the server's first packet.
    Open,
    /// Ends a session.
    Close,
    /// Asks the other side whether it is there.
    Ping,
    /// Answers a ping.
    Pong,
    /// Carries data of the application.
    Message,
    /// Moves the session to the transport that this packet came on.
    Upgrade,
    /// Has no meaning; it releases a waiting poll.
    Noop,
}

impl PacketType {
    /// Returns the digit that names the type on the wire.
    pub fn digit(self) -> u8 {
        b'0' + self.number()
    }

    /// Returns the number of the type, 0 to 6.
    pub fn number(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Close => 1,
            Self::Ping => 2,
            Self::Pong => 3,
            Self::Message => 4,
            Self::Upgrade => 5,
            Self::Noop => 6,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Open,
            1 => Self::Close,
            2 => Self::Ping,
            3 => Self::Pong,
            4 => Self::Message,
            5 => Self::Upgrade,
            6 => Self::Noop,
            _ => return None,
        })
    }

    fn from_digit(digit: u8) -> Option<Self> {
        Self::from_number(digit.checked_sub(b'0')?)
    }
}

/// The data of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data<'a> {
    /// Text; empty where a packet has no data.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What it is for.
    pub kind: PacketType,
    /// What it carries.
    pub data: Data<'a>,
}

/// Says why bytes are no packet. The session that sent them is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// There is nothing, not even a type.
    #[error("an empty packet")]
    Empty,
    /// The type is none of the seven.
    #[error("an unknown packet type")]
    UnknownType,
    /// What follows the mark of base64 is none.
    #[error("malformed base64")]
    Base64,
    /// The text of a version 3 binary payload is no UTF-8.
    #[error("text that is no UTF-8")]
    Utf8,
    /// The lengths of a version 3 payload do not fit its packets.
    #[error("a wrong packet length")]
    Length,
}

impl<'a> Packet<'a> {
    /// Makes a packet without data.
    pub fn empty(kind: PacketType) -> Self {
        Self { kind, data: Data::Text(Cow::Borrowed("")) }
    }

    /// Makes a packet of text.
    pub fn text(kind: PacketType, text: impl Into<Cow<'a, str>>) -> Self {
        Self { kind, data: Data::Text(text.into()) }
    }

    /// Makes a message of bytes.
    pub fn binary(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { kind: PacketType::Message, data: Data::Binary(bytes.into()) }
    }

    /// Reads a packet from text: a WebSocket text message, or a part of a payload.
    ///
    /// # Errors
    /// [`PacketError`] when it is none.
    pub fn from_text(version: Version, text: &'a str) -> Result<Self, PacketError> {
        let (&first, _) = text.as_bytes().split_first().ok_or(PacketError::Empty)?;
        if first == BASE64_MARK {
            return Self::from_base64(version, &text[1..]);
        }
        let kind = PacketType::from_digit(first).ok_or(PacketError::UnknownType)?;
        Ok(Self::text(kind, &text[1..]))
    }

    /// Reads a packet from bytes: a WebSocket binary message, or a part of a version 3 binary payload.
    ///
    /// # Errors
    /// [`PacketError`] when it is none; version 4 has no bytes that are none.
    pub fn from_binary(version: Version, bytes: &'a [u8]) -> Result<Self, PacketError> {
        match version {
            Version::V4 => Ok(Self::binary(bytes)),
            Version::V3 => {
                let (&number, data) = bytes.split_first().ok_or(PacketError::Empty)?;
                let kind = PacketType::from_number(number).ok_or(PacketError::UnknownType)?;
                Ok(Self { kind, data: Data::Binary(data.into()) })
            }
        }
    }

    /// Reads what follows the mark of base64: in version 3 the type and then base64, in version 4 base64 alone.
    fn from_base64(version: Version, text: &str) -> Result<Self, PacketError> {
        let (kind, encoded) = match (version, text.as_bytes()) {
            (Version::V4, bytes) => (PacketType::Message, bytes),
            (Version::V3, [digit, rest @ ..]) => {
                (PacketType::from_digit(*digit).ok_or(PacketError::UnknownType)?, rest)
            }
            (Version::V3, []) => return Err(PacketError::Empty),
        };
        let bytes = LENIENT.decode(encoded).map_err(|_| PacketError::Base64)?;
        Ok(Self { kind, data: Data::Binary(bytes.into()) })
    }

    /// Appends the packet as text, bytes as base64.
    pub fn write_text(&self, version: Version, out: &mut String) {
        let digit = char::from(self.kind.digit());
        match &self.data {
            Data::Text(text) => {
                out.push(digit);
                out.push_str(text);
            }
            Data::Binary(bytes) => {
                out.push(char::from(BASE64_MARK));
                if version == Version::V3 {
                    out.push(digit);
                }
                STANDARD.encode_string(bytes, out);
            }
        }
    }

    /// Returns whether the data is bytes: then the packet leaves as a WebSocket binary message.
    pub fn is_binary(&self) -> bool {
        matches!(self.data, Data::Binary(_))
    }

    /// Appends a packet of bytes as it stands in a binary message; one of text as its UTF-8 text.
    pub fn write_binary(&self, version: Version, out: &mut Vec<u8>) {
        match &self.data {
            Data::Text(text) => {
                out.push(self.kind.digit());
                out.extend_from_slice(text.as_bytes());
            }
            Data::Binary(bytes) => {
                if version == Version::V3 {
                    out.push(self.kind.number());
                }
                out.extend_from_slice(bytes);
            }
        }
    }

    /// Gives the packet data of its own, so that it outlives what it was read from.
    pub fn into_owned(self) -> Packet<'static> {
        let data = match self.data {
            Data::Text(text) => Data::Text(Cow::Owned(text.into_owned())),
            Data::Binary(bytes) => Data::Binary(Cow::Owned(bytes.into_owned())),
        };
        Packet { kind: self.kind, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: Version, packet: &Packet<'_>) -> String {
        let mut out = String::new();
        packet.write_text(version, &mut out);
        out
    }

    #[test]
    fn text_reads_and_writes_the_same() {
        use PacketType::{Close, Message, Noop, Open, Ping, Pong, Upgrade};
        let table = [
            ("0{}", Packet::text(Open, "{}")),
            ("1", Packet::empty(Close)),
            ("2probe", Packet::text(Ping, "probe")),
            ("3", Packet::empty(Pong)),
            ("4größe\u{2028}🐚", Packet::text(Message, "größe\u{2028}🐚")),
            ("5", Packet::empty(Upgrade)),
            ("6", Packet::empty(Noop)),
        ];
        for version in [Version::V3, Version::V4] {
            for (text, packet) in &table {
                assert_eq!(Packet::from_text(version, text).as_ref(), Ok(packet));
                assert_eq!(written(version, packet), *text);
            }
        }
    }

    #[test]
    fn bytes_travel_as_base64_where_only_text_passes() {
        let packet = Packet::binary(&[1, 2, 3, 4][..]);
        for (version, text) in [(Version::V4, "bAQIDBA=="), (Version::V3, "b4AQIDBA==")] {
            assert_eq!(written(version, &packet), text);
            assert_eq!(Packet::from_text(version, text).as_ref(), Ok(&packet));
            assert_eq!(Packet::from_text(version, text.trim_end_matches('=')).as_ref(), Ok(&packet));
        }
    }

    #[test]
    fn bytes_carry_their_type_in_version_3_alone() {
        let packet = Packet::binary(&[9, 8][..]);
        for (version, bytes) in [(Version::V4, &[9, 8][..]), (Version::V3, &[4, 9, 8])] {
            let mut out = Vec::new();
            packet.write_binary(version, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(Packet::from_binary(version, bytes).as_ref(), Ok(&packet));
        }
    }

    #[test]
    fn what_is_no_packet_is_an_error() {
        let table = [
            (Version::V4, "", PacketError::Empty),
            (Version::V4, "7", PacketError::UnknownType),
            (Version::V4, "/", PacketError::UnknownType),
            (Version::V4, "ß", PacketError::UnknownType),
            (Version::V4, "b%", PacketError::Base64),
            (Version::V3, "b", PacketError::Empty),
            (Version::V3, "b9AQ==", PacketError::UnknownType),
            (Version::V3, "b4A", PacketError::Base64),
        ];
        for (version, text, error) in table {
            assert_eq!(Packet::from_text(version, text), Err(error), "{text:?}");
        }
        assert_eq!(Packet::from_binary(Version::V3, &[]), Err(PacketError::Empty));
        assert_eq!(Packet::from_binary(Version::V3, &[b'4', 1]), Err(PacketError::UnknownType));
    }
}
