//! A named group of endpoints and the choice among them.

pub mod balance;
mod cell;
pub mod endpoint;
pub mod health;
pub mod locate;
pub mod never_up;
pub mod pool;
pub mod probe;
pub mod queue;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use limpet_proto::engineio::handshake::Open;
use tokio::sync::Notify;

use self::balance::tiers::{Tiers, Turns};
use self::endpoint::{Endpoint, EndpointId};
use self::locate::Locator;
use self::queue::Queue;
use crate::affinity::learned::Learned;
use crate::affinity::modes::Modes;
use crate::clock;
use crate::config::{AdminState, UpstreamConfig};
use crate::stats::Group;
use crate::table::Seconds;

/// How much longer than pingInterval + pingTimeout a silent session is remembered.
const GRACE: Duration = Duration::from_secs(5);

/// What a session's times are taken for until a handshake has told them: Node's defaults.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(45);

/// A named group of endpoints, shared by all workers.
#[derive(Debug)]
pub struct Upstream {
    config: UpstreamConfig,
    name: Arc<str>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// Wakes who probes them when others come.
    endpoints_changed: Notify,
    /// What choices are made from; see [`balance`].
    tiers: ArcSwap<Tiers>,
    /// Held by the one that makes the tiers anew.
    renewing: Mutex<()>,
    /// The numbers of the endpoints, which stay when others come and go.
    numbers: Mutex<HashMap<EndpointId, u32>>,
    turns: Turns,
    /// The requests that wait for slots.
    pub queue: Arc<Queue>,
    /// The sids that carry no tag.
    pub learned: Learned,
    /// What binds requests beside their sids.
    pub affinity: Modes,
    /// The look-ups of version 3 sessions.
    pub locator: Locator,
    /// The largest pingInterval + pingTimeout seen in handshakes, in milliseconds; 0 before the first.
    heartbeat_ms: AtomicU32,
    /// The longest silence of a tunnel in seconds; tunnels read it while they live.
    tunnel_timeout: Arc<AtomicU32>,
    warned_of_timeouts: AtomicBool,
    stats: Group,
}

