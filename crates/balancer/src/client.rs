//! The client of a request: where its body comes from and where its response goes.
//!
//! There are two kinds. [`Http1`] is a connection that speaks HTTP/1. [`Frames`] is one stream of a multiplexed
//! connection, such as HTTP/2, whose frames another task reads and writes. The [request path](crate::request) is the
//! same for both: it sees a head in HTTP/1 form, body bytes as an endpoint wants them, and response bytes.

pub mod address;
pub mod connection;
pub mod crowd;
pub mod frames;
pub mod http1;
pub mod proxy;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use limpet_proto::http1::Version;
use limpet_proto::http1::body::{self, BodyError, Framing};

use self::frames::Frames;
use self::http1::Http1;
use crate::net::deadline::Deadline;
use crate::net::stream::Outgoing;
use crate::tunnel::Engine;
use crate::tunnel::berth::{Berth, From};
use crate::upstream::pool::Private;

/// The client of a request.
#[derive(Debug)]
pub enum Client {
    /// A connection that speaks HTTP/1.
    Http1(Http1),
    /// One stream of a multiplexed connection.
    Frames(Frames),
}

/// What is known about a client before it says anything.
#[derive(Debug)]
pub struct Origin {
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// The peer's address as text, which every forwarded request carries.
    pub peer_text: Box<str>,
    /// Whether the headers in which the peer speaks of its own clients are believed.
    pub trusted: bool,
    /// The listener's place in the configuration.
    pub listener: usize,
    /// The address that the client connected to, where a PROXY header told it.
    pub destination: Option<Box<SocketAddr>>,
}

impl Origin {
    /// Describes the client at the other end of a connection.
    pub fn new(peer: SocketAddr, trusted: bool, listener: usize) -> Self {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Self { peer, peer_text: address::text(peer.ip()), trusted, listener, destination: None }
    }

    /// Returns the peer's address.
    pub fn ip(&self) -> IpAddr {
        self.peer.ip()
    }
}

/// What a client is told whose request body is larger than its route allows.
pub const BODY_TOO_LARGE: &str = "the request body is too large";

