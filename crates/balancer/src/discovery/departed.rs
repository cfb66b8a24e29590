//! Remembers endpoints that have left for a while, so that those that come back have their counters.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::EndpointConfig;
use crate::upstream::endpoint::{Endpoint, EndpointId};

/// How long an endpoint is remembered: longer than a deployment takes.
const KEEP: Duration = Duration::from_secs(10 * 60);

/// Endpoints that are remembered per upstream; about 1 KiB each.
const MOST: usize = 1024;

/// Endpoints that have left an upstream, in the order in which they did.
#[derive(Debug, Default)]
pub(super) struct Departed {
    endpoints: VecDeque<(Instant, Arc<Endpoint>)>,
}

impl Departed {
    /// Remembers an endpoint; the one that left first is forgotten for it when there are too many.
    pub(super) fn keep(&mut self, endpoint: Arc<Endpoint>, now: Instant) {
        if self.endpoints.len() == MOST {
            self.endpoints.pop_front();
        }
        self.endpoints.push_back((now, endpoint));
    }

    /// Gives the endpoint back that had this identity and address, and the plain id of the configuration.
    pub(super) fn take(
        &mut self,
        id: EndpointId,
        address: SocketAddr,
        config: &EndpointConfig,
        now: Instant,
    ) -> Option<Arc<Endpoint>> {
        self.expire(now);
        let same = |endpoint: &Endpoint| {
            endpoint.id() == id && endpoint.address() == address && endpoint.cookie() == config.cookie.as_deref()
        };
        let at = self.endpoints.iter().position(|(_, endpoint)| same(endpoint))?;
        self.endpoints.remove(at).map(|(_, endpoint)| endpoint)
    }

    /// Returns whether an endpoint of this identity is remembered.
    pub(super) fn remembers(&self, id: EndpointId) -> bool {
        self.endpoints.iter().any(|(_, endpoint)| endpoint.id() == id)
    }

    /// Forgets those that left too long ago.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.endpoints.front().is_some_and(|(left, _)| now.saturating_duration_since(*left) >= KEEP) {
            self.endpoints.pop_front();
        }
    }
}
