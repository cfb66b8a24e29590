//! One accepted connection: reads what is there, answers all of it with one send.

use std::io::{self, Read as _, Write as _};

use mio::net::TcpStream;

use super::reply::{After, Replies};

const SCRATCH_BYTES: usize = 256 * 1024;

/// Whether a connection goes on after a turn.
pub(super) enum Progress {
    Open,
    Closed,
}

/// A connection and what it could not yet take or send.
pub(super) struct Connection {
    stream: TcpStream,
    /// Which endpoint accepted it.
    mark: u8,
    web_socket: bool,
    /// An incomplete request or frame; empty most of the time.
    inbox: Vec<u8>,
    /// What the socket refused; empty most of the time.
    outbox: Vec<u8>,
}

/// What all connections share, so that a turn allocates nothing.
pub(super) struct Desk {
    replies: Replies,
    scratch: Vec<u8>,
    answers: Vec<u8>,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self { replies: Replies::new(), scratch: vec![0; SCRATCH_BYTES], answers: Vec::new() }
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream, mark: u8) -> Self {
        Self { stream, mark, web_socket: false, inbox: Vec::new(), outbox: Vec::new() }
    }

    /// Does what an edge of the poll allows. A short read means that the socket is drained, unless the other side has
    /// closed, in which case no further edge would tell.
    pub(super) fn turn(&mut self, read_closed: bool, desk: &mut Desk) -> Progress {
        if !self.outbox.is_empty() {
            let pending = std::mem::take(&mut self.outbox);
            if self.send(&pending).is_err() {
                return Progress::Closed;
            }
        }
        loop {
            let length = match self.stream.read(&mut desk.scratch) {
                Ok(0) => return Progress::Closed,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::Open,
                Err(_) => return Progress::Closed,
            };
            desk.answers.clear();
            if self.take(&desk.scratch[..length], &mut desk.replies, &mut desk.answers).is_err() {
                return Progress::Closed;
            }
            if length < desk.scratch.len() && !read_closed {
                return Progress::Open;
            }
        }
    }

    fn take(&mut self, input: &[u8], replies: &mut Replies, answers: &mut Vec<u8>) -> io::Result<()> {
        if self.inbox.is_empty() {
            let used = self.consume(input, replies, answers);
            self.inbox.extend_from_slice(&input[used..]);
        } else {
            let mut inbox = std::mem::take(&mut self.inbox);
            inbox.extend_from_slice(input);
            let used = self.consume(&inbox, replies, answers);
            inbox.drain(..used);
            self.inbox = inbox;
        }
        if answers.is_empty() { Ok(()) } else { self.send(answers) }
    }

    /// Answers all complete requests or frames and tells how many bytes they took.
    fn consume(&mut self, input: &[u8], replies: &mut Replies, answers: &mut Vec<u8>) -> usize {
        let mut used = 0;
        while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) {
            let step = if self.web_socket { echo(rest, answers) } else { self.request(rest, replies, answers) };
            match step {
                Some(length) => used += length,
                None => break,
            }
        }
        used
    }

    fn request(&mut self, input: &[u8], replies: &mut Replies, answers: &mut Vec<u8>) -> Option<usize> {
        // Proxies send one request at a time, so the end of the input nearly always is the end of the head.
        let length = if input.ends_with(b"\r\n\r\n") {
            input.len()
        } else {
            input.windows(4).position(|window| window == b"\r\n\r\n")? + 4
        };
        self.web_socket = matches!(replies.answer(self.mark, &input[..length], answers), After::WebSocket);
        Some(length)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.outbox.is_empty() {
            self.outbox.extend_from_slice(bytes);
            return Ok(());
        }
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.outbox.extend_from_slice(&bytes[sent..]);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Echoes one masked frame without a mask (RFC 6455 section 5.2) and gives its length, if it is complete.
fn echo(input: &[u8], answers: &mut Vec<u8>) -> Option<usize> {
    let short = usize::from(input.get(1)? & 0x7f);
    let (payload, size_bytes) = match short {
        126 => (usize::from(u16::from_be_bytes([*input.get(2)?, *input.get(3)?])), 2_usize),
        127 => (usize::try_from(u64::from_be_bytes(input.get(2..10)?.try_into().ok()?)).ok()?, 8),
        _ => (short, 0),
    };
    let start = 2 + size_bytes + 4;
    let end = start.checked_add(payload)?;
    let mask: [u8; 4] = input.get(start - 4..start)?.try_into().ok()?;
    let body = input.get(start..end)?;
    answers.extend_from_slice(&[input[0], short as u8]);
    answers.extend_from_slice(&input[2..2 + size_bytes]);
    let at = answers.len();
    answers.extend_from_slice(body);
    for chunk in answers[at..].chunks_mut(4) {
        for (byte, key) in chunk.iter_mut().zip(mask) {
            *byte ^= key;
        }
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::echo;

    /// The masked "Hello" of RFC 6455 section 5.7.
    #[test]
    fn echoes_without_the_mask() {
        let frame = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let mut answers = Vec::new();
        assert_eq!(echo(&frame[..10], &mut answers), None);
        assert_eq!(echo(&frame, &mut answers), Some(11));
        assert_eq!(answers, b"\x81\x05Hello");
    }
}
