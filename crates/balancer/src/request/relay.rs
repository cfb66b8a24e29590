//! Passes a response on to the client.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use limpet_proto::http1::body::{Body, Framing};
use limpet_proto::http1::head::HeadError;
use limpet_proto::http1::request_head::Slots;
use limpet_proto::http1::response_head::ResponseHead;

use super::answer::Error;
use super::attempt::{Failure, Response};
use super::head::{self, Framed};
use super::prepare::Request;
use super::{Served, handshake, kept, session};
use crate::access_log::Exchange;
use crate::affinity::cookie::answer::Answer;
use crate::client::{Client, ClientError, write_end, write_payload};
use crate::clock;
use crate::net::stream::{Outgoing, Stream};
use crate::route::edits::{self, Facts};
use crate::stats::{Count, Flight};
use crate::upstream::endpoint::{Endpoint, Load};
use crate::worker::Worker;

/// A response of which nothing has been sent yet: the client's head lies in `out`.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) out: Outgoing,
    /// Follows what is still to come from the endpoint.
    pub(super) body: Body,
    /// How the body ends on the client's side.
    pub(super) client_framing: Framing,
    /// Whether the client can see the end of the body only by that of its connection.
    pub(super) closes_client: bool,
    /// Whether the client was told that its connection takes another request. A word that is kept: the next request may
    /// have arrived by the end of this one.
    pub(super) keeps_client: bool,
    /// Whether the endpoint accepts another request on this connection, and for how many seconds it waits for one.
    pub(super) endpoint_keeps_alive: bool,
    pub(super) keep_alive_timeout: Option<u64>,
    /// What was read and what was written, if there is a cookie.
    pub(super) cookie: Option<[char; 2]>,
}

/// Passes a response on. `load` is that of a request which no session or tunnel carries yet.
pub(super) async fn relay(
    worker: &Worker,
    client: &mut Client,
    request: &Request,
    mut response: Response,
    load: Option<Load>,
    endpoint: &Arc<Endpoint>,
    log: &mut Exchange,
) -> Result<Served, Error> {
    log.answered(endpoint, response.status);
    if response.status == 101 {
        // A 101 that nobody asked for would turn the rest of the connection into somebody else's bytes.
        if !request.upgrade {
            request.flight.iter().for_each(Flight::denied);
            worker.shared.listeners[client.origin().listener].connections.counters().add(Count::DeniedResponses, 1);
            return Err(Failure::Malformed(HeadError::FirstLine).into());
        }
        return upgrade(worker, request, response, load, endpoint, log);
    }
    if request.upgrade {
        // It becomes no tunnel. Sockets that fail here tell that to whoever reads from them.
        let _ = response.stream.socket_mut().join_runtime();
        client.leave_berth();
    }
    // A handshake's load passes on to the session that it opens; any other request carries its load to its end.
    let (begun, _load) = if request.is_polling_handshake() && response.status == 200 {
        (Box::pin(handshake::begin(worker, client, request, &mut response, load, endpoint)).await, None)
    } else {
        (begin(worker, client, request, &mut response, endpoint), load)
    };
    if let Err(Error::Endpoint(Failure::Malformed(_))) = begun {
        request.flight.iter().for_each(Flight::malformed);
    }
    let Begun {
        mut out,
        mut body,
        client_framing,
        closes_client,
        keeps_client,
        endpoint_keeps_alive,
        keep_alive_timeout,
        cookie,
    } = begun?;
    edit(request, endpoint, &mut out.bytes);
    log.cookie(cookie);
    let mut stream = response.stream;
    let timeout = request.upstream.response_timeout();
    let mut sent_bytes = 0;
    loop {
        let Ok(payload_bytes) = take_payload(&mut stream, &mut body, client_framing, &mut out.bytes) else {
            request.flight.iter().for_each(Flight::server_aborted);
            return Ok(cut(log, closes_client, "the response body is malformed"));
        };
        sent_bytes += payload_bytes;
        log.add_sent(payload_bytes);
        log.gave(out.bytes.len());
        request.flight.iter().for_each(|flight| flight.sent(out.bytes.len()));
        client.deadline().set(timeout);
        if send(client, &mut out).await.is_err() {
            request.flight.iter().for_each(Flight::client_aborted);
            return Ok(cut(log, closes_client, "the client has gone"));
        }
        if body.is_done() {
            break;
        }
        out.clear();
        match fill(client, &mut stream).await {
            Ok(0) if body.may_end_with_connection() => body = Body::new(Framing::Empty),
            Ok(0) => {
                request.flight.iter().for_each(Flight::server_aborted);
                return Ok(cut(log, closes_client, "the endpoint closed within the response"));
            }
            Ok(_) => {}
            Err(error) => {
                let aborted = if is_client_gone(&error) { Flight::client_aborted } else { Flight::server_aborted };
                request.flight.iter().for_each(aborted);
                return Ok(cut(log, closes_client, &error.to_string()));
            }
        }
    }
    session::count(worker, request, sent_bytes);
    // Bytes behind a response belong to no request: such a connection is not used again.
    if endpoint_keeps_alive && request.out.is_flushed() && client.body_is_done() && stream.input().is_empty() {
        kept::put(worker, client, request, endpoint, stream, keep_alive_timeout);
    }
    Ok(Served::Passed { keep_alive: keeps_client })
}

/// Gives a response up of which bytes have left already. Only the end of the connection can show that it is incomplete,
/// and where that is how complete bodies end too, it must be a reset.
fn cut(log: &mut Exchange, closes_client: bool, reason: &str) -> Served {
    log.cut(reason);
    if closes_client { Served::Broken } else { Served::Passed { keep_alive: false } }
}

