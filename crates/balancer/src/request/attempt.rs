//! Sends a request to one endpoint and waits for the head of its final response.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use limpet_proto::http1::Version;
use limpet_proto::http1::head::{self as http1_head, HeadError};
use limpet_proto::http1::request_head::Slots;
use limpet_proto::http1::response_head::ResponseHead;

use super::prepare::Request;
use super::{announce, head, kept, slot};
use crate::client::{Client, ClientError};
use crate::net::buffer::BUFFER_BYTES;
use crate::net::connect;
use crate::net::deadline::Deadline;
use crate::net::stream::{Outgoing, Stream};
use crate::stats::Flight;
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::queue::Refusal;
use crate::worker::Worker;

/// Interim responses that an endpoint may send before the final one.
const MAX_INTERIM: u32 = 16;

/// A final response whose head has arrived.
#[derive(Debug)]
pub struct Response {
    /// The connection; its input begins with the head.
    pub stream: Stream,
    /// The length of the head in bytes.
    pub head_bytes: usize,
    /// The status code.
    pub status: u16,
}

impl Response {
    /// Returns whether the endpoint says that it takes nothing now.
    pub fn is_refusal(&self) -> bool {
        matches!(self.status, 502..=504)
    }
}

/// Why an endpoint gave no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It could not be connected to. It has seen nothing of the request.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// It closed the connection without a response. It may have processed the request.
    #[error("closed without a response: {0}")]
    Closed(io::Error),
    /// It did not begin its response in time.
    #[error("no response in time")]
    Timeout,
    /// Its response is malformed.
    #[error("malformed response: {0}")]
    Malformed(#[from] HeadError),
    /// It sent too many interim responses.
    #[error("more than {MAX_INTERIM} interim responses")]
    TooManyInterim,
    /// The client failed, not the endpoint.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The client did not send its body in time.
    #[error("no request body in time")]
    BodyTimeout,
    /// The request has waited in vain for a slot of the endpoint.
    #[error(transparent)]
    Queue(Refusal),
}

/// Sends a request to an endpoint and waits for its response. A kept connection that turns out to be closed is
/// replaced by a new one when the request is [repeatable](Request::repeatable).
///
/// # Errors
/// [`Failure`]; what it says of the endpoint is noted.
pub async fn send(
    worker: &Worker,
    client: &mut Client,
    request: &mut Request,
    endpoint: &Arc<Endpoint>,
) -> Result<Response, Failure> {
    // Of an earlier endpoint there is nothing left to count.
    request.flight = None;
    slot::hold(client, request, endpoint).await?;
    let flight = request.flight.insert(Flight::begin(endpoint));
    let queued = std::mem::take(&mut request.queued);
    if endpoint.slots() > 0 {
        flight.queued(queued);
    }
    let kept = kept::take(worker, client, request, endpoint);
    if kept.is_some() {
        request.flight.iter().for_each(Flight::reuse);
    }
    let result = match kept {
        Some(stream) => match exchange(client, request, stream).await {
            Err(Failure::Closed(_)) if request.repeatable => {
                request.flight.iter().for_each(Flight::retry);
                request.out.rewind();
                on_new_connection(worker, client, request, endpoint).await
            }
            result => result,
        },
        None => on_new_connection(worker, client, request, endpoint).await,
    };
    let (sent_bytes, upgrade) = (request.sent_bytes(), request.upgrade);
    if let Some(flight) = &mut request.flight {
        flight.end_of_attempt(&result, sent_bytes, upgrade);
    }
    match &result {
        // Whoever asked decides whether that is a failure.
        Ok(response) if response.is_refusal() => {}
        Ok(_) => endpoint.health().handle_success(),
        Err(Failure::Client(_) | Failure::BodyTimeout | Failure::Queue(_)) => {}
        Err(failure) => request.upstream.note_failure(endpoint, &failure.to_string()),
    }
    result
}

/// Returns whether the endpoint takes a new connection: whether something is still running there.
pub async fn accepts_connections(upstream: &Upstream, endpoint: &Endpoint) -> bool {
    let deadline = Deadline::new();
    deadline.set(upstream.config().connect_timeout);
    match announce::as_ourselves(upstream) {
        Some(header) => announce::connect(endpoint, header, &deadline, None).await.is_ok(),
        None => connect::connect(endpoint.address(), &mut Outgoing::default(), &deadline, None).await.is_ok(),
    }
}

/// Takes the whole request body into [`Request::out`], so that the request can be offered to several endpoints.
///
/// # Errors
/// [`Failure`] when the client fails or the body is larger than the upstream's `max_held_body`.
pub async fn hold_body(client: &mut Client, request: &mut Request) -> Result<(), Failure> {
    let most = request.out.bytes.len() + request.upstream.config().max_held_body_bytes;
    client.deadline().set(client.body_timeout());
    while !client.body_is_done() {
        let out = &mut request.out.bytes;
        poll_fn(|cx| match client.poll_body(cx, out) {
            Poll::Pending => client.deadline().poll(cx).map(|()| Err(Failure::BodyTimeout)),
            Poll::Ready(result) => Poll::Ready(result.map_err(Failure::Client)),
        })
        .await?;
        if request.out.bytes.len() > most {
            return Err(Failure::Client(ClientError::Io(io::ErrorKind::FileTooLarge.into())));
        }
    }
    Ok(())
}

