//! The life of a client connection: heads come in, each is served, until one side ends it or it becomes a tunnel.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use limpet_proto::engineio::Transport;
use limpet_proto::http1::head::{self, HeadError};
use limpet_proto::http1::request_head::{RequestHead, Slots};

use super::http1::Http1;
use super::proxy::{self, Expected, Received};
use super::{Client, Origin};
use crate::access_log::Exchange;
use crate::config::{AcceptProxy, ListenerConfig};
use crate::net::limit::{Permit, Refusal};
use crate::net::socket::Socket;
use crate::net::stream::Stream;
use crate::request::answer::{self, Error};
use crate::request::prepare::{self, Prepared};
use crate::request::{self, Outcome, Upgraded, local};
use crate::tunnel::{Limits, Record, Tunnel};
use crate::worker::Worker;

/// Empty lines that may come before a request line (RFC 9112 section 2.2).
const MAX_EMPTY_LINES: u32 = 4;

/// What the wait for a head ends with.
enum Arrived {
    /// A whole head of this length lies in the input.
    Head(usize),
    /// The client has ended the connection between two requests, or was silent for too long.
    End,
    /// What arrived is no head.
    Refused(Error),
}

/// Serves a client connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, socket: Socket, origin: Origin, permit: Result<Permit, Refusal>) {
    let listener = origin.listener;
    let config = &worker.shared.listeners[listener].config;
    let mut client = Client::Http1(Http1::new(origin, Stream::new(socket), config.body_timeout));
    let Ok(mut permit) = permit else {
        let mut log = begin_log(&worker, &client, config);
        answer::refuse(&worker, &mut client, &Error::TooManyConnections, &mut log).await;
        answered(&worker, &client, log);
        return linger(client).await;
    };
    if config.accept_proxy != AcceptProxy::Off {
        // Most listeners have none, and what waits for it must not be a part of every connection.
        match Box::pin(admit(&worker, &mut client, &mut permit, config)).await {
            Admission::Admitted => {}
            Admission::Refused => return linger(client).await,
            Admission::Gone => return,
        }
    }
    let mut is_first = true;
    loop {
        let Client::Http1(http1) = &mut client else { return };
        let arrived = match wait_for_head(&worker, http1, config).await {
            Arrived::End => return,
            arrived => arrived,
        };
        let mut log = begin_log(&worker, &client, config);
        let request = match arrived {
            Arrived::Head(bytes) => take_request(&worker, &mut client, bytes, &mut log),
            Arrived::Refused(error) => Err(error),
            Arrived::End => return,
        };
        if let Ok(request) = &request
            && std::mem::take(&mut is_first)
            && let Some(crowd) = &worker.shared.listeners[listener].crowd
        {
            crowd.note(&config.name, request.client());
        }
        let outcome = match request {
            Ok(Prepared::Forward(request)) => request::serve(&worker, &mut client, request, &mut log).await,
            Ok(Prepared::Local(request)) => Box::pin(local::serve(&worker, &mut client, request, &mut log)).await,
            Err(error) => {
                let error = blame_proxy_header(&worker, &client, config, error);
                answer::refuse(&worker, &mut client, &error, &mut log).await;
                Outcome::Close
            }
        };
        answered(&worker, &client, log);
        match outcome {
            Outcome::KeepAlive => {}
            Outcome::Close => return linger(client).await,
            Outcome::Reset => return reset(&client),
            Outcome::Tunnel(upgraded) => return become_tunnel(&worker, client, *upgraded, permit),
        }
    }
}

/// What becomes of a connection to a listener that accepts PROXY headers.
enum Admission {
    /// It may send requests.
    Admitted,
    /// It has been told that it is refused.
    Refused,
    /// It has ended.
    Gone,
}

