//! One request at one endpoint: counted while it is in progress, timed when it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counters::{Count, Shard, Time};
use crate::client::ClientError;
use crate::request::attempt::{Failure, Response};
use crate::upstream::endpoint::Endpoint;

/// One request at one endpoint, in progress until it is dropped.
#[derive(Debug)]
pub struct Flight {
    /// This worker's own part of the endpoint's counters, so that to hold it disturbs no other worker.
    shard: Arc<Shard>,
    begun: Instant,
    /// When the endpoint could begin to answer.
    connected: Instant,
    answered: bool,
}

impl Flight {
    /// Begins a request.
    pub fn begin(endpoint: &Endpoint) -> Self {
        let shard = Arc::clone(endpoint.counters().enter());
        shard.add(Count::Requests, 1);
        let now = Instant::now();
        Self { shard, begun: now, connected: now, answered: false }
    }

    /// Notes for how long the request waited for its slot.
    pub fn queued(&self, waited: Duration) {
        self.shard.time(Time::Queue, waited);
    }

    /// Notes that a kept connection is used.
    pub fn reuse(&self) {
        self.shard.add(Count::ReusedConnections, 1);
    }

    /// Notes that the request is sent once more.
    pub fn retry(&self) {
        self.shard.add(Count::Retries, 1);
    }

    /// Notes that another endpoint gets the request.
    pub fn redispatch(&self) {
        self.shard.add(Count::Redispatches, 1);
    }

    /// Notes that a new connection was opened, which was begun at this time.
    pub fn connected(&mut self, since: Instant) {
        self.connected = Instant::now();
        self.shard.add(Count::NewConnections, 1);
        self.shard.time(Time::Connect, self.connected - since);
    }

    /// Notes what the endpoint did with the request, and how many bytes it was sent.
    pub fn end_of_attempt(&mut self, result: &Result<Response, Failure>, sent_bytes: u64, asks_for_upgrade: bool) {
        self.shard.add(Count::BytesIn, sent_bytes);
        match result {
            Ok(response) => {
                self.answered = true;
                self.shard.time(Time::Response, self.connected.elapsed());
                self.shard.add(Count::of_status(response.status), 1);
                if asks_for_upgrade && response.status != 101 {
                    self.shard.add(Count::FailedUpgrades, 1);
                }
            }
            Err(failure) => {
                self.shard.add(blame(failure), 1);
                if asks_for_upgrade {
                    self.shard.add(Count::FailedUpgrades, 1);
                }
            }
        }
    }

    /// Notes bytes on their way to the client.
    pub fn sent(&self, bytes: usize) {
        self.shard.add(Count::BytesOut, bytes as u64);
    }

    /// Notes that the client went away before it had its response.
    pub fn client_aborted(&self) {
        self.shard.add(Count::ClientAborts, 1);
    }

    /// Notes that the response turned out to be malformed.
    pub fn malformed(&self) {
        self.shard.add(Count::ResponseErrors, 1);
    }

    /// Notes that the response was refused, because it would have been dangerous.
    pub fn denied(&self) {
        self.shard.add(Count::DeniedResponses, 1);
    }

    /// Notes that the endpoint broke its response off.
    pub fn server_aborted(&self) {
        self.shard.add(Count::ServerAborts, 1);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.shard.leave(Count::Current);
        if self.answered {
            self.shard.time(Time::Total, self.begun.elapsed());
        }
    }
}

/// Says what a failure counts as.
fn blame(failure: &Failure) -> Count {
    match failure {
        Failure::Connect(_) => Count::ConnectErrors,
        Failure::Client(ClientError::Body(_)) => Count::RequestErrors,
        Failure::Client(_) | Failure::BodyTimeout => Count::ClientAborts,
        _ => Count::ResponseErrors,
    }
}
