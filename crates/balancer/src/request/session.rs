//! Keeps the record of the session that a request belongs to.

use std::sync::Arc;

use limpet_proto::engineio::{self, Transport};
use limpet_proto::http1::Method;

use super::prepare::Request;
use crate::affinity::session::Opening;
use crate::clock;
use crate::upstream::endpoint::{Endpoint, Load};
use crate::worker::Worker;

/// Says what a record of this request's session is made from.
pub(super) fn opening(request: &Request, load: Load) -> Opening {
    Opening {
        load: Some(load),
        upstream: Arc::clone(request.upstream.shared_name()),
        transport: Transport::Polling,
        client: request.client,
        user_agent: request.user_agent,
        idle_limit: request.upstream.session_ttl(),
    }
}

/// Notes the beginning of a request of a session whose endpoint is known.
pub(super) fn touch(worker: &Worker, request: &Request, endpoint: &Arc<Endpoint>) {
    if let Some(sid) = &request.session.sid {
        let make = || Some(opening(request, Load::take(endpoint)));
        worker.shared.sessions.touch(sid.as_str(), clock::coarse(), make);
    }
}

/// Notes the end of a request.
pub(super) fn count(worker: &Worker, request: &Request, sent_bytes: usize) {
    let Some(sid) = &request.session.sid else { return };
    if request.closes_session() {
        close(worker, request);
    } else {
        worker.shared.sessions.count(sid.as_str(), request.received_bytes(), sent_bytes as u64, clock::coarse());
    }
}

/// Returns whether a response whose body begins with `rest` says that the session is over: the endpoint does not know
/// it, or closes it by a close packet in answer to a poll.
pub(super) fn ends(request: &Request, status: u16, rest: &[u8]) -> bool {
    request.session.sid.is_some()
        && match status {
            200 => request.method == Method::Get && matches!(rest, b"1" | b"1:1"),
            400 => engineio::error::is_unknown_session(status, rest),
            _ => false,
        }
}

/// Forgets the session.
pub(super) fn close(worker: &Worker, request: &Request) {
    if let Some(sid) = &request.session.sid {
        drop(worker.shared.sessions.closed(sid.as_str()));
        request.upstream.learned.forget(sid.as_str());
    }
}

/// Takes the session's load for the tunnel that it becomes.
pub(super) fn upgrade(worker: &Worker, request: &Request) -> Option<Load> {
    worker.shared.sessions.upgraded(request.session.sid.as_ref()?.as_str(), clock::coarse())
}
