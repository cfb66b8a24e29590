//! One direction's source and the other's destination: a socket, what it has not taken yet, and what came from it.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use limpet_proto::websocket::frame::{Cursor, Progress, Sender};
use mio::net::TcpStream;

use super::berth::Heard;
use super::close::Carried;
use crate::net::stream::Outgoing;

/// One side of a tunnel.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) socket: TcpStream,
    /// Follows the frames that come from this side.
    cursor: Cursor,
    /// What this side has not taken yet.
    leftover: Option<Box<Outgoing>>,
    /// Bytes that came from this side.
    bytes: u64,
    /// Messages that came from this side.
    messages: u32,
    /// The code of the Close frame that came from this side; 0 before one came.
    close_code: u16,
    /// Whether the cursor understands what comes.
    followed: bool,
    /// Whether there may be bytes to read that no further edge will announce.
    pub(super) readable: bool,
    /// Whether the reactor announces room to send.
    announces_room: bool,
    /// Whether the end of the stream was announced and lies behind what there is to read.
    pub(super) end_announced: bool,
    /// Whether the end of the stream was read.
    pub(super) ended: bool,
    /// Whether we have ended our stream to this side, or will when the leftover is taken.
    pub(super) shut: bool,
}

impl Side {
    pub(super) fn new(socket: TcpStream, sender: Sender, heard: Heard) -> Self {
        Self {
            socket,
            cursor: Cursor::new(sender),
            leftover: None,
            bytes: 0,
            messages: 0,
            close_code: 0,
            followed: true,
            // The reactor announces what has come before it was asked to watch, and once only.
            readable: heard.readable,
            announces_room: false,
            end_announced: heard.end,
            ended: false,
            shut: false,
        }
    }

    /// Returns what came from this side.
    pub(super) fn carried(&self) -> Carried {
        let close_code = (self.close_code != 0).then_some(self.close_code);
        Carried { bytes: self.bytes, messages: self.messages, close_code }
    }

    /// Returns whether a Close frame came from this side.
    pub(super) fn said_close(&self) -> bool {
        self.close_code != 0
    }

    /// Returns whether this side has taken everything.
    pub(super) fn is_flushed(&self) -> bool {
        self.leftover.is_none()
    }

    /// Returns whether the reactor must be asked to announce room to send, which it then does for good.
    pub(super) fn wants_room(&mut self) -> bool {
        let wants = self.leftover.is_some() && !self.announces_room;
        self.announces_room |= wants;
        wants
    }

    /// Returns whether another frame may be inserted behind what came from this side.
    pub(super) fn is_between_frames(&self) -> bool {
        self.followed && self.cursor.at_boundary()
    }

    /// Returns whether frames are understood.
    pub(super) fn is_followed(&self) -> bool {
        self.followed
    }

    /// Follows bytes that came from this side.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Progress {
        self.bytes += bytes.len() as u64;
        if !self.followed {
            return Progress::default();
        }
        match self.cursor.handle_bytes(bytes) {
            Ok(progress) => {
                self.messages = self.messages.saturating_add(progress.messages);
                if let Some(code) = progress.close_code
                    && self.close_code == 0
                {
                    self.close_code = code;
                }
                progress
            }
            Err(_) => {
                self.followed = false;
                Progress::default()
            }
        }
    }

    /// Reads what has come from this side.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.socket.read(scratch) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Returns whether the connection has failed, as the kernel says; it says so once.
    pub(super) fn has_failed(&self) -> bool {
        !matches!(self.socket.take_error(), Ok(None))
    }

    /// Sends bytes to this side; what it does not take now is kept.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(leftover) = &mut self.leftover {
            leftover.bytes.extend_from_slice(bytes);
            return Ok(());
        }
        let sent = write_some(&mut self.socket, bytes)?;
        if sent < bytes.len() {
            let mut leftover = Outgoing::with_capacity(bytes.len() - sent);
            leftover.bytes.extend_from_slice(&bytes[sent..]);
            self.leftover = Some(Box::new(leftover));
        }
        Ok(())
    }

    /// Sends more of what this side had not taken.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(leftover) = &mut self.leftover {
            let sent = write_some(&mut self.socket, leftover.rest())?;
            leftover.advance(sent);
            if leftover.is_flushed() {
                self.leftover = None;
                if self.shut {
                    return self.socket.shutdown(Shutdown::Write);
                }
            }
        }
        Ok(())
    }

    /// Ends our stream to this side, behind what it has not taken yet.
    pub(super) fn shut(&mut self) -> io::Result<()> {
        if self.shut {
            return Ok(());
        }
        self.shut = true;
        if self.is_flushed() { self.socket.shutdown(Shutdown::Write) } else { Ok(()) }
    }

    /// Makes the coming close a reset, as the other side's was.
    pub(super) fn reset(&self) {
        // If it fails, an ordinary close follows.
        let _ = socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}

fn write_some(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match socket.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
