//! One TCP connection of the request plane: a socket and the bytes read from it that nobody has used yet.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::buffer::Buffer;
use super::socket::{Released, Socket};

/// A connection and its unused bytes; a buffer is held only while there are some.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    input: Option<Buffer>,
}

impl Stream {
    /// Wraps a connected or connecting socket.
    pub fn new(socket: Socket) -> Self {
        Self { socket, input: None }
    }

    /// Returns the bytes that were read and not used.
    pub fn input(&self) -> &[u8] {
        self.input.as_ref().map_or(&[], Buffer::bytes)
    }

    /// Marks unused bytes as used, and gives the buffer back when none are left.
    pub fn consume(&mut self, count: usize) {
        if let Some(buffer) = &mut self.input {
            buffer.consume(count);
            if buffer.is_empty() {
                self.input = None;
            }
        }
    }

    /// Reads more bytes; ready with 0 at the end of the stream.
    ///
    /// # Errors
    /// What the socket says; [`io::ErrorKind::OutOfMemory`] when the buffer is full of unused bytes.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = self.input.take().unwrap_or_else(Buffer::take);
        let room = buffer.room();
        if room.is_empty() {
            self.input = Some(buffer);
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        let polled = self.socket.poll_read(cx, room);
        if let Poll::Ready(Ok(count)) = polled {
            buffer.extend(count);
        }
        if !buffer.is_empty() {
            self.input = Some(buffer);
        }
        polled
    }

    /// Writes what it can of the rest of `out`; ready when all is written.
    ///
    /// # Errors
    /// What the socket says.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) -> Poll<io::Result<()>> {
        while !out.is_flushed() {
            match ready!(self.socket.poll_write(cx, out.rest()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => out.advance(count),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Returns whether nothing has arrived since the last read, not even the end of the stream, as far as the reactor
    /// knows; costs no system call.
    pub fn is_quiet(&self) -> bool {
        self.input.is_none() && self.socket.is_quiet()
    }

    /// Announces the end of what we send, then reads and drops what the other side still sends, up to a bound, so that
    /// the last response is not lost to a reset.
    pub async fn linger(&mut self) {
        const MOST_BYTES: usize = 256 * 1024;
        if self.socket.shutdown().is_err() {
            return;
        }
        let mut dropped = 0;
        while dropped < MOST_BYTES {
            self.input = None;
            match poll_fn(|cx| self.poll_fill(cx)).await {
                Ok(0) | Err(_) => return,
                Ok(count) => dropped += count,
            }
        }
    }

    /// Lets go of a connection that becomes one side of a tunnel, with the unused bytes.
    ///
    /// # Errors
    /// What the reactor says.
    pub fn release(self) -> io::Result<(Released, Option<Buffer>)> {
        Ok((self.socket.release()?, self.input))
    }

    /// Returns the socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Returns the socket, to be watched by somebody else.
    pub fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }
}

/// Bytes on their way out. They stay until they are [cleared](Self::clear), so that they can be sent once more
/// on another connection.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// All bytes, sent or not.
    pub bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    /// Makes room for this many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), sent: 0 }
    }

    /// Returns what is not sent yet.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Returns whether all is sent.
    pub fn is_flushed(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Notes that `count` more bytes are sent.
    pub fn advance(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.bytes.len());
    }

    /// Makes all bytes unsent again.
    pub fn rewind(&mut self) {
        self.sent = 0;
    }

    /// Forgets all bytes.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }
}
