//! Counts the requests that the balancer answers because of an error.

use super::counters::{Count, Counters};
use crate::access_log::Tally;
use crate::client::Client;
use crate::request::answer::Error;
use crate::request::prepare::Request;
use crate::worker::Worker;

/// Counts a request that is answered because of an error, at the listener and the upstream.
pub fn count(worker: &Worker, client: &Client, request: Option<&Request>, error: &Error) {
    let status = error.status().map(|(status, _)| status);
    let what = match (error, status) {
        (Error::UnknownSession, _) => Some(Count::UnknownSessions),
        // It is counted where connections are.
        (Error::TooManyConnections, _) => None,
        (Error::ProxyHeader(_), _) => Some(Count::DeniedConnections),
        (Error::Limit(_), _) | (_, Some(403 | 413)) => Some(Count::Denied),
        (Error::NoRoute | Error::NoEndpoint | Error::EndpointGone | Error::Endpoint(_) | Error::MalformedBody, _) => {
            None
        }
        _ => Some(Count::RequestErrors),
    };
    if let Some(what) = what
        && (request.is_none() || what == Count::Denied)
    {
        worker.shared.listeners[client.origin().listener].connections.counters().add(what, 1);
    }
    let Some(request) = request else { return };
    let shard = request.upstream.stats().own().shard();
    shard.add(Count::AnsweredHere, 1);
    if let Some(what) = what {
        shard.add(what, 1);
    }
    if let Some(status) = status {
        shard.add(Count::of_status(status), 1);
    }
}

impl Counters {
    /// Counts an exchange of a listener that has ended.
    pub fn exchanged(&self, tally: &Tally) {
        let shard = self.shard();
        shard.add(Count::Requests, 1);
        shard.add(Count::BytesIn, tally.bytes_in);
        shard.add(Count::BytesOut, tally.bytes_out);
        if tally.here {
            shard.add(Count::AnsweredHere, 1);
        }
        match tally.status {
            Some(status) => shard.add(Count::of_status(status), 1),
            None => shard.add(Count::ClientAborts, 1),
        }
    }
}