impl Upstream {
    /// Makes an upstream without endpoints; [`set_endpoints`](Self::set_endpoints) brings them.
    pub fn new(config: UpstreamConfig) -> Self {
        let tunnel_timeout = Arc::new(AtomicU32::new(Seconds::lasting(config.tunnel_timeout).0));
        Self {
            name: config.name.as_str().into(),
            affinity: Modes::new(&config.affinity),
            queue: Arc::new(Queue::new(config.max_queue)),
            config,
            endpoints: ArcSwap::default(),
            tiers: ArcSwap::from_pointee(Tiers::empty()),
            renewing: Mutex::default(),
            numbers: Mutex::default(),
            endpoints_changed: Notify::new(),
            turns: Turns::default(),
            learned: Learned::default(),
            locator: Locator::default(),
            heartbeat_ms: AtomicU32::new(0),
            tunnel_timeout,
            warned_of_timeouts: AtomicBool::new(false),
            stats: Group::default(),
        }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &UpstreamConfig {
        &self.config
    }

    /// Returns the name in routes and logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name, to be kept in records.
    pub fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns the endpoints of this moment.
    pub fn endpoints(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.endpoints.load_full()
    }

    /// Replaces the endpoints; called too when the weight or state of one has changed. Those that stay must be the same
    /// objects, since health and load belong to them.
    pub fn set_endpoints(&self, endpoints: Vec<Arc<Endpoint>>) {
        endpoints.iter().for_each(|endpoint| self.stats.join(endpoint.counters()));
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.retain(|id, _| endpoints.iter().any(|endpoint| endpoint.id() == *id));
        let taken: HashSet<u32> = numbers.values().copied().collect();
        let mut free = (1..).filter(|number| !taken.contains(number));
        for endpoint in &endpoints {
            let number = *numbers.entry(endpoint.id()).or_insert_with(|| free.next().unwrap_or(u32::MAX));
            endpoint.join(number, &self.queue);
        }
        drop(numbers);
        let endpoints = Arc::new(endpoints);
        self.endpoints.store(Arc::clone(&endpoints));
        self.replace_tiers(clock::coarse());
        self.queue.evict(&endpoints);
        self.endpoints_changed.notify_one();
    }

    /// Waits for the next change of the endpoints, or returns at once if there was one since the last call. Only one
    /// task may wait.
    pub(crate) async fn endpoints_changed(&self) {
        self.endpoints_changed.notified().await;
    }

    /// Returns what it has done, in numbers.
    pub fn stats(&self) -> &Group {
        &self.stats
    }

    /// Finds the endpoint that a tag or a learned sid names.
    pub fn find(&self, id: EndpointId) -> Option<Arc<Endpoint>> {
        self.endpoints.load().iter().find(|endpoint| endpoint.id() == id).cloned()
    }

    /// Returns whether probes say that every endpoint is down; then none of them is believed.
    pub fn all_down(&self) -> bool {
        self.endpoints.load().iter().all(|endpoint| endpoint.health().is_down())
    }

    /// Returns whether requests that are bound to this endpoint may go there. When probes say that every endpoint is
    /// down, none of them is believed; the operator's maintenance always is.
    pub fn takes_bound(&self, endpoint: &Endpoint) -> bool {
        endpoint.takes_bound() || (endpoint.state() != AdminState::Maintenance && self.all_down())
    }

    /// Notes a failure of real traffic, and ejects the endpoint when it has failed too often in a row and fewer than
    /// half of the upstream are ejected.
    pub fn note_failure(&self, endpoint: &Endpoint, what: &str) {
        tracing::debug!(upstream = self.name(), endpoint = endpoint.name(), what, "endpoint failed");
        if !endpoint.health().handle_failure(&self.config.outlier) {
            return;
        }
        let now = clock::coarse();
        let endpoints = self.endpoints.load();
        let ejected = endpoints.iter().filter(|other| other.health().is_ejected(now)).count();
        if !endpoint.health().is_ejected(now) && (ejected + 1) * 2 <= endpoints.len() {
            let seconds = endpoint.health().eject(&self.config.outlier, now).0;
            tracing::warn!(upstream = self.name(), endpoint = endpoint.name(), what, seconds, "endpoint ejected");
        }
    }

    /// Notes the times that a handshake named, and says once when a timeout was configured too short for them.
    pub fn note_handshake(&self, open: &Open<'_>) {
        let heartbeat = open.ping_interval + open.ping_timeout;
        let heartbeat_ms = u32::try_from(heartbeat.as_millis()).unwrap_or(u32::MAX);
        if heartbeat_ms <= self.heartbeat_ms.load(Ordering::Relaxed) {
            return;
        }
        self.heartbeat_ms.fetch_max(heartbeat_ms, Ordering::Relaxed);
        self.tunnel_timeout.fetch_max(Seconds::lasting(heartbeat + GRACE).0, Ordering::Relaxed);
        for (key, timeout) in
            [("response_timeout", self.config.response_timeout), ("tunnel_timeout", self.config.tunnel_timeout)]
        {
            if timeout <= heartbeat && !self.warned_of_timeouts.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    upstream = self.name(),
                    "{key} = {timeout:?} is not above pingInterval + pingTimeout = {heartbeat:?} of the handshakes; \
                     {:?} is used instead. Set upstream.{}.{key} above it",
                    heartbeat + GRACE,
                    self.name(),
                );
            }
        }
    }

    /// Returns the longest wait for a response: as configured, but never cutting a poll of a live session.
    pub fn response_timeout(&self) -> Duration {
        let heartbeat = Duration::from_millis(u64::from(self.heartbeat_ms.load(Ordering::Relaxed)));
        if self.config.response_timeout > heartbeat { self.config.response_timeout } else { heartbeat + GRACE }
    }

    /// Returns the longest silence of a tunnel in seconds, to be read again at each check.
    pub fn tunnel_timeout(&self) -> &Arc<AtomicU32> {
        &self.tunnel_timeout
    }

    /// Returns for how long a silent session is remembered.
    pub fn session_ttl(&self) -> Seconds {
        let heartbeat = match self.heartbeat_ms.load(Ordering::Relaxed) {
            0 => DEFAULT_HEARTBEAT,
            heartbeat_ms => Duration::from_millis(u64::from(heartbeat_ms)),
        };
        Seconds::lasting(heartbeat + GRACE)
    }
}

#[cfg(test)]
mod tests;
