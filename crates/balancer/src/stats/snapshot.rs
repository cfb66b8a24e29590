//! Everything that the balancer shows, at one moment: what the page, CSV, JSON and metrics are written from.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use super::counters::{Count, Counters, Totals};
use crate::clock;
use crate::route::Route;
use crate::shared::{Listener, Shared};
use crate::table::Seconds;
use crate::upstream::Upstream;
use crate::upstream::balance::tiers;
use crate::upstream::endpoint::Endpoint;

mod state;

use state::{checked, state};

pub use state::{Checked, State};

/// Everything that the balancer shows, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The version of the balancer.
    pub version: &'static str,
    /// The number of the process.
    pub pid: u32,
    /// For how long it has run, in seconds.
    pub uptime: Seconds,
    /// Whether it is about to end.
    pub stopping: bool,
    /// The records of sessions.
    pub records: u64,
    /// The listeners, in the order of the configuration.
    pub listeners: Vec<ListenerRow>,
    /// The upstreams, in the order of the configuration.
    pub upstreams: Vec<UpstreamRow>,
    /// The rate limits, in the order of the configuration.
    pub limits: Vec<LimitRow>,
}

/// What is known of a rate limit.
#[derive(Clone, Debug)]
pub struct LimitRow {
    /// The place of its route in the configuration, from 1.
    pub route: usize,
    /// Its own place in the route, from 1.
    pub place: usize,
    /// Which requests the route takes.
    pub when: String,
    /// How many of them may come.
    pub rate: String,
    /// Requests that were refused.
    pub refused: u64,
    /// Requests that had to wait the longest for this limit.
    pub delayed: u64,
    /// Clients, or values of the header, that are remembered.
    pub keys: u64,
}

/// What is known of a listener.
#[derive(Clone, Debug)]
pub struct ListenerRow {
    /// Its name.
    pub name: String,
    /// The address in the configuration.
    pub address: SocketAddr,
    /// Open connections.
    pub connections: u64,
    /// The most connections that were open at a time.
    pub peak: u64,
    /// The most connections that it may have, if it has a limit of its own.
    pub limit: Option<u64>,
    /// What it has counted.
    pub totals: Totals,
    /// Connections per second.
    pub connection_rate: Rates,
    /// Requests per second.
    pub request_rate: Rates,
    /// Connections that were refused for their PROXY header.
    pub proxy_refusals: u64,
}

/// What is known of an upstream.
#[derive(Clone, Debug)]
pub struct UpstreamRow {
    /// Its name.
    pub name: String,
    /// How it balances.
    pub balance: &'static str,
    /// The most requests and tunnels that were in progress at a time.
    pub peak: u64,
    /// What it and its endpoints have counted, those that have left among them.
    pub totals: Totals,
    /// What it has counted without an endpoint.
    pub own: Totals,
    /// Requests to endpoints per second.
    pub request_rate: Rates,
    /// Seconds since the last request, if there was one.
    pub idle: Option<u64>,
    /// Requests that wait for an endpoint.
    pub queue: Queue,
    /// The endpoints.
    pub endpoints: Vec<EndpointRow>,
}

/// What is known of an endpoint.
#[derive(Clone, Debug)]
pub struct EndpointRow {
    /// What the operator wrote, or the address where that would be ambiguous.
    pub name: String,
    /// The address.
    pub address: SocketAddr,
    /// The identity that tags carry.
    pub id: String,
    /// Whether it is used, and why not.
    pub state: State,
    /// Whether it is used only when the others cannot be.
    pub backup: bool,
    /// Its share.
    pub weight: u32,
    /// The most requests and tunnels that may be in progress, 0 for no limit.
    pub max_conn: u32,
    /// The most sessions and tunnels that it may have, 0 for no limit.
    pub max_sessions: u32,
    /// Its sessions, tunnels and unbound requests.
    pub load: u32,
    /// The most requests and tunnels that were in progress at a time.
    pub peak: u64,
    /// What it has counted.
    pub totals: Totals,
    /// Requests per second.
    pub request_rate: Rates,
    /// New connections per second.
    pub connection_rate: Rates,
    /// Seconds since the last request, if there was one.
    pub idle: Option<u64>,
    /// Requests that wait for it.
    pub queue: Queue,
    /// Percent of its weight that it has within its slow start.
    pub throttle: Option<u32>,
    /// How often real traffic got it ejected.
    pub ejections: u64,
    /// The value that plain cookies name it by.
    pub cookie: Option<String>,
    /// What probes say.
    pub checked: Option<Checked>,
}

/// How often something happens per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// In the last whole second.
    pub current: u64,
    /// In the busiest one.
    pub max: u64,
}

/// Requests that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Now.
    pub current: u64,
    /// The most at a time.
    pub max: u64,
    /// The most that may, if there is a limit.
    pub limit: Option<u64>,
}

