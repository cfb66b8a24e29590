//! A client connection that speaks HTTP/1.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use limpet_proto::http1::body::{Body, Framing};

use super::{ClientError, Origin, take_allowance, write_end, write_payload};
use crate::affinity::LastTag;
use crate::net::deadline::Deadline;
use crate::net::stream::{Outgoing, Stream};
use crate::upstream::pool::Private;

/// A client connection and where it is in its current request.
#[derive(Debug)]
pub struct Http1 {
    /// Who the client is.
    pub origin: Origin,
    /// The connection.
    pub stream: Stream,
    /// The deadline of what the client is waited for.
    pub deadline: Deadline,
    /// The longest silence within a request body.
    pub body_timeout: Duration,
    /// The tag that came last.
    pub last_tag: LastTag,
    /// The idle connection to an endpoint that only this client may use.
    pub(super) private: Private,
    /// Whether the request body goes to its endpoint in chunks, as it comes.
    chunked: bool,
    body: Body,
    /// How many bytes of payload the request body may still have.
    pub(super) body_allowance: u64,
}

impl Http1 {
    /// Makes the client of a new connection.
    pub fn new(origin: Origin, stream: Stream, body_timeout: Duration) -> Self {
        let (chunked, body) = (false, Body::new(Framing::Empty));
        let (deadline, last_tag, private) = (Deadline::new(), LastTag::default(), Private::default());
        Self { origin, stream, deadline, body_timeout, last_tag, private, chunked, body, body_allowance: u64::MAX }
    }

    pub(super) fn begin_request(&mut self, framing: Framing) {
        self.chunked = framing == Framing::Chunked;
        self.body_allowance = u64::MAX;
        self.body = Body::new(framing);
    }

    pub(super) fn body_is_done(&self) -> bool {
        self.body.is_done()
    }

    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Result<(), ClientError>> {
        if self.body.is_done() {
            return Poll::Ready(Ok(()));
        }
        if self.stream.input().is_empty() && ready!(self.stream.poll_fill(cx))? == 0 {
            return Poll::Ready(Err(ClientError::Gone));
        }
        let framing = if self.chunked { Framing::Chunked } else { Framing::Empty };
        while !self.stream.input().is_empty() && !self.body.is_done() {
            let step = self.body.handle_bytes(self.stream.input())?;
            take_allowance(&mut self.body_allowance, step.payload)?;
            write_payload(framing, step.payload, out);
            let consumed = step.consumed;
            self.stream.consume(consumed);
        }
        if self.body.is_done() {
            write_end(framing, out);
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<ClientError> {
        loop {
            match ready!(self.stream.poll_fill(cx)) {
                Ok(0) => return Poll::Ready(ClientError::Gone),
                // The next request arrives already. It waits in the buffer.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory => return Poll::Pending,
                Err(_) => return Poll::Ready(ClientError::Gone),
            }
        }
    }

    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) -> Poll<Result<(), ClientError>> {
        self.stream.poll_flush(cx, out).map_err(ClientError::Io)
    }
}
