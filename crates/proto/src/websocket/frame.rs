//! Decides where the frames of one direction of a WebSocket connection begin and end (RFC 6455 section 5).
//!
//! Payloads are never buffered: the cursor keeps a partial header, or how much of a payload is still to come. Bytes
//! fed in any pieces give the same sum of results as the same bytes fed at once.

#[cfg(test)]
mod tests;

use super::header::{Header, MAX_HEADER_BYTES, Opcode};

/// Close code that stands for a Close frame without one (RFC 6455 section 7.1.5).
const NO_STATUS: u16 = 1005;

/// Says who sends the bytes of a direction, which decides whether its frames must be masked (RFC 6455 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The side that asked for the upgrade; all its frames are masked.
    Client,
    /// The side that answered 101; none of its frames is masked.
    Server,
}

/// Names an Engine.IO heartbeat packet, seen as a whole unfragmented text message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// The message `2`.
    Ping,
    /// The message `3`.
    Pong,
}

/// Tells what ended within the bytes of one [`Cursor::handle_bytes`] call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Data messages whose last frame ended; control frames do not count.
    pub messages: u32,
    /// The last heartbeat that ended. Fragmented messages and frames with an extension bit are not looked into.
    pub heartbeat: Option<Heartbeat>,
    /// The status code of the first Close frame that ended, unmasked; 1005 if it had no payload. Any value is passed on.
    pub close_code: Option<u16>,
}

/// Says why a direction cannot be followed any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The opcode is one of 3 to 7 or 11 to 15 (RFC 6455 section 5.2).
    #[error("reserved opcode")]
    ReservedOpcode,
    /// A client's frame is unmasked, or a server's frame is masked (RFC 6455 section 5.1).
    #[error("wrong masking for the direction")]
    WrongMasking,
    /// A control frame is longer than 125 bytes (RFC 6455 section 5.5).
    #[error("control frame over 125 bytes")]
    OversizedControl,
    /// A control frame lacks the FIN bit (RFC 6455 section 5.5).
    #[error("fragmented control frame")]
    FragmentedControl,
    /// A Close frame's payload is one byte, half a status code (RFC 6455 section 5.5.1).
    #[error("close payload of one byte")]
    TruncatedCloseCode,
    /// A length is written in more bytes than it needs (RFC 6455 section 5.2).
    #[error("length not in its shortest form")]
    NonMinimalLength,
    /// A 64-bit length has its top bit set (RFC 6455 section 5.2).
    #[error("length with the top bit set")]
    LengthOverflow,
    /// A continuation frame comes without a message to continue (RFC 6455 section 5.4).
    #[error("continuation without a message")]
    UnexpectedContinuation,
    /// A new data frame comes inside a fragmented message (RFC 6455 section 5.4).
    #[error("new message inside a fragmented message")]
    InterleavedMessage,
}

/// Follows the frames of one direction. Two of these live in every tunnel, so it is kept within 24 bytes.
#[derive(Debug, Clone)]
pub struct Cursor {
    state: State,
    sender: Sender,
    in_message: bool,
}

const _: () = assert!(size_of::<Cursor>() <= 24);

/// A partial header and the rest of a payload never exist at once, so they share their place.
#[derive(Debug, Clone, Copy)]
enum State {
    Header { held: u8, bytes: [u8; MAX_HEADER_BYTES] },
    Payload { remaining: u64, ends_message: bool },
    SingleCharacter { mask: u8 },
    Close { taken: u8, len: u8, mask: [u8; 2], code: [u8; 2] },
    Failed(FrameError),
}

impl State {
    const BOUNDARY: Self = Self::Header { held: 0, bytes: [0; MAX_HEADER_BYTES] };
}

impl Cursor {
    /// Starts at the first byte behind the handshake.
    pub fn new(sender: Sender) -> Self {
        Self { state: State::BOUNDARY, sender, in_message: false }
    }

