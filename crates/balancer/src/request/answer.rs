//! What the balancer says itself: the only place where an error becomes an HTTP status.

use limpet_proto::engineio::error as engineio_error;
use limpet_proto::engineio::query::QueryError;
use limpet_proto::http1::Method;
use limpet_proto::http1::head::{self, HeadError};
use limpet_proto::http1::headers::Known;
use limpet_proto::http1::request_head::{RequestHead, Slots};

use super::attempt::Failure;
use super::head::write_line;
use super::prepare::Request;
use super::{Outcome, relay};
use crate::access_log::Exchange;
use crate::client::{BODY_TOO_LARGE, Client, ClientError, proxy};
use crate::limit::Refusal;
use crate::net::stream::Outgoing;
use crate::stats;
use crate::worker::Worker;

/// Why a request is answered by the balancer and not by an endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request head is malformed or ambiguous.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The connection's PROXY header is missing, malformed or not to be believed.
    #[error(transparent)]
    ProxyHeader(#[from] proxy::Refused),
    /// The request head is larger than the listener allows.
    #[error("the request head is too large")]
    HeadTooLarge,
    /// The client took too long to send its request.
    #[error("the request did not arrive in time")]
    RequestTimeout,
    /// The Engine.IO query is ambiguous.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The client address has too many connections.
    #[error("too many connections from this address")]
    TooManyConnections,
    /// A limit of the route or the listener.
    #[error(transparent)]
    Limit(#[from] Refusal),
    /// The request body is larger than the route allows.
    #[error("{BODY_TOO_LARGE}")]
    BodyTooLarge,
    /// No route matches.
    #[error("no route matches")]
    NoRoute,
    /// No endpoint has the session.
    #[error("no endpoint has this session")]
    UnknownSession,
    /// The endpoint that the client is bound to cannot take the request, and no other one may.
    #[error("the endpoint of this client is not available")]
    EndpointGone,
    /// The upstream has no endpoint left to try.
    #[error("no endpoint is available")]
    NoEndpoint,
    /// The response's body is malformed.
    #[error("the response body is malformed")]
    MalformedBody,
    /// The endpoint failed.
    #[error(transparent)]
    Endpoint(#[from] Failure),
}

impl Error {
    /// Returns the status and reason phrase; `None` when there is nobody left to answer.
    pub fn status(&self) -> Option<(u16, &'static str)> {
        Some(match self {
            Self::Head(error) => error.status(),
            Self::HeadTooLarge => head::HEAD_TOO_LARGE,
            Self::Query(_) | Self::UnknownSession => (400, "Bad Request"),
            Self::ProxyHeader(proxy::Refused::TooSlow) => (408, "Request Timeout"),
            Self::ProxyHeader(proxy::Refused::NotAProxy) => (403, "Forbidden"),
            Self::ProxyHeader(_) => (400, "Bad Request"),
            Self::RequestTimeout | Self::Endpoint(Failure::BodyTimeout) => (408, "Request Timeout"),
            Self::TooManyConnections => (429, "Too Many Requests"),
            Self::Limit(refusal) => refusal.status(),
            Self::BodyTooLarge | Self::Endpoint(Failure::Client(ClientError::BodyTooLarge)) => {
                (413, "Content Too Large")
            }
            Self::NoRoute => (404, "Not Found"),
            Self::NoEndpoint | Self::EndpointGone | Self::Endpoint(Failure::Connect(_) | Failure::Queue(_)) => {
                (503, "Service Unavailable")
            }
            Self::Endpoint(Failure::Timeout) => (504, "Gateway Timeout"),
            Self::Endpoint(Failure::Client(ClientError::Body(_))) => (400, "Bad Request"),
            Self::Endpoint(Failure::Client(_)) => return None,
            Self::Endpoint(_) | Self::MalformedBody => (502, "Bad Gateway"),
        })
    }

    /// Returns after how many seconds it is worth to try again, where that can be said.
    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Limit(refusal) => refusal.retry_after(),
            _ => self.status().is_some_and(|(status, _)| status == 503).then_some(1),
        }
    }
}

/// Answers a request for which there is no response.
pub(super) async fn send(
    worker: &Worker,
    client: &mut Client,
    request: Option<&Request>,
    error: &Error,
    log: &mut Exchange,
) -> Outcome {
    log.failed(error.status().map(|(status, _)| status), error);
    stats::refusal::count(worker, client, request, error);
    let Some((status, reason)) = error.status() else {
        return Outcome::Close;
    };
    let keep_alive = match request {
        Some(request) => relay::keeps_alive(worker, client, request) && !request.upgrade,
        None => false,
    };
    let mut out = Outgoing::default();
    match (error, request) {
        (Error::UnknownSession, Some(request)) if request.upgrade => {
            out.bytes.extend_from_slice(engineio_error::UNKNOWN_SESSION_RAW_RESPONSE.as_bytes());
        }
        (Error::UnknownSession, Some(request)) => unknown_session(request, keep_alive, &mut out.bytes),
        _ => plain(status, reason, &error.to_string(), error.retry_after(), keep_alive, &mut out.bytes),
    }
    if request.is_some_and(|request| request.method == Method::Head)
        && let Some(end) = memchr::memmem::find(&out.bytes, b"\r\n\r\n")
    {
        out.bytes.truncate(end + 4);
    }
    log.gave(out.bytes.len());
    client.deadline().set(client.body_timeout());
    match relay::send(client, &mut out).await {
        Ok(()) if keep_alive => Outcome::KeepAlive,
        _ => Outcome::Close,
    }
}

/// Refuses a connection before it has sent a request that could be served.
pub(crate) async fn refuse(worker: &Worker, client: &mut Client, error: &Error, log: &mut Exchange) {
    send(worker, client, None, error, log).await;
}

/// Writes the exact Engine.IO error, readable for a page of any origin, so that its client opens a new session.
fn unknown_session(request: &Request, keep_alive: bool, out: &mut Vec<u8>) {
    let body = engineio_error::UNKNOWN_SESSION_JSON;
    out.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n");
    write_line("Content-Type", engineio_error::JSON_CONTENT_TYPE.as_bytes(), out);
    write_line("Content-Length", body.len().to_string().as_bytes(), out);
    write_line("Cache-Control", b"no-store", out);
    // The head for the endpoint still has the Origin header.
    let mut slots = Slots::new();
    if let Some(head) = request.out.bytes.get(..request.head_bytes)
        && let Ok(head) = RequestHead::parse(head, &mut slots)
        && let Some(origin) = head.lines.find(Known::Origin)
    {
        write_line("Access-Control-Allow-Origin", origin, out);
        write_line("Access-Control-Allow-Credentials", b"true", out);
        write_line("Vary", b"Origin", out);
    }
    finish(body, keep_alive, out);
}

fn plain(status: u16, reason: &str, text: &str, retry_after: Option<u32>, keep_alive: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("HTTP/1.1 {status} {reason}\r\n").as_bytes());
    write_line("Content-Type", b"text/plain; charset=utf-8", out);
    write_line("Content-Length", (text.len() + 1).to_string().as_bytes(), out);
    if let Some(seconds) = retry_after {
        write_line("Retry-After", seconds.to_string().as_bytes(), out);
    }
    finish(&format!("{text}\n"), keep_alive, out);
}

fn finish(body: &str, keep_alive: bool, out: &mut Vec<u8>) {
    let connection: &[u8] = if keep_alive { b"keep-alive" } else { b"close" };
    write_line("Connection", connection, out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body.as_bytes());
}