async fn on_new_connection(
    worker: &Worker,
    client: &mut Client,
    request: &mut Request,
    endpoint: &Endpoint,
) -> Result<Response, Failure> {
    client.deadline().set(request.upstream.config().connect_timeout);
    let begun = Instant::now();
    // What may become a tunnel waits for that where tunnels are.
    let berth = if request.upgrade { client.take_berth(&worker.engine) } else { None };
    let connected = match announce::as_client(client, request) {
        None => connect::connect(endpoint.address(), &mut request.out, client.deadline(), berth.as_ref()).await,
        // Rare: its state must not be a part of every connection's.
        Some(header) => Box::pin(announce::connect(endpoint, header, client.deadline(), berth.as_ref())).await,
    };
    let stream = connected.map_err(Failure::Connect)?;
    if let Some(flight) = &mut request.flight {
        flight.connected(begun);
    }
    exchange(client, request, stream).await
}

/// Sends the request on a connection and waits for the final response.
async fn exchange(client: &mut Client, request: &mut Request, mut stream: Stream) -> Result<Response, Failure> {
    let mut phase = if client.body_is_done() { Phase::Response } else { Phase::Body }.enter(client, request);
    let mut scanned = 0;
    let mut interim = 0;
    loop {
        let input = stream.input();
        if let Some(head_bytes) = http1_head::find_end(input, scanned)? {
            let status = status(&input[..head_bytes])?;
            if !(100..200).contains(&status) || status == 101 {
                return Ok(Response { stream, head_bytes, status });
            }
            interim += 1;
            if interim > MAX_INTERIM {
                return Err(Failure::TooManyInterim);
            }
            Box::pin(pass_interim(client, request, &mut stream, head_bytes)).await?;
            scanned = 0;
            continue;
        }
        // The end may be split: look at its first three bytes again.
        scanned = input.len().saturating_sub(3);
        if input.len() >= BUFFER_BYTES {
            return Err(Failure::Malformed(HeadError::TooManyHeaders));
        }
        poll_fn(|cx| poll_exchange(cx, client, request, &mut stream, &mut phase)).await?;
    }
}

/// What the exchange waits for, which decides how long and who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// For the client to send more of the body.
    Body,
    /// For the endpoint to take what was sent.
    Sending,
    /// For the endpoint to answer.
    Response,
}

impl Phase {
    /// Enters this phase, with its time.
    fn enter(self, client: &Client, request: &Request) -> Self {
        client.deadline().set(match self {
            Self::Body => client.body_timeout(),
            Self::Sending | Self::Response => request.upstream.response_timeout(),
        });
        self
    }
}

/// Moves body bytes towards the endpoint until more of its response has arrived.
fn poll_exchange(
    cx: &mut Context<'_>,
    client: &mut Client,
    request: &mut Request,
    stream: &mut Stream,
    phase: &mut Phase,
) -> Poll<Result<(), Failure>> {
    loop {
        match stream.poll_flush(cx, &mut request.out) {
            Poll::Ready(Ok(())) if client.body_is_done() => {
                if *phase != Phase::Response {
                    *phase = Phase::Response.enter(client, request);
                }
                break;
            }
            Poll::Ready(Ok(())) => {
                if *phase == Phase::Sending {
                    *phase = Phase::Body.enter(client, request);
                }
                request.flushed_bytes += request.out.bytes.len() as u64;
                request.out.clear();
            }
            Poll::Pending if *phase == Phase::Body => {
                *phase = Phase::Sending.enter(client, request);
                break;
            }
            // The endpoint may have answered before it closed; reading tells.
            Poll::Ready(Err(_)) | Poll::Pending => break,
        }
        match client.poll_body(cx, &mut request.out.bytes) {
            Poll::Ready(Ok(())) => *phase = Phase::Body.enter(client, request),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
            Poll::Pending => break,
        }
    }
    match stream.poll_fill(cx) {
        Poll::Ready(Ok(0)) => return Poll::Ready(Err(Failure::Closed(io::ErrorKind::UnexpectedEof.into()))),
        Poll::Ready(Ok(_)) => return Poll::Ready(Ok(())),
        Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Closed(error))),
        Poll::Pending => {}
    }
    if client.body_is_done()
        && let Poll::Ready(error) = client.poll_gone(cx)
    {
        return Poll::Ready(Err(error.into()));
    }
    client.deadline().poll(cx).map(|()| match phase {
        Phase::Body => Err(Failure::BodyTimeout),
        Phase::Sending | Phase::Response => Err(Failure::Timeout),
    })
}

/// Passes an interim response on to a client that can understand it (RFC 9110 section 15.2).
async fn pass_interim(
    client: &mut Client,
    request: &Request,
    stream: &mut Stream,
    head_bytes: usize,
) -> Result<(), Failure> {
    let mut out = Outgoing::default();
    let head = &stream.input()[..head_bytes];
    let response = ResponseHead::parse(head, request.method, &mut Slots::new())
        .map(|response| head::write_unchanged(&response, &mut out.bytes));
    response?;
    if request.version == Version::Http10 {
        out.clear();
    }
    stream.consume(head_bytes);
    poll_fn(|cx| match client.poll_send(cx, &mut out) {
        Poll::Pending => client.deadline().poll(cx).map(|()| Err(Failure::Client(ClientError::Gone))),
        Poll::Ready(result) => Poll::Ready(result.map_err(Failure::Client)),
    })
    .await
}

/// Reads the status code of a response line; the head is checked when it is parsed.
fn status(head: &[u8]) -> Result<u16, HeadError> {
    match head {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', digits @ ..] => match digits.get(..3) {
            Some(digits) if digits.iter().all(u8::is_ascii_digit) => {
                Ok(digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')))
            }
            _ => Err(HeadError::FirstLine),
        },
        _ => Err(HeadError::FirstLine),
    }
}
