//! Reads the response to a polling handshake: tags or learns the sid of the new session.

use std::sync::Arc;

use limpet_proto::engineio::sid::{MAX_SID_CHARS, Sid};
use limpet_proto::engineio::{self, Version as EngineVersion, handshake};
use limpet_proto::http1::Method;
use limpet_proto::http1::body::{Body, Framing};
use limpet_proto::http1::headers::Known;
use limpet_proto::http1::request_head::Slots;
use limpet_proto::http1::response_head::ResponseHead;

use super::answer::Error;
use super::attempt::{Failure, Response};
use super::prepare::Request;
use super::relay::{self, Begun};
use super::session;
use crate::affinity::tag::SUFFIX_LEN;
use crate::client::{Client, write_end, write_payload};
use crate::clock;
use crate::stats::Count;
use crate::upstream::endpoint::{Endpoint, Load};
use crate::worker::Worker;

/// The largest handshake body that is held to be read. Larger ones pass unchanged.
const MAX_HELD_BYTES: usize = 64 * 1024;

/// Holds the body of a handshake and writes the client's response to it.
///
/// A body that is encoded, too large, incomplete or not an Engine.IO handshake passes unchanged.
pub(super) async fn begin(
    worker: &Worker,
    client: &mut Client,
    request: &Request,
    response: &mut Response,
    load: Option<Load>,
    endpoint: &Arc<Endpoint>,
) -> Result<Begun, Error> {
    // The head must outlive the reads of the body.
    let head = response.stream.input()[..response.head_bytes].to_vec();
    response.stream.consume(response.head_bytes);
    let mut slots = Slots::new();
    let head = ResponseHead::parse(&head, request.method, &mut slots).map_err(Failure::Malformed)?;
    let passing = client.response_framing(head.framing, request.version);
    if head.lines.find(Known::ContentEncoding).is_some() {
        return Ok(relay::write_head(worker, client, request, &head, (passing, false), endpoint));
    }

    let mut body = Body::new(head.framing);
    let mut held = Vec::new();
    while !body.is_done() && held.len() < MAX_HELD_BYTES {
        if response.stream.input().is_empty() {
            match relay::fill(client, &mut response.stream).await {
                Ok(0) if body.may_end_with_connection() => {
                    body = Body::new(Framing::Empty);
                    continue;
                }
                Ok(0) => return Err(Failure::Closed(std::io::ErrorKind::UnexpectedEof.into()).into()),
                Ok(_) => {}
                Err(error) => return Err(Failure::Closed(error).into()),
            }
        }
        let Ok(step) = body.handle_bytes(response.stream.input()) else {
            return Err(Error::MalformedBody);
        };
        held.extend_from_slice(step.payload);
        let consumed = step.consumed;
        response.stream.consume(consumed);
    }
    if body.is_done()
        && let Some(open) = handshake::parse(&held)
        && let Some(tagged) = open_session(worker, request, load, endpoint, &held, &open)
    {
        let framing = Framing::Length(tagged.len() as u64);
        let mut begun = relay::write_head(worker, client, request, &head, (framing, true), endpoint);
        begun.out.bytes.extend_from_slice(&tagged);
        return Ok(Begun { body, client_framing: Framing::Empty, ..begun });
    }
    let mut begun = relay::write_head(worker, client, request, &head, (passing, false), endpoint);
    write_payload(passing, &held, &mut begun.out.bytes);
    if body.is_done() {
        write_end(passing, &mut begun.out.bytes);
        // The relay must not write the end once more.
        begun.client_framing = Framing::Empty;
        begun.closes_client = passing == Framing::UntilClose;
    }
    Ok(Begun { body, ..begun })
}

/// Notes the new session and returns the body with a tagged sid, or `None` when the sid is learned instead.
fn open_session(
    worker: &Worker,
    request: &Request,
    load: Option<Load>,
    endpoint: &Arc<Endpoint>,
    body: &[u8],
    open: &handshake::Open<'_>,
) -> Option<Vec<u8>> {
    let upstream = &request.upstream;
    upstream.note_handshake(open);
    endpoint.counters().add(Count::PollingHandshakes, 1);
    let sid = Sid::parse(&open.sid)?;
    let (now, ttl) = (clock::coarse(), upstream.session_ttl());
    let tagged = if can_be_tagged(request, &sid) {
        let suffix = worker.shared.tags.load().suffix(sid.as_str(), endpoint.id());
        str::from_utf8(&suffix).ok().and_then(|suffix| handshake::insert_suffix(body, open, suffix))
    } else {
        None
    };
    if tagged.is_none() {
        upstream.learned.learn(sid.clone(), endpoint.id(), ttl, now);
    }
    let load = load.unwrap_or_else(|| Load::take(endpoint));
    worker.shared.sessions.opened(sid, session::opening(request, load), now);
    tagged
}

/// Returns whether the sid may carry a tag: version 3 clients show theirs to the application, and a tagged one must
/// still be a valid sid.
fn can_be_tagged(request: &Request, sid: &Sid) -> bool {
    request.session.version == Some(EngineVersion::V4)
        && request.upstream.config().sid_tag
        && sid.as_str().len() + SUFFIX_LEN <= MAX_SID_CHARS
}

/// Waits until the body of a refusal has arrived and returns whether it says that the endpoint does not have the session.
/// Nothing is taken from the connection, so that any other answer can still be passed on.
pub(super) async fn is_unknown_session(client: &mut Client, response: &mut Response, method: Method) -> bool {
    if response.status != 400 {
        return false;
    }
    let mut ended = false;
    loop {
        let (head, rest) = response.stream.input().split_at(response.head_bytes);
        let mut slots = Slots::new();
        let Ok(head) = ResponseHead::parse(head, method, &mut slots) else {
            return false;
        };
        let (mut body, mut payload, mut rest) = (Body::new(head.framing), Vec::new(), rest);
        while !rest.is_empty() && !body.is_done() {
            let Ok(step) = body.handle_bytes(rest) else {
                return false;
            };
            payload.extend_from_slice(step.payload);
            rest = &rest[step.consumed..];
        }
        if body.is_done() || ended || payload.len() > engineio::error::MAX_ERROR_BODY_BYTES {
            return engineio::error::is_unknown_session(response.status, &payload);
        }
        ended = !matches!(relay::fill(client, &mut response.stream).await, Ok(count) if count > 0);
    }
}