    /// Follows the next bytes of the direction.
    ///
    /// # Errors
    /// The first breach of the protocol, and the same one on every later call. What ended before it within the same
    /// bytes is not reported.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<Progress, FrameError> {
        let mut progress = Progress::default();
        match self.follow(bytes, &mut progress) {
            Ok(()) => Ok(progress),
            Err(error) => {
                self.state = State::Failed(error);
                Err(error)
            }
        }
    }

    /// Says whether the last byte ended a frame, so that a control frame may be inserted here. It may lie between two
    /// fragments of a message. False for good after an error.
    pub fn at_boundary(&self) -> bool {
        matches!(self.state, State::Header { held: 0, .. })
    }

    fn follow(&mut self, mut bytes: &[u8], progress: &mut Progress) -> Result<(), FrameError> {
        while let Some((&first, behind_first)) = bytes.split_first() {
            bytes = match &mut self.state {
                State::Header { held, bytes: kept } => {
                    let before = usize::from(*held);
                    let readable = if before == 0 { bytes } else { append(kept, before, bytes) };
                    let Some(header) = Header::read(readable, self.sender, self.in_message)? else {
                        // A header that is not whole has swallowed all bytes, and is shorter than the longest one.
                        *held = append(kept, before, bytes).len() as u8;
                        return Ok(());
                    };
                    // What was held was not a whole header, so `before` is the smaller number.
                    let payload = bytes.get(header.header_len - before..).unwrap_or_default();
                    self.begin_payload(&header, payload, progress)
                }
                State::Payload { remaining, ends_message } => {
                    let available = bytes.len() as u64;
                    if available < *remaining {
                        *remaining -= available;
                        return Ok(());
                    }
                    let (_, behind) = bytes.split_at(*remaining as usize);
                    progress.messages += u32::from(*ends_message);
                    self.state = State::BOUNDARY;
                    behind
                }
                State::SingleCharacter { mask } => {
                    progress.messages += 1;
                    match first ^ *mask {
                        b'2' => progress.heartbeat = Some(Heartbeat::Ping),
                        b'3' => progress.heartbeat = Some(Heartbeat::Pong),
                        _ => {}
                    }
                    self.state = State::BOUNDARY;
                    behind_first
                }
                State::Close { taken, len, mask, code } => {
                    if let (Some(byte), Some(mask)) = (code.get_mut(usize::from(*taken)), mask.get(usize::from(*taken)))
                    {
                        *byte = first ^ mask;
                    }
                    *taken += 1;
                    if taken == len {
                        progress.close_code.get_or_insert_with(|| u16::from_be_bytes(*code));
                        self.state = State::BOUNDARY;
                    }
                    behind_first
                }
                State::Failed(error) => return Err(*error),
            };
        }
        Ok(())
    }

    /// Takes a whole header and gives the bytes behind what it could take of the payload.
    #[inline]
    fn begin_payload<'a>(&mut self, header: &Header, rest: &'a [u8], progress: &mut Progress) -> &'a [u8] {
        let ends_message = header.fin && !header.opcode.is_control();
        if !header.opcode.is_control() {
            self.in_message = !header.fin;
        }
        let [mask0, mask1, ..] = header.mask;
        match (header.opcode, header.payload_len) {
            (Opcode::Text, 1) if header.fin && header.extension == 0 => {
                self.state = State::SingleCharacter { mask: mask0 };
                rest
            }
            (Opcode::Close, 0) => {
                progress.close_code.get_or_insert(NO_STATUS);
                self.state = State::BOUNDARY;
                rest
            }
            (Opcode::Close, len) => {
                // A control frame's length was checked to be at most 125.
                self.state = State::Close { taken: 0, len: len as u8, mask: [mask0, mask1], code: [0; 2] };
                rest
            }
            (_, len) => {
                let available = rest.len() as u64;
                if len > available {
                    self.state = State::Payload { remaining: len - available, ends_message };
                    return &[];
                }
                progress.messages += u32::from(ends_message);
                self.state = State::BOUNDARY;
                rest.get(len as usize..).unwrap_or_default()
            }
        }
    }
}

/// Gives the payload of the unfragmented, unmasked text frame that lies whole at the start of `bytes`.
///
/// Frames with an extension bit give `None`, since their payload may be compressed. The payload is not checked to be
/// UTF-8.
pub fn first_text(bytes: &[u8]) -> Option<&[u8]> {
    let header = Header::read(bytes, Sender::Server, false).ok()??;
    if header.opcode != Opcode::Text || !header.fin || header.extension != 0 {
        return None;
    }
    let payload = bytes.get(header.header_len..)?;
    payload.get(..usize::try_from(header.payload_len).ok()?)
}

/// Puts as many of `bytes` behind the first `before` as have room, and gives all that is kept then.
fn append<'a>(kept: &'a mut [u8; MAX_HEADER_BYTES], before: usize, bytes: &[u8]) -> &'a [u8] {
    for (slot, byte) in kept.iter_mut().skip(before).zip(bytes) {
        *slot = *byte;
    }
    let len = before.saturating_add(bytes.len()).min(MAX_HEADER_BYTES);
    kept.get(..len).unwrap_or_default()
}