/// Why a client's part of an exchange failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The client closed its connection, or half of it, before it had its response.
    #[error("the client has gone")]
    Gone,
    /// The request body breaks its framing.
    #[error("the request body is malformed: {0}")]
    Body(#[from] BodyError),
    /// The request body grew larger than its route allows.
    #[error("{BODY_TOO_LARGE}")]
    BodyTooLarge,
    /// The connection failed.
    #[error("the client's connection failed: {0}")]
    Io(#[from] io::Error),
}

impl Client {
    /// Returns who the client is.
    pub fn origin(&self) -> &Origin {
        match self {
            Self::Http1(client) => &client.origin,
            Self::Frames(client) => &client.origin,
        }
    }

    /// Returns the address that the client connected to, if it is known.
    pub fn destination(&self) -> Option<SocketAddr> {
        match (&self.origin().destination, self) {
            (Some(destination), _) => Some(**destination),
            (None, Self::Http1(client)) => client.stream.socket().local_addr().ok(),
            (None, Self::Frames(_)) => None,
        }
    }

    /// Returns the place for a connection to an endpoint that no other client may use; streams have none.
    pub(crate) fn private(&mut self) -> Option<&mut Private> {
        match self {
            Self::Http1(client) => Some(&mut client.private),
            Self::Frames(_) => None,
        }
    }

    /// Takes a berth in the tunnel engine and returns it; streams of a multiplexed connection have none.
    pub(crate) fn take_berth(&mut self, engine: &Engine) -> Option<Rc<Berth>> {
        let Self::Http1(client) = self else { return None };
        let socket = client.stream.socket_mut();
        let berth = socket.berth().map_or_else(|| engine.reserve(), Rc::clone);
        // A socket that failed tells that to whoever reads from it.
        let _ = socket.take_berth(&berth, From::Client);
        Some(berth)
    }

    /// Leaves the tunnel engine, where there is a berth.
    pub(crate) fn leave_berth(&mut self) {
        if let Self::Http1(client) = self
            && client.stream.socket().berth().is_some()
        {
            // A socket that failed tells that to whoever reads from it.
            let _ = client.stream.socket_mut().join_runtime();
        }
    }

    /// Returns the deadline of what the client is waited for.
    pub fn deadline(&self) -> &Deadline {
        match self {
            Self::Http1(client) => &client.deadline,
            Self::Frames(client) => &client.deadline,
        }
    }

    /// Returns the longest silence within a request body.
    pub fn body_timeout(&self) -> Duration {
        match self {
            Self::Http1(client) => client.body_timeout,
            Self::Frames(client) => client.body_timeout,
        }
    }

    /// Begins the exchange of a request with this body.
    pub fn begin_request(&mut self, framing: Framing) {
        match self {
            Self::Http1(client) => client.begin_request(framing),
            Self::Frames(client) => client.begin_request(framing),
        }
    }

    /// Bounds the payload of the request body, which [`begin_request`](Self::begin_request) has left without bound.
    pub fn limit_body(&mut self, max_bytes: u64) {
        match self {
            Self::Http1(client) => client.body_allowance = max_bytes,
            Self::Frames(client) => client.body_allowance = max_bytes,
        }
    }

    /// Returns whether the whole request body was taken.
    pub fn body_is_done(&self) -> bool {
        match self {
            Self::Http1(client) => client.body_is_done(),
            Self::Frames(client) => client.body_is_done(),
        }
    }

    /// Appends what has arrived of the request body to `out`, framed for the endpoint.
    ///
    /// # Errors
    /// [`ClientError`]; the exchange cannot go on.
    pub fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Result<(), ClientError>> {
        match self {
            Self::Http1(client) => client.poll_body(cx, out),
            Self::Frames(client) => client.poll_body(cx, out),
        }
    }

    /// Appends what has already arrived of the request body to `out`, so that a short one leaves with its head.
    ///
    /// # Errors
    /// [`ClientError::Body`] when it breaks its framing.
    pub fn take_arrived_body(&mut self, out: &mut Vec<u8>) -> Result<(), ClientError> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match self {
            Self::Http1(client) if !client.stream.input().is_empty() => match client.poll_body(&mut cx, out) {
                Poll::Ready(result) => result,
                Poll::Pending => Ok(()),
            },
            Self::Http1(_) | Self::Frames(_) => Ok(()),
        }
    }

    /// Is ready when the client has gone, to be polled while its response is awaited.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<ClientError> {
        match self {
            Self::Http1(client) => client.poll_gone(cx),
            Self::Frames(client) => client.poll_gone(cx),
        }
    }

    /// Chooses the framing of a response body for this client.
    pub fn response_framing(&self, framing: Framing, version: Version) -> Framing {
        match (self, framing, version) {
            (Self::Http1(_), Framing::UntilClose, Version::Http11) => Framing::Chunked,
            (Self::Http1(_), Framing::Chunked, Version::Http10) | (Self::Frames(_), Framing::Chunked, _) => {
                Framing::UntilClose
            }
            (_, framing, _) => framing,
        }
    }

    /// Sends what it can of the response; ready when all of `out` is sent.
    ///
    /// # Errors
    /// [`ClientError`]; the exchange cannot go on.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) -> Poll<Result<(), ClientError>> {
        match self {
            Self::Http1(client) => client.poll_send(cx, out),
            Self::Frames(client) => client.poll_send(cx, out),
        }
    }
}

/// Takes payload off what a request body may still have.
fn take_allowance(allowance: &mut u64, payload: &[u8]) -> Result<(), ClientError> {
    *allowance = allowance.checked_sub(payload.len() as u64).ok_or(ClientError::BodyTooLarge)?;
    Ok(())
}

/// Appends payload to `out` in this framing.
pub fn write_payload(framing: Framing, payload: &[u8], out: &mut Vec<u8>) {
    match framing {
        Framing::Chunked => body::write_chunk(payload, out),
        Framing::Empty | Framing::Length(_) | Framing::UntilClose => out.extend_from_slice(payload),
    }
}

/// Appends the end of a body to `out`.
pub fn write_end(framing: Framing, out: &mut Vec<u8>) {
    if framing == Framing::Chunked {
        out.extend_from_slice(body::LAST_CHUNK);
    }
}
