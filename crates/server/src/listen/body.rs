//! Decides how the body of a request reaches who answers it.
//!
//! Most bodies have arrived whole with their head. What has not goes through a pipe that holds one read of the connection: it
//! is read on when somebody asks for more.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use crate::engine::BoxError;

/// The body of a request to our own listener, of either version of HTTP.
pub struct Body(Kind);

enum Kind {
    Whole(Bytes),
    Pipe { pipe: Arc<Pipe>, length: Option<u64> },
    Http2(Incoming),
}

impl Body {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self(Kind::Whole(bytes))
    }

    /// Makes a body that comes through a pipe, of this length if the client has told it.
    pub(super) fn piped(pipe: Arc<Pipe>, length: Option<u64>) -> Self {
        Self(Kind::Pipe { pipe, length })
    }

    pub(super) fn http2(body: Incoming) -> Self {
        Self(Kind::Http2(body))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Pipe { pipe, length } => {
                let piece = ready!(pipe.poll_take(cx));
                if let (Some(length), Some(Ok(piece))) = (length, &piece) {
                    *length = length.saturating_sub(piece.len() as u64);
                }
                Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
            }
            Kind::Http2(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Pipe { .. } => false,
            Kind::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Pipe { length: Some(length), .. } => SizeHint::with_exact(*length),
            Kind::Pipe { length: None, .. } => SizeHint::default(),
            Kind::Http2(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("size", &self.size_hint()).finish_non_exhaustive()
    }
}

/// What is between a connection and the reader of a body, who may be another task.
#[derive(Debug, Default)]
pub(super) struct Pipe(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    piece: Option<Bytes>,
    end: Option<End>,
    is_wanted: bool,
    reader: Option<Waker>,
    connection: Option<Waker>,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// As it should.
    Whole,
    /// Its framing makes no sense.
    Malformed,
}

impl Pipe {
    fn poll_take(&self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        let mut state = self.lock();
        if let Some(piece) = state.piece.take() {
            return Poll::Ready(Some(Ok(piece)));
        }
        match state.end {
            Some(End::Whole) => return Poll::Ready(None),
            Some(End::Malformed) => return Poll::Ready(Some(Err("the body is malformed".into()))),
            None => {}
        }
        state.is_wanted = true;
        state.reader = Some(cx.waker().clone());
        let connection = state.connection.take();
        drop(state);
        if let Some(connection) = connection {
            connection.wake();
        }
        Poll::Pending
    }

    /// Returns whether the reader waits for more; if not, the connection is woken when it does.
    pub(super) fn is_wanted(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        if !state.is_wanted {
            state.connection = Some(cx.waker().clone());
        }
        state.is_wanted
    }

    /// Gives the reader a piece, and the end if it is behind it; `false` says that there is neither.
    pub(super) fn give(&self, piece: Bytes, end: Option<End>) -> bool {
        if piece.is_empty() && end.is_none() {
            return false;
        }
        let mut state = self.lock();
        state.piece = Some(piece).filter(|piece| !piece.is_empty());
        state.end = end;
        state.is_wanted = false;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