/// Returns whether the client's connection may carry another request after this one.
pub(super) fn keeps_alive(worker: &Worker, client: &Client, request: &Request) -> bool {
    request.keep_alive && client.body_is_done() && !worker.is_stopping()
}

/// Writes the client's head of a response whose body passes as it comes.
fn begin(
    worker: &Worker,
    client: &Client,
    request: &Request,
    response: &mut Response,
    endpoint: &Endpoint,
) -> Result<Begun, Error> {
    let mut slots = Slots::new();
    let (head_bytes, rest) = response.stream.input().split_at(response.head_bytes);
    let head = ResponseHead::parse(head_bytes, request.method, &mut slots).map_err(Failure::Malformed)?;
    if session::ends(request, response.status, rest) {
        session::close(worker, request);
    }
    let client_framing = client.response_framing(head.framing, request.version);
    let begun = write_head(worker, client, request, &head, (client_framing, false), endpoint);
    response.stream.consume(response.head_bytes);
    Ok(begun)
}

/// Writes the client's head of a response.
pub(super) fn write_head(
    worker: &Worker,
    client: &Client,
    request: &Request,
    head: &ResponseHead<'_, '_>,
    (client_framing, rewritten): (Framing, bool),
    endpoint: &Endpoint,
) -> Begun {
    let mut out = Outgoing::with_capacity(head.lines.len_bytes() + 512);
    let keep_alive = keeps_alive(worker, client, request) && client_framing != Framing::UntilClose;
    let framed = Framed { framing: client_framing, rewritten, version: request.version, keep_alive };
    head::write_response(head, framed, &mut out.bytes);
    let cookie = bind_client(worker, request, head, endpoint, &mut out.bytes);
    Begun {
        out,
        body: Body::new(head.framing),
        client_framing,
        closes_client: client_framing == Framing::UntilClose,
        keeps_client: keep_alive,
        endpoint_keeps_alive: head.keeps_alive(),
        keep_alive_timeout: head.keep_alive_timeout,
        cookie,
    }
}

/// Changes the head of a response as the route wants it.
fn edit(request: &Request, endpoint: &Endpoint, out: &mut Vec<u8>) {
    let facts = Facts { client: request.client, endpoint: endpoint.name() };
    edits::apply(&request.route.config.response_headers, facts, out);
}

/// Lets the modes of affinity say in the client's head where its next request should go. Returns the cookie's letters.
fn bind_client(
    worker: &Worker,
    request: &Request,
    head: &ResponseHead<'_, '_>,
    endpoint: &Endpoint,
    out: &mut Vec<u8>,
) -> Option<[char; 2]> {
    let upstream = &*request.upstream;
    if upstream.affinity.is_empty() {
        return None;
    }
    let keys = worker.shared.tags.load();
    let answer = Answer {
        endpoint,
        upstream,
        head,
        method: request.method,
        by_sid: request.evidence.is_sid(),
        keys: keys.cookies(),
        now: clock::coarse(),
        unix: clock::unix(),
    };
    upstream.affinity.write(&request.said, answer, out)
}

/// Moves what has arrived of a body to `out`, framed for the client; returns the bytes of payload.
fn take_payload(
    stream: &mut Stream,
    body: &mut Body,
    framing: Framing,
    out: &mut Vec<u8>,
) -> Result<usize, limpet_proto::http1::body::BodyError> {
    let mut payload_bytes = 0;
    while !stream.input().is_empty() && !body.is_done() {
        let step = body.handle_bytes(stream.input())?;
        write_payload(framing, step.payload, out);
        payload_bytes += step.payload.len();
        let consumed = step.consumed;
        stream.consume(consumed);
    }
    if body.is_done() {
        write_end(framing, out);
    }
    Ok(payload_bytes)
}

/// Sends all of `out`, within the deadline.
pub(super) async fn send(client: &mut Client, out: &mut Outgoing) -> Result<(), ClientError> {
    poll_fn(|cx| match client.poll_send(cx, out) {
        Poll::Pending => client.deadline().poll(cx).map(|()| Err(ClientError::Gone)),
        ready => ready,
    })
    .await
}

/// Waits for more of the response, within the deadline and for as long as the client is there.
pub(super) async fn fill(client: &mut Client, stream: &mut Stream) -> io::Result<usize> {
    poll_fn(|cx| {
        if let Poll::Ready(filled) = stream.poll_fill(cx) {
            return Poll::Ready(filled);
        }
        if client.body_is_done() && client.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(io::Error::other(ClientError::Gone)));
        }
        client.deadline().poll(cx).map(|()| Err(io::Error::other("the endpoint sent nothing in time")))
    })
    .await
}

/// Returns whether a failed [`fill`] is the client's doing.
fn is_client_gone(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<ClientError>())
}

/// Makes a tunnel of a 101.
fn upgrade(
    worker: &Worker,
    request: &Request,
    mut response: Response,
    load: Option<Load>,
    endpoint: &Arc<Endpoint>,
    log: &mut Exchange,
) -> Result<Served, Error> {
    let mut slots = Slots::new();
    let mut head = Vec::with_capacity(response.head_bytes);
    match ResponseHead::parse(&response.stream.input()[..response.head_bytes], request.method, &mut slots) {
        Ok(parsed) => {
            head::write_unchanged(&parsed, &mut head);
            log.cookie(bind_client(worker, request, &parsed, endpoint, &mut head));
        }
        Err(error) => return Err(Failure::Malformed(error).into()),
    }
    edit(request, endpoint, &mut head);
    response.stream.consume(response.head_bytes);
    // The session's load passes on to its tunnel.
    let load = load.or_else(|| session::upgrade(worker, request)).unwrap_or_else(|| Load::take(endpoint));
    Ok(Served::Upgraded { stream: response.stream, head, load })
}