impl Snapshot {
    /// Looks at everything. It walks over all endpoints, but over no session and no tunnel.
    pub fn take(shared: &Shared) -> Self {
        let now = clock::now();
        let routes = shared.routes.load();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime: now,
            stopping: shared.is_stopping(),
            records: shared.sessions.len() as u64,
            listeners: shared.listeners.iter().map(ListenerRow::look).collect(),
            upstreams: routes.upstreams().iter().map(|upstream| UpstreamRow::look(upstream, now)).collect(),
            limits: routes.routes().iter().zip(1..).flat_map(|(route, at)| LimitRow::look(route, at)).collect(),
        }
    }
}

impl ListenerRow {
    fn look(listener: &Listener) -> Self {
        let counters = listener.connections.counters();
        Self {
            name: listener.config.name.clone(),
            address: listener.config.bind,
            connections: listener.connections.open() as u64,
            peak: counters.peak(),
            limit: listener.connections.limit().map(|limit| limit as u64),
            totals: counters.totals(),
            connection_rate: Rates::of(&counters.connection_rate),
            request_rate: Rates::of(&counters.request_rate),
            proxy_refusals: listener.proxy_refusals.count(),
        }
    }
}

impl LimitRow {
    fn look(route: &Route, at: usize) -> impl Iterator<Item = Self> + '_ {
        route.limits.as_slice().iter().zip(1..).map(move |(limit, place)| Self {
            route: at,
            place,
            when: route.config.when.to_string(),
            rate: limit.config().to_string(),
            refused: limit.refused(),
            delayed: limit.delayed(),
            keys: limit.keys() as u64,
        })
    }
}

impl UpstreamRow {
    fn look(upstream: &Upstream, now: Seconds) -> Self {
        let group = upstream.stats();
        let own = group.own();
        let endpoints = upstream.endpoints();
        let is_unique =
            |endpoint: &Endpoint| endpoints.iter().filter(|other| other.name() == endpoint.name()).count() == 1;
        let rows: Vec<EndpointRow> = endpoints
            .iter()
            .map(|endpoint| {
                let address = endpoint.address();
                let name = if is_unique(endpoint) { endpoint.name().to_owned() } else { address.to_string() };
                EndpointRow::look(upstream, endpoint, name, now)
            })
            .collect();
        let totals = group.totals();
        own.note_peak(totals.get(Count::Current));
        // Each endpoint's peak is exact where that of their sum was only sampled.
        let peak = rows.iter().map(|row| row.peak).fold(own.peak(), u64::max);
        Self {
            name: upstream.name().to_owned(),
            balance: upstream.config().balance.as_str(),
            peak,
            totals,
            own: own.totals(),
            request_rate: Rates::of(&own.request_rate),
            idle: idle(own, now),
            queue: Queue {
                current: upstream.queue.len() as u64,
                max: upstream.queue.peak() as u64,
                limit: Some(upstream.config().max_queue as u64),
            },
            endpoints: rows,
        }
    }

    /// Returns how many endpoints take new sessions: those that are not backups, and those that are.
    pub fn usable(&self) -> (usize, usize) {
        let count = |backup| self.endpoints.iter().filter(|row| row.backup == backup && row.state.takes_new()).count();
        (count(false), count(true))
    }

    /// Returns whether any endpoint takes new sessions.
    pub fn is_usable(&self) -> bool {
        self.usable() != (0, 0)
    }
}

impl EndpointRow {
    fn look(upstream: &Upstream, endpoint: &Endpoint, name: String, now: Seconds) -> Self {
        let counters = endpoint.counters();
        Self {
            name,
            address: endpoint.address(),
            id: endpoint.id().to_string(),
            state: state(upstream, endpoint, now),
            backup: endpoint.is_backup(),
            weight: endpoint.weight(),
            max_conn: endpoint.max_conn(),
            max_sessions: endpoint.max_sessions(),
            load: endpoint.load(),
            peak: counters.peak(),
            totals: counters.totals(),
            request_rate: Rates::of(&counters.request_rate),
            connection_rate: Rates::of(&counters.connection_rate),
            idle: idle(counters, now),
            queue: Queue {
                current: upstream.queue.waiting_for(endpoint) as u64,
                max: counters.queue_peak(),
                limit: None,
            },
            throttle: throttle(upstream, endpoint, now),
            ejections: endpoint.health().ejections().into(),
            cookie: endpoint.cookie().map(str::to_owned),
            checked: checked(upstream, endpoint, now),
        }
    }
}

impl Rates {
    fn of(rate: &super::sampler::Rate) -> Self {
        Self { current: rate.current(), max: rate.max() }
    }
}

fn idle(counters: &Counters, now: Seconds) -> Option<u64> {
    let last = counters.last_request.load(Ordering::Relaxed).checked_sub(1)?;
    Some(u64::from(now.0).saturating_sub(last))
}

/// Says how far an endpoint is within its slow start, if it is used.
fn throttle(upstream: &Upstream, endpoint: &Endpoint, now: Seconds) -> Option<u32> {
    let percent = tiers::throttle(endpoint, upstream.config().slow_start, now)?;
    state(upstream, endpoint, now).takes_new().then_some(percent)
}
