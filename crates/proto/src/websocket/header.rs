//! Decides what one frame header says and whether it is lawful (RFC 6455 section 5.2).
//!
//! Checks run in the order of the bytes, so a header that arrives in parts fails for the same reason as a whole one.

use super::frame::{FrameError, Sender};

/// Longest header in bytes: two, eight of extended length, four of mask.
pub(super) const MAX_HEADER_BYTES: usize = 14;

/// Largest payload of a control frame in bytes (RFC 6455 section 5.5).
const MAX_CONTROL_BYTES: u8 = 125;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn from_first_byte(byte: u8) -> Result<Self, FrameError> {
        match byte & 0x0f {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xa => Ok(Self::Pong),
            _ => Err(FrameError::ReservedOpcode),
        }
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    /// The three extension bits, RSV1 first, as the number 0 to 7; unless 0, the payload is not what it seems.
    pub(super) extension: u8,
    /// Zero for unmasked frames, which makes unmasking harmless.
    pub(super) mask: [u8; 4],
    pub(super) payload_len: u64,
    /// Length of the header itself in bytes, 2 to 14.
    pub(super) header_len: usize,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` if it is not whole yet.
    ///
    /// `in_message` says whether the direction is inside a fragmented message.
    #[inline]
    pub(super) fn read(bytes: &[u8], sender: Sender, in_message: bool) -> Result<Option<Self>, FrameError> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        let opcode = Opcode::from_first_byte(*first)?;
        let fin = first & 0x80 != 0;
        let masked = second & 0x80 != 0;
        let short_len = second & 0x7f;
        if masked != (sender == Sender::Client) {
            return Err(FrameError::WrongMasking);
        }
        match opcode {
            _ if opcode.is_control() => check_control(opcode, fin, short_len)?,
            Opcode::Continuation if !in_message => return Err(FrameError::UnexpectedContinuation),
            Opcode::Text | Opcode::Binary if in_message => return Err(FrameError::InterleavedMessage),
            _ => {}
        }
        let Some((payload_len, rest)) = read_len(short_len, rest)? else {
            return Ok(None);
        };
        let (mask, rest) = match (masked, rest.split_first_chunk::<4>()) {
            (false, _) => ([0; 4], rest),
            (true, Some((mask, rest))) => (*mask, rest),
            (true, None) => return Ok(None),
        };
        let extension = (first >> 4) & 0x07;
        let header_len = bytes.len() - rest.len();
        Ok(Some(Self { opcode, fin, extension, mask, payload_len, header_len }))
    }
}

fn check_control(opcode: Opcode, fin: bool, short_len: u8) -> Result<(), FrameError> {
    if !fin {
        return Err(FrameError::FragmentedControl);
    }
    if short_len > MAX_CONTROL_BYTES {
        return Err(FrameError::OversizedControl);
    }
    if opcode == Opcode::Close && short_len == 1 {
        return Err(FrameError::TruncatedCloseCode);
    }
    Ok(())
}

/// Reads the payload length; `None` if its bytes are not all there yet.
#[inline]
fn read_len(short_len: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, FrameError> {
    let (len, rest, smallest) = match short_len {
        126 => {
            let Some((len, rest)) = rest.split_first_chunk::<2>() else {
                return Ok(None);
            };
            (u64::from(u16::from_be_bytes(*len)), rest, 126)
        }
        127 => {
            let Some((len, rest)) = rest.split_first_chunk::<8>() else {
                return Ok(None);
            };
            (u64::from_be_bytes(*len), rest, 1 << 16)
        }
        short => (u64::from(short), rest, 0),
    };
    if len < smallest {
        return Err(FrameError::NonMinimalLength);
    }
    if len >> 63 != 0 {
        return Err(FrameError::LengthOverflow);
    }
    Ok(Some((len, rest)))
}