/// Reads the PROXY header of a connection that needs one, and counts the connection for the client that it names.
async fn admit(worker: &Worker, client: &mut Client, permit: &mut Permit, config: &ListenerConfig) -> Admission {
    let Client::Http1(http1) = client else { return Admission::Gone };
    let Origin { listener, .. } = http1.origin;
    let peer = http1.origin.ip();
    let received = match proxy::expected(config, peer) {
        Expected::Request => return Admission::Admitted,
        Expected::Nothing => Received::Refused(proxy::Refused::NotAProxy),
        Expected::Header => proxy::receive(worker, http1, config).await,
    };
    let error = match received {
        Received::End => return Admission::Gone,
        Received::Header if permit.name(http1.origin.ip()).is_ok() => return Admission::Admitted,
        Received::Header => Error::TooManyConnections,
        Received::Refused(why) => {
            proxy::note_refusal(worker, listener, peer, why);
            why.into()
        }
    };
    let mut log = begin_log(worker, client, config);
    answer::refuse(worker, client, &error, &mut log).await;
    answered(worker, client, log);
    Admission::Refused
}

/// Names the reason for a malformed head when it is a PROXY header that nobody asked for.
fn blame_proxy_header(worker: &Worker, client: &Client, config: &ListenerConfig, error: Error) -> Error {
    let (Error::Head(_), Client::Http1(http1)) = (&error, client) else { return error };
    match proxy::unasked(config, http1.stream.input()) {
        Some(why) => {
            proxy::note_refusal(worker, http1.origin.listener, http1.origin.ip(), why);
            why.into()
        }
        None => error,
    }
}

async fn wait_for_head(worker: &Worker, client: &mut Http1, config: &ListenerConfig) -> Arrived {
    let mut scanned = 0;
    let mut empty_lines = 0;
    let mut begun = !client.stream.input().is_empty();
    client.deadline.set(if begun { config.head_timeout } else { config.idle_timeout });
    loop {
        while client.stream.input().starts_with(b"\r\n") && empty_lines < MAX_EMPTY_LINES {
            client.stream.consume(2);
            empty_lines += 1;
            scanned = 0;
        }
        let input = client.stream.input();
        match head::find_end(input, scanned) {
            Ok(Some(bytes)) if bytes <= config.max_head_bytes => return Arrived::Head(bytes),
            Ok(_) if input.len() >= config.max_head_bytes => return Arrived::Refused(too_large(input)),
            Ok(_) if !input.is_empty() && !head::may_begin_request(input) => {
                return Arrived::Refused(HeadError::Method.into());
            }
            Ok(_) => {}
            Err(error) => return Arrived::Refused(error.into()),
        }
        scanned = input.len().saturating_sub(3);
        let filled = poll_fn(|cx| match client.stream.poll_fill(cx) {
            // What has arrived is answered, also if the runtime has not heard of it yet.
            Poll::Pending if worker.is_stopping() && !begun && !client.stream.has_arrived() => Poll::Ready(None),
            Poll::Pending => client.deadline.poll(cx).map(|()| None),
            Poll::Ready(filled) => Poll::Ready(Some(filled)),
        });
        match filled.await {
            Some(Ok(0) | Err(_)) => return Arrived::End,
            Some(Ok(_)) if !begun => {
                begun = true;
                client.deadline.set(config.head_timeout);
            }
            Some(Ok(_)) => {}
            None if begun => return Arrived::Refused(Error::RequestTimeout),
            None => return Arrived::End,
        }
    }
}

/// Says which part of an oversized head is too large.
fn too_large(input: &[u8]) -> Error {
    if input.contains(&b'\n') { Error::HeadTooLarge } else { HeadError::TargetTooLong.into() }
}

