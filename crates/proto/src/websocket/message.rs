//! Decides which messages the frames of one direction carry, and how messages are written as frames (RFC 6455
//! sections 5 and 6).
//!
//! A decoder holds the message that is under way and nothing else. Bytes in any pieces give the same messages.

#[cfg(test)]
mod tests;

use super::close::CloseCode;
use super::frame::{FrameError, Sender};
use super::header::{Header, MAX_HEADER_BYTES, Opcode};
use super::mask;

/// The extension bit that marks a compressed message (RFC 7692 section 6).
const COMPRESSED: u8 = 0b100;

/// How much is set aside for a message before its bytes have come: a length alone must cost nothing.
const MOST_SET_ASIDE: usize = 64 * 1024;

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A text message.
    Text(String),
    /// A message of bytes.
    Binary(Vec<u8>),
    /// A message that is compressed, to be inflated and then checked.
    Compressed {
        /// Whether it is text.
        text: bool,
        /// The compressed bytes.
        bytes: Vec<u8>,
    },
    /// A ping, to be answered by a pong with the same bytes, at most 125.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// The end: the code, 1005 without one, and the reason. Nothing follows.
    Close(CloseCode, String),
}

/// Why a direction has to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A frame breaks the protocol.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// An extension bit is set that was not negotiated (RFC 6455 section 5.2).
    #[error("an extension bit that was not negotiated")]
    Extension,
    /// A message is longer than is taken.
    #[error("a message that is too large")]
    TooBig,
    /// Text is not UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
    /// A Close frame has a code that must not be sent (RFC 6455 section 7.4).
    #[error("an invalid close code")]
    CloseCode,
}

impl MessageError {
    /// Returns the code to close the connection with.
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::Frame(_) | Self::Extension | Self::CloseCode => CloseCode::PROTOCOL_ERROR,
            Self::TooBig => CloseCode::TOO_BIG,
            Self::Utf8 => CloseCode::INVALID_PAYLOAD,
        }
    }
}

/// Reads the messages of one direction.
#[derive(Debug)]
pub struct Decoder {
    sender: Sender,
    max_message_bytes: usize,
    /// Whether compressed messages were negotiated.
    takes_compressed: bool,
    state: State,
    /// What has come of a fragmented data message, and what it is.
    message: Vec<u8>,
    kind: Option<Kind>,
    /// What has come of a control frame; it may lie within a message.
    control: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Kind {
    text: bool,
    compressed: bool,
}

#[derive(Debug)]
enum State {
    Header { held: usize, bytes: [u8; MAX_HEADER_BYTES] },
    Payload { header: Header, taken: usize },
    Over,
}

impl State {
    const BOUNDARY: Self = Self::Header { held: 0, bytes: [0; MAX_HEADER_BYTES] };
}

impl Decoder {
    /// Starts at the first byte behind the handshake. `max_message_bytes` bounds each message and what it can cost.
    pub fn new(sender: Sender, max_message_bytes: usize, takes_compressed: bool) -> Self {
        Self {
            sender,
            max_message_bytes,
            takes_compressed,
            state: State::BOUNDARY,
            message: Vec::new(),
            kind: None,
            control: Vec::new(),
        }
    }

    /// Takes bytes from the front of `input` until a message is whole or all are taken. After a Close and after an error
    /// everything is taken and nothing comes.
    ///
    /// # Errors
    /// [`MessageError`]; the connection is to be closed with its [code](MessageError::close_code).
    pub fn handle_bytes(&mut self, input: &mut &[u8]) -> Result<Option<Message>, MessageError> {
        let result = self.take(input);
        if matches!(result, Err(_) | Ok(Some(Message::Close(..)))) {
            self.state = State::Over;
            self.message = Vec::new();
        }
        result
    }

