//! Decides when a request has arrived, and what of the bytes behind its head is its body.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use limpet_proto::http1::body::{Body as Framed, BodyError, Framing};
use limpet_proto::http1::head::{self, HeadError};
use limpet_proto::http1::request_head::{RequestHead, Slots};
use limpet_proto::http1::{Method, Version};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;

use super::super::body::{Body, End, Pipe};
use super::refusal::Refusal;
use crate::engine::{Head, Request, Takeover, Text};
use crate::scratch;

/// How long a head may be.
const HEAD_BYTES: usize = 16 * 1024;

/// Empty lines that may come before a request line (RFC 9112 section 2.2).
const MAX_EMPTY_LINES: usize = 4;

/// What has arrived.
pub(super) type Arrived = Result<(Request<Body>, Rest), Refusal>;

/// What must be known of a request until it is answered.
pub(super) struct Rest {
    /// Whether the client wants to send another request.
    pub(super) keeps_alive: bool,
    /// Whether the answer has no body, whatever it says.
    pub(super) is_head: bool,
    /// Whether the client speaks HTTP/1.0.
    pub(super) is_old: bool,
    /// Who may want the connection.
    pub(super) takeover: Option<Takeover>,
    /// The body, if it has not arrived whole.
    feed: Option<Feed>,
    /// Whether the client waits for a word before it sends the body.
    expects_continue: bool,
    /// How much of this word has been written.
    pub(super) said: usize,
    was_fed: bool,
}

/// A body on its way.
struct Feed {
    framed: Framed,
    pipe: Arc<Pipe>,
}

impl Rest {
    /// Returns whether the reader of the body got something since this was last asked.
    pub(super) fn was_fed(&mut self) -> bool {
        std::mem::take(&mut self.was_fed)
    }

    /// Returns what is left to say of the word that the client waits for.
    pub(super) fn unsaid<'a>(&self, word: &'a [u8]) -> Option<&'a [u8]> {
        word.get(self.said..).filter(|left| self.expects_continue && !left.is_empty())
    }
}

/// What has been read of a connection and belongs to no request yet. Empty most of the time, and then without memory.
pub(super) struct Arrival {
    address: SocketAddr,
    input: Vec<u8>,
    /// How far the end of a head has been looked for.
    scanned: usize,
}

impl Arrival {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, input: Vec::new(), scanned: 0 }
    }

    /// Returns whether there is the beginning of a request.
    pub(super) fn has_begun(&self) -> bool {
        !self.input.is_empty()
    }

    /// Returns how many bytes wait.
    pub(super) fn unused(&self) -> usize {
        self.input.len()
    }

    /// Returns the bytes that wait.
    pub(super) fn into_unused(self) -> Bytes {
        self.input.into()
    }

    /// Takes a request that has arrived behind the last one.
    pub(super) fn take(&mut self) -> Option<Arrived> {
        if self.input.is_empty() {
            return None;
        }
        let (arrived, used) = parse(&self.input, &mut self.scanned, self.address)?;
        self.consume(used);
        Some(arrived)
    }

    /// Reads once while a request is waited for.
    pub(super) fn poll_read(
        &mut self,
        stream: Pin<&mut TcpStream>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Arrived>>> {
        scratch::with(|scratch| {
            let read = ready!(poll_once(stream, scratch, cx))?;
            if !self.input.is_empty() {
                self.input.extend_from_slice(read);
                return Poll::Ready(Ok(self.take()));
            }
            // Most requests come whole.
            let arrived = match parse(read, &mut self.scanned, self.address) {
                Some((arrived, used)) => {
                    self.scanned = 0;
                    self.input.extend_from_slice(read.get(used..).unwrap_or_default());
                    Some(arrived)
                }
                None => {
                    self.input.extend_from_slice(read);
                    None
                }
            };
            Poll::Ready(Ok(arrived))
        })
    }

    /// Reads once while a request is answered.
    pub(super) fn poll_read_ahead(
        &mut self,
        stream: Pin<&mut TcpStream>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        scratch::with(|scratch| {
            self.input.extend_from_slice(ready!(poll_once(stream, scratch, cx))?);
            Poll::Ready(Ok(()))
        })
    }

    /// Gives the reader of a body what it waits for, if that is here. Returns whether it waits.
    pub(super) fn feeds(&mut self, rest: &mut Rest, cx: &Context<'_>) -> bool {
        let Some(Feed { framed, pipe }) = &mut rest.feed else { return false };
        if framed.is_done() || !pipe.is_wanted(cx) {
            return false;
        }
        if !self.input.is_empty() {
            let (payload, used, end) = unframe(&self.input, framed);
            rest.was_fed = pipe.give(payload, end);
            self.consume(used);
        }
        true
    }

    /// Skips what is left of a body, as far as it is here. Returns whether that is all.
    pub(super) fn skip(&mut self, rest: &mut Rest) -> bool {
        let Some(Feed { framed, .. }) = &mut rest.feed else { return true };
        let (_, used, _) = unframe(&self.input, framed);
        self.consume(used);
        framed.is_done()
    }

    fn consume(&mut self, used: usize) {
        self.scanned = 0;
        if used == self.input.len() {
            self.input = Vec::new();
        } else {
            self.input.drain(..used);
        }
    }
}

