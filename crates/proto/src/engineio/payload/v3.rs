//! The bodies of version 3, whose packets have their length in front.

use crate::engineio::Version;
use crate::engineio::packet::{Packet, PacketError};

/// Most digits of a length; the reference stops at 310, and ours must fit a number.
const MAX_DIGITS: usize = 15;

/// Begins a packet of text in a body of bytes.
const IS_TEXT: u8 = 0;

/// Begins a packet of bytes in a body of bytes.
const IS_BINARY: u8 = 1;

/// Ends the length in a body of bytes.
const LENGTH_END: u8 = 0xff;

/// What is left of a body of text: `4:4abc`, lengths in UTF-16 units.
#[derive(Debug, Clone)]
pub(super) struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(text)
    }

    pub(super) fn next(&mut self) -> Option<Result<Packet<'a>, PacketError>> {
        while !self.0.is_empty() {
            match self.split() {
                // A length of zero stands for no packet.
                Ok("") => {}
                Ok(packet) => return Some(Packet::from_text(Version::V3, packet)),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }

    fn split(&mut self) -> Result<&'a str, PacketError> {
        let (digits, rest) = self.0.split_once(':').ok_or(PacketError::Length)?;
        if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(PacketError::Length);
        }
        let units: usize = digits.parse().map_err(|_| PacketError::Length)?;
        let end = utf16_prefix(rest, units).ok_or(PacketError::Length)?;
        let (packet, behind) = rest.split_at(end);
        self.0 = behind;
        Ok(packet)
    }
}

/// Returns how many bytes hold the first `units` UTF-16 units, or `None` when there are fewer or a pair is cut.
fn utf16_prefix(text: &str, units: usize) -> Option<usize> {
    if text.len() >= units && text.as_bytes()[..units].is_ascii() {
        return Some(units);
    }
    let mut left = units;
    for (at, character) in text.char_indices() {
        if left == 0 {
            return Some(at);
        }
        left = left.checked_sub(character.len_utf16())?;
    }
    (left == 0).then_some(text.len())
}

/// What is left of a body of bytes: 0 or 1, the digits of the length as bytes 0 to 9, 255 and the packet.
#[derive(Debug, Clone)]
pub(super) struct Binary<'a>(&'a [u8]);

impl<'a> Binary<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn next(&mut self) -> Option<Result<Packet<'a>, PacketError>> {
        if self.0.is_empty() {
            return None;
        }
        Some(self.split())
    }

    fn split(&mut self) -> Result<Packet<'a>, PacketError> {
        let (&form, rest) = self.0.split_first().ok_or(PacketError::Length)?;
        let digits = rest.iter().position(|byte| *byte == LENGTH_END).ok_or(PacketError::Length)?;
        if digits == 0 || digits > MAX_DIGITS || rest[..digits].iter().any(|digit| *digit > 9) {
            return Err(PacketError::Length);
        }
        let length = rest[..digits].iter().fold(0_u64, |length, digit| length * 10 + u64::from(*digit));
        let length = usize::try_from(length).map_err(|_| PacketError::Length)?;
        let (packet, behind) = rest[digits + 1..].split_at_checked(length).ok_or(PacketError::Length)?;
        self.0 = behind;
        match form {
            IS_TEXT => Packet::from_text(Version::V3, str::from_utf8(packet).map_err(|_| PacketError::Utf8)?),
            IS_BINARY => Packet::from_binary(Version::V3, packet),
            _ => Err(PacketError::UnknownType),
        }
    }
}

/// Writes a body of text.
pub(super) fn write_text(packets: &[Packet<'_>]) -> String {
    let mut out = String::new();
    let mut text = String::new();
    for packet in packets {
        text.clear();
        packet.write_text(Version::V3, &mut text);
        let units: usize = text.chars().map(char::len_utf16).sum();
        out.push_str(&units.to_string());
        out.push(':');
        out.push_str(&text);
    }
    if packets.is_empty() {
        out.push_str("0:");
    }
    out
}

/// Writes a body of bytes.
pub(super) fn write_binary(packets: &[Packet<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut packet_bytes = Vec::new();
    for packet in packets {
        packet_bytes.clear();
        packet.write_binary(Version::V3, &mut packet_bytes);
        out.push(if packet.is_binary() { IS_BINARY } else { IS_TEXT });
        // The reference counts the UTF-16 units of a "binary string", which has one for each byte of UTF-8.
        out.extend(packet_bytes.len().to_string().bytes().map(|digit| digit - b'0'));
        out.push(LENGTH_END);
        out.extend_from_slice(&packet_bytes);
    }
    out
}
