//! One address of an upstream: its identity, health and load, shared by all workers.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use aws_lc_rs::digest;

use super::health::Health;
use crate::config::{AdminState, EndpointConfig};
use crate::stats::Counters;

/// The identity of an endpoint within its upstream: 48 bits of a hash of its configured `id`, or else of
/// its address and port. Never an index or a name, so that renaming and reordering strand no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub [u8; 6]);

impl EndpointId {
    /// Derives the identity: the first 48 bits of SHA-256 over the configured id, or over `address:port` if there is none.
    pub fn derive(configured: Option<&str>, address: SocketAddr) -> Self {
        let hash = match configured {
            Some(id) => digest::digest(&digest::SHA256, id.as_bytes()),
            None => digest::digest(&digest::SHA256, address.to_string().as_bytes()),
        };
        let mut id = [0; 6];
        id.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        Self(id)
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One address of an upstream.
#[derive(Debug)]
pub struct Endpoint {
    id: EndpointId,
    address: SocketAddr,
    /// What the operator wrote, for logs: a name and port, or the address.
    name: Box<str>,
    /// Tells endpoints apart that have the same identity one after the other; pooled connections go by it.
    serial: u64,
    backup: bool,
    /// The plain id in cookies and Apache's routes.
    cookie: Option<Box<str>>,
    weight: AtomicU32,
    max_conn: AtomicU32,
    max_sessions: AtomicU32,
    /// An [`AdminState`].
    state: AtomicU8,
    load: AtomicU32,
    health: Health,
    counters: Arc<Counters>,
}

impl Endpoint {
    /// Makes an endpoint without load, whose health is not known yet. `address` is one of those that the configured
    /// host stands for.
    pub fn new(id: EndpointId, address: SocketAddr, config: &EndpointConfig) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let endpoint = Self {
            id,
            address,
            name: config.to_string().into(),
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            backup: config.backup,
            cookie: config.cookie.as_deref().map(Into::into),
            weight: AtomicU32::default(),
            max_conn: AtomicU32::default(),
            max_sessions: AtomicU32::default(),
            state: AtomicU8::default(),
            load: AtomicU32::new(0),
            health: Health::default(),
            counters: Arc::default(),
        };
        endpoint.apply(config);
        endpoint
    }

    /// Takes over what may change while the endpoint lives: weight, limits and state.
    pub fn apply(&self, config: &EndpointConfig) {
        self.weight.store(config.weight, Ordering::Relaxed);
        self.max_conn.store(config.max_conn, Ordering::Relaxed);
        self.max_sessions.store(config.max_sessions, Ordering::Relaxed);
        self.set_state(config.state);
    }

    /// Returns the identity that tags carry.
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// Returns the address to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what the operator wrote.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a number that no other endpoint of this process has or had.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Returns whether it is used only while every other endpoint is unusable.
    pub fn is_backup(&self) -> bool {
        self.backup
    }

    /// Returns its plain id in cookies and Apache's routes.
    pub fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    /// Returns its share, 0 to 256.
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Returns how many requests and tunnels may be in progress at a time; 0 for no limit.
    pub fn max_conn(&self) -> u32 {
        self.max_conn.load(Ordering::Relaxed)
    }

    /// Returns how many sessions and tunnels it may have at a time; 0 for no limit.
    pub fn max_sessions(&self) -> u32 {
        self.max_sessions.load(Ordering::Relaxed)
    }

    /// Returns what the operator wants of it.
    pub fn state(&self) -> AdminState {
        match self.state.load(Ordering::Relaxed) {
            0 => AdminState::Ready,
            1 => AdminState::Drain,
            _ => AdminState::Maintenance,
        }
    }

    /// Sets what the operator wants of it.
    pub fn set_state(&self, state: AdminState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Returns the number of sessions, tunnels and unbound requests in progress.
    pub fn load(&self) -> u32 {
        self.load.load(Ordering::Relaxed)
    }

    /// Returns what it has done, in numbers.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Returns the health.
    pub fn health(&self) -> &Health {
        &self.health
    }
}

/// One unit of an endpoint's load: a session, a tunnel or a request that belongs to neither. Given back when dropped.
#[derive(Debug)]
pub struct Load(Arc<Endpoint>);

impl Load {
    /// Adds one unit to the endpoint's load.
    pub fn take(endpoint: &Arc<Endpoint>) -> Self {
        endpoint.load.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(endpoint))
    }

    /// Returns the endpoint that carries this load.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::Relaxed);
    }
}
