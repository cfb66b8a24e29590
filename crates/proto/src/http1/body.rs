//! Follows the framing of a body and yields its payload (RFC 9112 sections 6 and 7).
//!
//! Chunk extensions and trailers are checked for their line ends and dropped, as section 7.1.1 and
//! RFC 9110 section 6.5.1 allow, so nothing that only one side understands is passed on.

/// The longest chunk-size line with its extensions, and the longest trailer line.
const MAX_LINE_BYTES: u32 = 4 * 1024;

/// The longest trailer section.
const MAX_TRAILER_BYTES: u32 = 16 * 1024;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body at all.
    Empty,
    /// After this many bytes.
    Length(u64),
    /// After the last chunk and the trailers.
    Chunked,
    /// With the connection (responses only).
    UntilClose,
}

/// Why a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The chunk size is not hexadecimal, is too large, or its line ends without CRLF.
    #[error("a chunk size line is malformed")]
    ChunkSize,
    /// A chunk is not followed by CRLF.
    #[error("a chunk does not end in CRLF")]
    ChunkEnd,
    /// A trailer line is malformed or the trailers are too long.
    #[error("the trailers are malformed")]
    Trailer,
}

/// What [`Body::handle_bytes`] found.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'b> {
    /// How many bytes belong to the body's framing and payload and are used up.
    pub consumed: usize,
    /// The payload among them.
    pub payload: &'b [u8],
}

/// Follows one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Done,
    Length(u64),
    UntilClose,
    /// Digits of the size seen so far.
    Size {
        value: u64,
        digits: u8,
    },
    /// Behind the digits, up to CR; `line` counts bytes.
    Extension {
        value: u64,
        line: u32,
    },
    SizeLf {
        value: u64,
    },
    Data {
        remaining: u64,
    },
    DataCr,
    DataLf,
    /// Within a trailer line; `line` counts its bytes, `total` all bytes of the section. A line needs a colon.
    Trailer {
        line: u32,
        total: u32,
        named: bool,
    },
    TrailerLf {
        line: u32,
        total: u32,
    },
}

impl Body {
    /// Begins to follow a body of this framing.
    pub fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { value: 0, digits: 0 },
            Framing::UntilClose => State::UntilClose,
        })
    }

    /// Returns whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.0 == State::Done
    }

    /// Returns whether the end of the connection here is the end of the body.
    pub fn may_end_with_connection(&self) -> bool {
        matches!(self.0, State::Done | State::UntilClose)
    }

    /// Takes the next bytes and returns the first run of payload among them.
    ///
    /// Call again with the unused rest until it is empty or the body [is done](Self::is_done).
    ///
    /// # Errors
    /// [`BodyError`] when the bytes are no chunked body; nothing more can be read from that connection.
    pub fn handle_bytes<'b>(&mut self, bytes: &'b [u8]) -> Result<Step<'b>, BodyError> {
        let mut at = 0;
        while at < bytes.len() {
            match self.0 {
                State::Done => break,
                State::UntilClose => {
                    return Ok(Step { consumed: bytes.len(), payload: &bytes[at..] });
                }
                State::Length(remaining) => {
                    let (payload, left) = take(&bytes[at..], remaining);
                    self.0 = if left == 0 { State::Done } else { State::Length(left) };
                    return Ok(Step { consumed: at + payload.len(), payload });
                }
                State::Data { remaining } => {
                    let (payload, left) = take(&bytes[at..], remaining);
                    self.0 = if left == 0 { State::DataCr } else { State::Data { remaining: left } };
                    return Ok(Step { consumed: at + payload.len(), payload });
                }
                _ => {
                    self.handle_framing_byte(bytes[at])?;
                    at += 1;
                }
            }
        }
        Ok(Step { consumed: at, payload: &[] })
    }

    fn handle_framing_byte(&mut self, byte: u8) -> Result<(), BodyError> {
        self.0 = match (self.0, byte) {
            (State::Size { value, digits }, _) => match (char::from(byte).to_digit(16), byte) {
                // 15 digits are 60 bits: more than any body, and no overflow.
                (Some(digit), _) if digits < 15 => {
                    State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
                }
                (None, b'\r') if digits > 0 => State::SizeLf { value },
                (None, b';') if digits > 0 => State::Extension { value, line: 0 },
                _ => return Err(BodyError::ChunkSize),
            },
            (State::Extension { value, .. }, b'\r') => State::SizeLf { value },
            (State::Extension { value, line }, b'\t' | 0x20..=0x7e | 0x80..) if line < MAX_LINE_BYTES => {
                State::Extension { value, line: line + 1 }
            }
            (State::Extension { .. }, _) => return Err(BodyError::ChunkSize),
            (State::SizeLf { value: 0 }, b'\n') => State::Trailer { line: 0, total: 0, named: false },
            (State::SizeLf { value }, b'\n') => State::Data { remaining: value },
            (State::SizeLf { .. }, _) => return Err(BodyError::ChunkSize),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { value: 0, digits: 0 },
            (State::DataCr | State::DataLf, _) => return Err(BodyError::ChunkEnd),
            (State::Trailer { line, total, named }, b'\r') if named || line == 0 => {
                State::TrailerLf { line, total: total + 1 }
            }
            (State::Trailer { line, total, named: false }, byte) if total < MAX_TRAILER_BYTES => match byte {
                b':' if line > 0 => State::Trailer { line: line + 1, total: total + 1, named: true },
                byte if is_token(byte) => State::Trailer { line: line + 1, total: total + 1, named: false },
                _ => return Err(BodyError::Trailer),
            },
            (State::Trailer { line, total, named: true }, b'\t' | 0x20..=0x7e | 0x80..)
                if line < MAX_LINE_BYTES && total < MAX_TRAILER_BYTES =>
            {
                State::Trailer { line: line + 1, total: total + 1, named: true }
            }
            (State::TrailerLf { line: 0, .. }, b'\n') => State::Done,
            (State::TrailerLf { total, .. }, b'\n') => State::Trailer { line: 0, total: total + 1, named: false },
            (State::Trailer { .. } | State::TrailerLf { .. }, _) => return Err(BodyError::Trailer),
            // The caller handles these in runs.
            (state @ (State::Done | State::Length(_) | State::UntilClose | State::Data { .. }), _) => state,
        };
        Ok(())
    }
}

/// Writes payload as one chunk (RFC 9112 section 7.1); an empty payload writes nothing, since it would end the body.
pub fn write_chunk(payload: &[u8], out: &mut Vec<u8>) {
    if payload.is_empty() {
        return;
    }
    let digits = (usize::BITS - payload.len().leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        let digit = (payload.len() >> (place * 4)) & 0xf;
        out.push(b"0123456789abcdef"[digit]);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Returns whether a byte may stand in a header name (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn take(bytes: &[u8], remaining: u64) -> (&[u8], u64) {
    let length = usize::try_from(remaining).unwrap_or(usize::MAX).min(bytes.len());
    (&bytes[..length], remaining - length as u64)
}

#[cfg(test)]
mod tests;
