//! Decides how an answer is written, and what becomes of the connection behind it.

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, Response, StatusCode};
use http_body::Body as _;
use http_body_util::Full;
use limpet_proto::http1::headers::list;
use tokio::io::AsyncWrite as _;
use tokio::net::TcpStream;

use super::arrival::Rest;
use super::date;
use super::refusal::Refusal;

/// Up to how many bytes a body is copied behind its head.
const COPIED_BYTES: usize = 4 * 1024;

/// Room for a head without much in it.
const HEAD_BYTES: usize = 256;

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The next request may come.
    Request,
    /// It ends.
    End,
    /// It is given away.
    Takeover,
}

/// An answer on its way.
pub(super) struct Reply {
    pub(super) next: Next,
    head: Vec<u8>,
    body: Bytes,
    written: usize,
}

impl Reply {
    /// Writes the answer to a request.
    pub(super) fn new(response: Response<Full<Bytes>>, rest: &Rest, may_go_on: bool) -> Self {
        let (parts, body) = response.into_parts();
        let (status, headers) = (parts.status, &parts.headers);
        let body = bytes_of(body);
        let next = match status {
            StatusCode::SWITCHING_PROTOCOLS if rest.takeover.is_some() => Next::Takeover,
            _ if may_go_on && !status.is_informational() && !says_close(headers) => Next::Request,
            _ => Next::End,
        };
        let has_length = !status.is_informational() && !matches!(status.as_u16(), 204 | 304);
        let has_body = has_length && !rest.is_head;
        let copied = if has_body && body.len() <= COPIED_BYTES { body.len() } else { 0 };
        let mut head = Vec::with_capacity(HEAD_BYTES + copied);
        // A vector takes everything.
        if status == StatusCode::OK {
            head.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        } else {
            let reason = status.canonical_reason().unwrap_or_default();
            write!(head, "HTTP/1.1 {} {reason}\r\n", status.as_str()).ok();
        }
        let is_ours = |name: &HeaderName| match *name {
            CONNECTION => next != Next::Takeover,
            CONTENT_LENGTH | TRANSFER_ENCODING => true,
            _ => false,
        };
        for (name, value) in headers.iter().filter(|(name, _)| !is_ours(name)) {
            for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(piece);
            }
        }
        if has_length {
            write!(head, "content-length: {}\r\n", body.len()).ok();
        }
        match next {
            Next::End => head.extend_from_slice(b"connection: close\r\n"),
            Next::Request if rest.is_old => head.extend_from_slice(b"connection: keep-alive\r\n"),
            Next::Request | Next::Takeover => {}
        }
        if !headers.contains_key(DATE) {
            date::write(&mut head);
        }
        head.extend_from_slice(b"\r\n");
        let body = if has_body { body } else { Bytes::new() };
        if copied > 0 {
            head.extend_from_slice(&body);
        }
        Self { next, head, body: if copied > 0 { Bytes::new() } else { body }, written: 0 }
    }

    /// Writes what a client is told whose request nobody gets to see.
    pub(super) fn refusal(refusal: Refusal) -> Self {
        let ((status, reason), text) = (refusal.status(), refusal.to_string());
        let mut head = Vec::with_capacity(HEAD_BYTES);
        let length = text.len() + 1;
        write!(head, "HTTP/1.1 {status} {reason}\r\ncontent-type: text/plain; charset=utf-8\r\n").ok();
        write!(head, "content-length: {length}\r\nconnection: close\r\n").ok();
        date::write(&mut head);
        write!(head, "\r\n{text}\n").ok();
        Self { next: Next::End, head, body: Bytes::new(), written: 0 }
    }

    /// Writes once; gives whether that was all.
    pub(super) fn poll_write(
        &mut self,
        mut stream: Pin<&mut TcpStream>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        let count = match (self.head.get(self.written..), self.body.is_empty()) {
            (Some(head), true) => ready!(stream.as_mut().poll_write(cx, head)),
            (Some(head), false) => {
                ready!(stream.as_mut().poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(&self.body)]))
            }
            (None, _) => {
                let body = self.body.get(self.written - self.head.len()..).unwrap_or_default();
                ready!(stream.as_mut().poll_write(cx, body))
            }
        }?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.written += count;
        Poll::Ready(Ok(self.written >= self.head.len() + self.body.len()))
    }
}

/// Returns whether the answer is to be the last one.
fn says_close(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter();
    values.flat_map(|value| list(value.as_bytes())).any(|word| word.eq_ignore_ascii_case(b"close"))
}

/// Takes the only piece of a body.
fn bytes_of(mut body: Full<Bytes>) -> Bytes {
    match Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    }
}
