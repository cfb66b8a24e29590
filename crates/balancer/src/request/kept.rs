//! Which kept connections a request may use: those of the worker, or, where connections name their client, that client's
//! own.

use std::sync::Arc;

use super::prepare::Request;
use crate::client::Client;
use crate::clock;
use crate::config::SendProxy;
use crate::net::stream::Stream;
use crate::upstream::endpoint::Endpoint;
use crate::worker::Worker;

/// Takes an idle connection to the endpoint.
pub(super) fn take(worker: &Worker, client: &mut Client, request: &Request, endpoint: &Endpoint) -> Option<Stream> {
    let now_ms = clock::coarse_ms();
    match request.upstream.config().send_proxy {
        SendProxy::Off => worker.pool.borrow_mut().take(endpoint, request.repeatable, now_ms),
        _ => client.private()?.take(endpoint, request.client, request.repeatable, now_ms),
    }
}

/// Keeps a connection on which a response has ended.
pub(super) fn put(
    worker: &Worker,
    client: &mut Client,
    request: &Request,
    endpoint: &Arc<Endpoint>,
    stream: Stream,
    keep_alive_timeout: Option<u64>,
) {
    let now_ms = clock::coarse_ms();
    match request.upstream.config().send_proxy {
        SendProxy::Off => worker.pool.borrow_mut().put(endpoint, stream, keep_alive_timeout, now_ms),
        _ => {
            if let Some(private) = client.private() {
                private.put(endpoint, request.client, stream, keep_alive_timeout, now_ms);
            }
        }
    }
}