fn poll_once<'a>(
    stream: Pin<&mut TcpStream>,
    scratch: &'a mut [u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<&'a [u8]>> {
    let mut buffer = ReadBuf::new(scratch);
    ready!(stream.poll_read(cx, &mut buffer))?;
    match buffer.filled().len() {
        0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        filled => Poll::Ready(Ok(scratch.get(..filled).unwrap_or_default())),
    }
}

/// Takes a request off the front, with what has arrived of its body; `None` if its head is not complete.
fn parse(bytes: &[u8], scanned: &mut usize, address: SocketAddr) -> Option<(Arrived, usize)> {
    let mut lines = bytes;
    for _ in 0..MAX_EMPTY_LINES {
        lines = lines.strip_prefix(b"\r\n").unwrap_or(lines);
    }
    let before = bytes.len() - lines.len();
    let refused = |refusal| Some((Err(refusal), bytes.len()));
    let end = match head::find_end(lines, scanned.saturating_sub(before)) {
        Ok(Some(end)) if end <= HEAD_BYTES => end,
        Ok(end) if end.is_some() || lines.len() >= HEAD_BYTES => {
            let is_target = lines.get(..HEAD_BYTES).is_some_and(|begin| !begin.contains(&b'\n'));
            return refused(if is_target { HeadError::TargetTooLong.into() } else { Refusal::HeadTooLarge });
        }
        Ok(_) if !lines.is_empty() && !head::may_begin_request(lines) => return refused(HeadError::Method.into()),
        Ok(_) => {
            *scanned = bytes.len().saturating_sub(3);
            return None;
        }
        Err(error) => return refused(error.into()),
    };
    let (head, behind) = lines.split_at_checked(end)?;
    match request(head, behind, address) {
        Ok((request, rest, used)) => Some((Ok((request, rest)), before + end + used)),
        Err(error) => refused(error.into()),
    }
}

/// Reads a head and what has arrived of its body; gives how much that is.
fn request(bytes: &[u8], behind: &[u8], address: SocketAddr) -> Result<(Request<Body>, Rest, usize), HeadError> {
    let mut slots = Slots::new();
    let head = RequestHead::parse(bytes, &mut slots)?;
    let takeover = head.upgrade.then(Takeover::default);
    let text = Text::new(bytes, &head, address, takeover.clone()).ok_or(HeadError::Method)?;
    let mut rest = Rest {
        keeps_alive: head.keeps_alive(),
        is_head: head.method == Method::Head,
        is_old: head.version == Version::Http10,
        takeover,
        feed: None,
        expects_continue: head.expects_continue && behind.is_empty(),
        said: 0,
        was_fed: false,
    };
    let length = match head.framing {
        Framing::Empty => {
            return Ok((Request { head: Head::Text(text), body: Body::whole(Bytes::new()) }, rest, 0));
        }
        Framing::Length(length) => Some(length),
        Framing::Chunked | Framing::UntilClose => None,
    };
    let mut framed = Framed::new(head.framing);
    let (payload, used, end) = unframe(behind, &mut framed);
    let body = if end == Some(End::Whole) {
        Body::whole(payload)
    } else {
        let pipe = Arc::new(Pipe::default());
        pipe.give(payload, end);
        rest.feed = Some(Feed { framed, pipe: Arc::clone(&pipe) });
        Body::piped(pipe, length)
    };
    Ok((Request { head: Head::Text(text), body }, rest, used))
}

/// Takes the payload out of a body's framing; gives it, how many bytes it took, and the end if it is reached.
fn unframe(mut bytes: &[u8], framed: &mut Framed) -> (Bytes, usize, Option<End>) {
    let all = bytes.len();
    let (mut first, mut more): (&[u8], BytesMut) = (&[], BytesMut::new());
    let mut is_sound = || -> Result<(), BodyError> {
        while !bytes.is_empty() && !framed.is_done() {
            let step = framed.handle_bytes(bytes)?;
            bytes = bytes.get(step.consumed..).unwrap_or_default();
            if first.is_empty() {
                first = step.payload;
            } else if !step.payload.is_empty() {
                if more.is_empty() {
                    more.extend_from_slice(first);
                }
                more.extend_from_slice(step.payload);
            }
        }
        Ok(())
    };
    let end = match is_sound() {
        Err(_) => Some(End::Malformed),
        Ok(()) => framed.is_done().then_some(End::Whole),
    };
    let payload = if more.is_empty() { Bytes::copy_from_slice(first) } else { more.freeze() };
    (payload, all - bytes.len(), end)
}