    fn take(&mut self, input: &mut &[u8]) -> Result<Option<Message>, MessageError> {
        loop {
            match &mut self.state {
                State::Over => {
                    *input = &[];
                    return Ok(None);
                }
                State::Header { held, bytes } => {
                    let before = *held;
                    let more = input.len().min(MAX_HEADER_BYTES - before);
                    bytes[before..before + more].copy_from_slice(&input[..more]);
                    *held += more;
                    let Some(header) = Header::read(&bytes[..*held], self.sender, self.kind.is_some())? else {
                        *input = &input[more..];
                        return Ok(None);
                    };
                    *input = &input[header.header_len - before..];
                    self.begin(&header)?;
                    self.state = State::Payload { header, taken: 0 };
                }
                State::Payload { header, taken } => {
                    // A data frame's length was checked against the limit, a control frame's against 125.
                    let length = header.payload_len as usize;
                    let count = input.len().min(length - *taken);
                    let (payload, behind) = input.split_at(count);
                    let target = if header.opcode.is_control() { &mut self.control } else { &mut self.message };
                    let from = target.len();
                    target.extend_from_slice(payload);
                    mask::apply(header.mask, *taken, &mut target[from..]);
                    *input = behind;
                    *taken += count;
                    if *taken < length {
                        return Ok(None);
                    }
                    let header = *header;
                    self.state = State::BOUNDARY;
                    if let Some(message) = self.end(&header)? {
                        return Ok(Some(message));
                    }
                }
            }
        }
    }

    /// Checks a whole header and makes room for its payload.
    fn begin(&mut self, header: &Header) -> Result<(), MessageError> {
        let compressed = header.extension == COMPRESSED;
        let begins_message = matches!(header.opcode, Opcode::Text | Opcode::Binary);
        if header.extension != 0 && !(compressed && self.takes_compressed && begins_message) {
            return Err(MessageError::Extension);
        }
        if header.opcode.is_control() {
            return Ok(());
        }
        if begins_message {
            self.kind = Some(Kind { text: header.opcode == Opcode::Text, compressed });
        }
        let length = usize::try_from(header.payload_len).map_err(|_| MessageError::TooBig)?;
        if length > self.max_message_bytes.saturating_sub(self.message.len()) {
            return Err(MessageError::TooBig);
        }
        self.message.reserve(length.min(MOST_SET_ASIDE));
        Ok(())
    }

    /// Takes the end of a frame; returns the message that ends with it.
    fn end(&mut self, header: &Header) -> Result<Option<Message>, MessageError> {
        if header.opcode.is_control() {
            let control = std::mem::take(&mut self.control);
            return Ok(Some(match header.opcode {
                Opcode::Ping => Message::Ping(control),
                Opcode::Pong => Message::Pong(control),
                _ => close(&control)?,
            }));
        }
        if !header.fin {
            return Ok(None);
        }
        let bytes = std::mem::take(&mut self.message);
        let message = self.kind.take().map(|kind| match kind {
            Kind { compressed: true, text } => Ok(Message::Compressed { text, bytes }),
            Kind { text: true, .. } => String::from_utf8(bytes).map(Message::Text).map_err(|_| MessageError::Utf8),
            Kind { text: false, .. } => Ok(Message::Binary(bytes)),
        });
        message.transpose()
    }
}

fn close(payload: &[u8]) -> Result<Message, MessageError> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        // A payload of one byte was refused with its header.
        return Ok(Message::Close(CloseCode::NO_STATUS, String::new()));
    };
    let code = CloseCode(u16::from_be_bytes(*code));
    if !code.is_sendable() {
        return Err(MessageError::CloseCode);
    }
    let reason = str::from_utf8(reason).map_err(|_| MessageError::Utf8)?;
    Ok(Message::Close(code, reason.to_owned()))
}

/// What a data or control frame carries, to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text.
    Text,
    /// Bytes.
    Binary,
    /// A ping; at most 125 bytes.
    Ping,
    /// A pong; at most 125 bytes.
    Pong,
}

/// Appends a whole message as one frame, masked if it goes towards a server. `compressed` says that the payload is
/// (RFC 7692), which a control frame never is. A Close frame is written by [`close_frame`](super::close::close_frame).
pub fn write(form: Form, compressed: bool, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    write_head(form, compressed, payload.len(), mask, out);
    let from = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        mask::apply(mask, 0, &mut out[from..]);
    }
}

/// Appends the header of a frame that is a whole message, so that a payload which many share need not be copied.
pub fn write_head(form: Form, compressed: bool, payload_bytes: usize, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let opcode = match form {
        Form::Text => 0x1,
        Form::Binary => 0x2,
        Form::Ping => 0x9,
        Form::Pong => 0xa,
    };
    out.push(0x80 | if compressed { COMPRESSED << 4 } else { 0 } | opcode);
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload_bytes {
        0..=125 => out.push(masked | payload_bytes as u8),
        126..=0xffff => {
            out.push(masked | 126);
            out.extend_from_slice(&(payload_bytes as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
    out.extend(mask.into_iter().flatten());
}
