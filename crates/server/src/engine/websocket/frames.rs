//! Decides what of a WebSocket's frames goes into one write: all that wait, straight from the messages that clients
//! share.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use limpet_proto::engineio::Version;
use limpet_proto::engineio::message::Message;
use limpet_proto::engineio::packet::PacketType;
use limpet_proto::engineio::session::{Batch, Outgoing};
use limpet_proto::websocket::message::{Form, write, write_head};
use tokio::io::AsyncWrite;

use crate::scratch;

/// The most frames of one write.
const MAX_SLICES: usize = 64;

/// Up to how many bytes frames are joined for one write.
const JOINED_BYTES: usize = 4 * 1024;

const PING: &[u8] = b"\x81\x012";
const PONG: &[u8] = b"\x81\x013";
const CLOSE: &[u8] = b"\x81\x011";
const NOOP: &[u8] = b"\x81\x016";

/// The answer to the probe of a candidate, `3probe`.
pub(super) const PROBE_PONG: &[u8] = b"\x81\x063probe";

/// One frame as it goes on the wire.
enum Frame {
    Shared(Message),
    Deflated(Message),
    Fixed(&'static [u8]),
    Own(Box<[u8]>),
}

impl Frame {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(message) => message.frame(),
            Self::Deflated(message) => message.deflated_frame().unwrap_or_else(|| message.frame()),
            Self::Fixed(bytes) => bytes,
            Self::Own(bytes) => bytes,
        }
    }
}

/// The frames that are to be written, and how much of the first has been. One alone costs no allocation.
#[derive(Default)]
pub(super) struct Frames {
    first: Option<Frame>,
    rest: VecDeque<Frame>,
    written: usize,
}

impl Frames {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Adds what the session sends. `deflate_from` is from how many bytes on a message is compressed.
    pub(super) fn push_batch(&mut self, version: Version, batch: Batch, deflate_from: Option<usize>) {
        for outgoing in batch {
            self.push(frame(version, outgoing, deflate_from));
        }
    }

    pub(super) fn push_fixed(&mut self, bytes: &'static [u8]) {
        self.push(Frame::Fixed(bytes));
    }

    pub(super) fn push_own(&mut self, bytes: Box<[u8]>) {
        self.push(Frame::Own(bytes));
    }

    fn push(&mut self, frame: Frame) {
        match self.first {
            None => self.first = Some(frame),
            Some(_) => self.rest.push_back(frame),
        }
    }

    /// Drops all that has not begun to be written.
    pub(super) fn discard(&mut self) {
        self.rest = VecDeque::new();
        if self.written == 0 {
            self.first = None;
        }
    }

    /// Writes until nothing is left.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(first) = &self.first {
            let head = first.bytes().get(self.written..).unwrap_or_default();
            let count = if self.rest.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(cx, head))
            } else if let Some(polled) = self.poll_write_joined(stream, cx) {
                ready!(polled)
            } else {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                slices[0] = IoSlice::new(head);
                for (slice, frame) in slices[1..].iter_mut().zip(&self.rest) {
                    *slice = IoSlice::new(frame.bytes());
                }
                let used = MAX_SLICES.min(1 + self.rest.len());
                ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..used]))
            }?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes small frames from one place, which costs the system less than to gather them; `None` if they are not small.
    fn poll_write_joined<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Option<Poll<io::Result<usize>>> {
        scratch::with(|scratch| {
            let (mut end, mut from) = (0, self.written);
            for frame in self.first.iter().chain(&self.rest) {
                let bytes = frame.bytes().get(from..).unwrap_or_default();
                if end + bytes.len() > JOINED_BYTES {
                    return None;
                }
                scratch.get_mut(end..end + bytes.len())?.copy_from_slice(bytes);
                (end, from) = (end + bytes.len(), 0);
            }
            Some(Pin::new(stream).poll_write(cx, scratch.get(..end)?))
        })
    }

    fn advance(&mut self, count: usize) {
        self.written += count;
        while let Some(first) = &self.first {
            let length = first.bytes().len();
            if self.written < length {
                return;
            }
            self.written -= length;
            self.first = self.rest.pop_front();
        }
        // The room of a burst is not kept while nothing happens.
        self.rest = VecDeque::new();
    }
}

fn frame(version: Version, outgoing: Outgoing, deflate_from: Option<usize>) -> Frame {
    match outgoing {
        Outgoing::Message(message) if version == Version::V3 && message.is_binary() => {
            let payload = message.payload();
            let mut bytes = Vec::with_capacity(payload.len() + 11);
            write_head(Form::Binary, false, payload.len() + 1, None, &mut bytes);
            bytes.push(PacketType::Message.number());
            bytes.extend_from_slice(payload);
            Frame::Own(bytes.into())
        }
        Outgoing::Message(message) => {
            let deflates = deflate_from.is_some_and(|from| message.may_compress() && message.payload().len() >= from);
            if deflates { Frame::Deflated(message) } else { Frame::Shared(message) }
        }
        Outgoing::Open(data) => {
            let mut bytes = Vec::with_capacity(data.len() + 11);
            write(Form::Text, false, format!("0{data}").as_bytes(), None, &mut bytes);
            Frame::Own(bytes.into())
        }
        Outgoing::Ping => Frame::Fixed(PING),
        Outgoing::Pong => Frame::Fixed(PONG),
        Outgoing::Close => Frame::Fixed(CLOSE),
        Outgoing::Noop => Frame::Fixed(NOOP),
    }
}
