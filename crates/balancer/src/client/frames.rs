//! One stream of a multiplexed connection: body and response pass as messages to and from the task that owns the
//! connection.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use limpet_proto::http1::body::Framing;
use tokio::sync::mpsc;

use super::{ClientError, Origin, take_allowance, write_end, write_payload};
use crate::net::deadline::Deadline;
use crate::net::stream::Outgoing;

/// One stream: a bounded channel each way. The sender of the body drops its end when the body is over; the receiver of
/// the response drops its end when the client resets the stream.
pub struct Frames {
    /// Who the client is.
    pub origin: Origin,
    /// The deadline of what the client is waited for.
    pub deadline: Deadline,
    /// The longest silence within a request body.
    pub body_timeout: Duration,
    body: mpsc::Receiver<Vec<u8>>,
    response: mpsc::Sender<Vec<u8>>,
    /// Waits for a place in the response channel.
    place: Option<Waiting<Place>>,
    /// Waits for the reset of the stream.
    reset: Waiting<()>,
    framing: Framing,
    done: bool,
    /// How many bytes of payload the request body may still have.
    pub(super) body_allowance: u64,
}

type Place = Result<mpsc::OwnedPermit<Vec<u8>>, mpsc::error::SendError<()>>;

type Waiting<T> = Pin<Box<dyn Future<Output = T>>>;

impl Frames {
    /// Makes the client of a new stream. The first response message is the head in HTTP/1 form.
    pub fn new(
        origin: Origin,
        body: mpsc::Receiver<Vec<u8>>,
        response: mpsc::Sender<Vec<u8>>,
        body_timeout: Duration,
    ) -> Self {
        let watched = response.clone();
        let reset: Waiting<()> = Box::pin(async move { watched.closed().await });
        let deadline = Deadline::new();
        let (framing, body_allowance) = (Framing::Empty, u64::MAX);
        Self { origin, deadline, body_timeout, body, response, place: None, reset, framing, done: true, body_allowance }
    }

    pub(super) fn begin_request(&mut self, framing: Framing) {
        self.framing = framing;
        self.body_allowance = u64::MAX;
        self.done = framing == Framing::Empty;
    }

    pub(super) fn body_is_done(&self) -> bool {
        self.done
    }

    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Result<(), ClientError>> {
        if self.done {
            return Poll::Ready(Ok(()));
        }
        match ready!(self.body.poll_recv(cx)) {
            Some(payload) => {
                take_allowance(&mut self.body_allowance, &payload)?;
                write_payload(self.framing, &payload, out);
            }
            None => {
                write_end(self.framing, out);
                self.done = true;
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<ClientError> {
        self.reset.as_mut().poll(cx).map(|()| ClientError::Gone)
    }

    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) -> Poll<Result<(), ClientError>> {
        if out.is_flushed() {
            return Poll::Ready(Ok(()));
        }
        let place = self.place.get_or_insert_with(|| Box::pin(self.response.clone().reserve_owned()));
        let place = ready!(place.as_mut().poll(cx)).map_err(|_| ClientError::Gone);
        self.place = None;
        place?.send(out.rest().to_vec());
        out.advance(out.rest().len());
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames").field("origin", &self.origin).field("done", &self.done).finish_non_exhaustive()
    }
}