/// Parses the head, prepares the request and takes what has arrived of its body.
fn take_request(
    worker: &Worker,
    client: &mut Client,
    head_bytes: usize,
    log: &mut Exchange,
) -> Result<Prepared, Error> {
    let Client::Http1(http1) = client else {
        return Err(HeadError::FirstLine.into());
    };
    let mut slots = Slots::new();
    let head = RequestHead::parse(&http1.stream.input()[..head_bytes], &mut slots)?;
    log.took(head_bytes as u64);
    log.asked(head.method_token, head.target.path_and_query);
    let mut request = prepare::prepare(&worker.shared, &http1.origin, &mut http1.last_tag, &head)?;
    if let Prepared::Forward(request) = &request {
        log.routed(request.upstream.name(), request.evidence);
        log.cookie(request.upstream.affinity.letters(&request.said));
    }
    let framing = head.framing;
    http1.stream.consume(head_bytes);
    client.begin_request(framing);
    match request.route().max_body_bytes {
        0 => {}
        max_bytes => client.limit_body(max_bytes),
    }
    if let Prepared::Forward(request) = &mut request {
        client.take_arrived_body(&mut request.out.bytes).map_err(|error| Error::Endpoint(error.into()))?;
    }
    Ok(request)
}

fn become_tunnel(worker: &Worker, client: Client, upgraded: Upgraded, permit: Permit) {
    let Client::Http1(Http1 { origin, stream, .. }) = client else { return };
    match join(worker, upgraded, stream, &origin, permit) {
        Ok(tunnel) => worker.engine.adopt(tunnel),
        Err(error) => tracing::debug!(%error, "a tunnel could not begin"),
    }
}

/// Joins the endpoint's half of a tunnel and the client's.
fn join(worker: &Worker, upgraded: Upgraded, client: Stream, origin: &Origin, permit: Permit) -> io::Result<Tunnel> {
    let Upgraded { stream, head, load, request } = upgraded;
    let session = request.session;
    let parts = client.release().and_then(|client| Ok((client, stream.release()?)));
    let ((client, to_upstream), (upstream, to_client)) = match (parts, &session.sid) {
        (Ok(parts), _) => parts,
        (Err(error), sid) => {
            // The session goes on by polling, and its record has given its load away: the next poll makes a new one.
            if let Some(sid) = sid {
                worker.shared.sessions.closed(sid.as_str());
            }
            return Err(error);
        }
    };
    // The first message of a websocket-first session tells its sid.
    let expect_open = session.sid.is_none() && session.transport == Some(Transport::Websocket);
    let record = Record {
        sid: session.sid,
        expect_open,
        client: origin.peer.into(),
        listener: u16::try_from(origin.listener).unwrap_or(u16::MAX),
        user_agent: request.user_agent,
        upstream: request.upstream,
        load,
        limits: Limits::of(request.admitted.tunnel, request.slot),
        permit,
    };
    Ok(Tunnel { client, upstream, head, to_client, to_upstream, record })
}

/// Ends a connection so that the client gets what was sent, also when it is still sending.
async fn linger(client: Client) {
    let Client::Http1(mut client) = client else { return };
    client.deadline.set(client.body_timeout.min(std::time::Duration::from_secs(2)));
    let Http1 { stream, deadline, .. } = &mut client;
    let mut lingering = std::pin::pin!(stream.linger());
    poll_fn(|cx| match lingering.as_mut().poll(cx) {
        Poll::Pending => deadline.poll(cx),
        ready => ready,
    })
    .await;
}

/// Makes the coming end of a connection a reset.
fn reset(client: &Client) {
    if let Client::Http1(client) = client {
        // If it fails, an ordinary end follows.
        let _ = client.stream.socket().reset();
    }
}

/// Ends an exchange: the listener counts it, and the access log gets its line.
fn answered(worker: &Worker, client: &Client, log: Exchange) {
    worker.shared.listeners[client.origin().listener].connections.counters().exchanged(&log.tally());
    log.end();
}

fn begin_log(worker: &Worker, client: &Client, config: &ListenerConfig) -> Exchange {
    Exchange::begin(worker.shared.access_log.as_ref(), client.origin().peer, &config.name)
}

#[cfg(test)]
mod tests;
