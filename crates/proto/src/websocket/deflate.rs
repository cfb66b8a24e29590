//! Decides how messages are compressed (permessage-deflate, RFC 7692).
//!
//! Windows have their full size of 32 KiB: a client that asks for a smaller one of ours gets no compression. Both
//! directions can be kept without memory between messages, which is what [`Deflate::accept`] prefers: a context costs
//! about 300 KiB for each direction.

#[cfg(test)]
mod tests;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What a sender leaves out at the end of each message, and a receiver puts back (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The bits of a full window; the only one that is offered.
const FULL_WINDOW_BITS: &str = "15";

/// How much output is made room for at a time.
const STEP_BYTES: usize = 8 * 1024;

/// What two sides have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    /// The server forgets its window after each message.
    pub server_no_context_takeover: bool,
    /// The client forgets its window after each message.
    pub client_no_context_takeover: bool,
}

/// Why a compressed message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InflateError {
    /// The bytes are no deflate stream.
    #[error("a compressed message that cannot be inflated")]
    Malformed,
    /// The message is larger than is taken.
    #[error("a compressed message that is too large when inflated")]
    TooBig,
}

impl Deflate {
    /// Chooses the first offer of a `Sec-WebSocket-Extensions` header that can be met; `None` when there is none.
    ///
    /// The server's side is kept without memory between messages.
    pub fn accept(header: &str) -> Option<Self> {
        header.split(',').find_map(|offer| {
            let mut parts = offer.split(';').map(str::trim);
            if parts.next() != Some("permessage-deflate") {
                return None;
            }
            let mut agreed = Self { server_no_context_takeover: true, client_no_context_takeover: false };
            let mut seen: Vec<&str> = Vec::new();
            for part in parts {
                let (name, value) = match part.split_once('=') {
                    Some((name, value)) => (name.trim_end(), Some(value.trim_start().trim_matches('"'))),
                    None => (part, None),
                };
                if seen.contains(&name) {
                    return None;
                }
                seen.push(name);
                match (name, value) {
                    ("server_no_context_takeover", None) => {}
                    ("client_no_context_takeover", None) => agreed.client_no_context_takeover = true,
                    // It says only what the client could do.
                    ("client_max_window_bits", None) => {}
                    ("client_max_window_bits", Some(bits)) if is_window_bits(bits) => {}
                    ("server_max_window_bits", Some(FULL_WINDOW_BITS)) => {}
                    _ => return None,
                }
            }
            Some(agreed)
        })
    }

    /// Returns the value of the header that tells the client.
    pub fn header(self) -> String {
        let mut header = "permessage-deflate".to_owned();
        if self.server_no_context_takeover {
            header.push_str("; server_no_context_takeover");
        }
        if self.client_no_context_takeover {
            header.push_str("; client_no_context_takeover");
        }
        header
    }
}

fn is_window_bits(bits: &str) -> bool {
    bits.parse().is_ok_and(|number: u8| (8..=15).contains(&number)) && !bits.starts_with(['+', '0'])
}

/// Reads the compressed messages of one direction.
#[derive(Debug)]
pub struct Inflater {
    stream: Decompress,
    forgets: bool,
}

impl Inflater {
    /// Begins a direction; `forgets` says that its sender keeps no window between messages.
    pub fn new(forgets: bool) -> Self {
        Self { stream: Decompress::new(false), forgets }
    }

    /// Inflates one message to at most this many bytes, however small it came.
    ///
    /// # Errors
    /// [`InflateError`]; the direction cannot be read further.
    pub fn inflate(&mut self, message: &[u8], max_bytes: usize) -> Result<Vec<u8>, InflateError> {
        let mut out = Vec::new();
        for part in [message, &TAIL] {
            let mut input = part;
            while !input.is_empty() {
                if out.len() > max_bytes {
                    return Err(InflateError::TooBig);
                }
                // One byte more than is allowed, to see that it is too much.
                out.reserve(STEP_BYTES.min(max_bytes + 1 - out.len()));
                let before = self.stream.total_in();
                let written = out.len();
                let status = self.stream.decompress_vec(input, &mut out, FlushDecompress::Sync);
                let status = status.map_err(|_| InflateError::Malformed)?;
                input = &input[usize::try_from(self.stream.total_in() - before).unwrap_or(input.len())..];
                match status {
                    // A last block ends the stream; what may follow belongs to a new one (RFC 7692 section 7.2.3.4).
                    Status::StreamEnd => self.stream.reset(false),
                    Status::BufError if out.len() == written && out.capacity() > out.len() => {
                        return Err(InflateError::Malformed);
                    }
                    _ => {}
                }
            }
        }
        self.drain(&mut out, max_bytes)?;
        if self.forgets {
            self.stream.reset(false);
        }
        Ok(out)
    }

    /// Takes what the stream still holds back for lack of room.
    fn drain(&mut self, out: &mut Vec<u8>, max_bytes: usize) -> Result<(), InflateError> {
        loop {
            if out.len() > max_bytes {
                return Err(InflateError::TooBig);
            }
            let written = out.len();
            out.reserve(STEP_BYTES.min(max_bytes + 1 - out.len()));
            let status = self.stream.decompress_vec(&[], out, FlushDecompress::Sync);
            if out.len() == written {
                // With no input and room for output, an error only says that there is nothing to do.
                return match status {
                    Ok(_) => Ok(()),
                    Err(_) => Err(InflateError::Malformed),
                };
            }
        }
    }
}

/// Writes the compressed messages of one direction.
#[derive(Debug)]
pub struct Deflater {
    stream: Compress,
    forgets: bool,
}

impl Deflater {
    /// Begins a direction; `forgets` says that we keep no window between messages.
    pub fn new(forgets: bool) -> Self {
        Self { stream: Compress::new(Compression::fast(), false), forgets }
    }

    /// Compresses one message. `None` stands for a failure of the library, after which messages go uncompressed.
    pub fn deflate(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        // Nothing to flush would look like a failure (RFC 7692 section 7.2.3.6).
        if message.is_empty() {
            return Some(vec![0]);
        }
        let mut out = Vec::with_capacity(message.len() / 2 + 64);
        let mut input = message;
        loop {
            let before = self.stream.total_in();
            let flush = if input.is_empty() { FlushCompress::Sync } else { FlushCompress::None };
            self.stream.compress_vec(input, &mut out, flush).ok()?;
            input = &input[usize::try_from(self.stream.total_in() - before).ok()?..];
            // Room that is left says that everything was flushed.
            if input.is_empty() && flush == FlushCompress::Sync && out.len() < out.capacity() {
                break;
            }
            if out.len() == out.capacity() {
                out.reserve(STEP_BYTES);
            }
        }
        if self.forgets {
            self.stream.reset();
        }
        let length = out.strip_suffix(&TAIL)?.len();
        out.truncate(length);
        Some(out)
    }
}
