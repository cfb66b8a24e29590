//! One address of an upstream: its identity, health and load, shared by all workers.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;

use super::balance::tiers::note_change;
use super::cell::Cell;
use super::health::Health;
use super::queue::Queue;
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
    /// It has left the upstream.
    gone: AtomicBool,
    backup: AtomicBool,
    /// The plain id in cookies and Apache's routes.
    cookie: Option<Box<str>>,
    weight: AtomicU32,
    max_conn: AtomicU32,
    max_sessions: AtomicU32,
    /// An [`AdminState`].
    state: AtomicU8,
    /// HAProxy's numeric id: given by the upstream, kept while the endpoint belongs to it.
    number: AtomicU32,
    /// `max_conn`, within a slow start less.
    slots: AtomicU32,
    /// Whether requests that may go anywhere may come here.
    in_turn: AtomicBool,
    cell: &'static Cell,
    queue: OnceLock<Arc<Queue>>,
    health: Health,
    counters: Arc<Counters>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.cell.give_back();
    }
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
            gone: AtomicBool::new(false),
            backup: AtomicBool::default(),
            cookie: config.cookie.as_deref().map(Into::into),
            weight: AtomicU32::default(),
            max_conn: AtomicU32::default(),
            max_sessions: AtomicU32::default(),
            state: AtomicU8::default(),
            number: AtomicU32::default(),
            slots: AtomicU32::default(),
            in_turn: AtomicBool::default(),
            cell: Cell::take(),
            queue: OnceLock::new(),
            health: Health::default(),
            counters: Arc::default(),
        };
        endpoint.apply(config);
        endpoint
    }

    /// Takes over what may change while the endpoint lives: weight, limits, state and whether it is a backup.
    pub fn apply(&self, config: &EndpointConfig) {
        self.backup.store(config.backup, Ordering::Relaxed);
        self.weight.store(config.weight, Ordering::Relaxed);
        self.max_conn.store(config.max_conn, Ordering::Relaxed);
        self.max_sessions.store(config.max_sessions, Ordering::Relaxed);
        self.set_slots(config.max_conn);
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
        self.backup.load(Ordering::Relaxed)
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
        note_change();
    }

    /// Returns whether a new session may be placed here: the operator wants it, it has a share, probes say that it is up
    /// and it does not ask to be left alone. What real traffic says ([`Health::is_ejected`]) is looked at besides.
    pub fn takes_new(&self) -> bool {
        self.state() == AdminState::Ready && self.weight() > 0 && !self.health.is_down() && !self.health.is_no_new()
    }

    /// Returns whether the sessions that are bound to it may still come: it is not in maintenance and not down. Drain,
    /// weight 0 and [`Health::is_no_new`] do not matter to them.
    pub fn takes_bound(&self) -> bool {
        self.state() != AdminState::Maintenance && !self.health.is_down()
    }

    /// Returns whether it has left its upstream: what is in progress goes on, and no connection to it is kept.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Notes whether it has left its upstream.
    pub fn set_gone(&self, gone: bool) {
        self.gone.store(gone, Ordering::Relaxed);
    }

    /// Returns the number of sessions, tunnels and unbound requests in progress.
    pub fn load(&self) -> u32 {
        self.cell.load()
    }

    /// Returns the requests and tunnels in progress; counted while there is a `max_conn` alone.
    pub fn in_use(&self) -> u32 {
        self.cell.in_use.load(Ordering::Relaxed)
    }

    /// Returns how many requests and tunnels may be in progress now: `max_conn`, within a slow start less; 0 for no
    /// limit.
    pub fn slots(&self) -> u32 {
        self.slots.load(Ordering::Relaxed)
    }

    /// Returns whether it has all the sessions that it may have.
    pub fn has_all_sessions(&self) -> bool {
        let most = self.max_sessions();
        most > 0 && self.load() >= most
    }

    /// Returns what it has done, in numbers.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Returns the health.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Returns its number in its upstream, from 1.
    pub(super) fn number(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }

    /// Makes it a part of an upstream.
    pub(super) fn join(&self, number: u32, queue: &Arc<Queue>) {
        self.number.store(number, Ordering::Relaxed);
        self.queue.get_or_init(|| Arc::clone(queue));
    }

    pub(super) fn queue(&self) -> Option<&Arc<Queue>> {
        self.queue.get()
    }

    pub(super) fn set_slots(&self, slots: u32) {
        self.slots.store(slots, Ordering::Relaxed);
    }

    pub(super) fn is_in_turn(&self) -> bool {
        self.in_turn.load(Ordering::Relaxed)
    }

    pub(super) fn set_in_turn(&self, in_turn: bool) {
        self.in_turn.store(in_turn, Ordering::Relaxed);
    }

    pub(super) fn cell(&self) -> &'static Cell {
        self.cell
    }
}

/// One unit of an endpoint's load: a session, a tunnel or a request that belongs to neither. Given back when dropped.
#[derive(Debug)]
pub struct Load(Arc<Endpoint>);

impl Load {
    /// Adds one unit to the endpoint's load.
    pub fn take(endpoint: &Arc<Endpoint>) -> Self {
        endpoint.cell.add(0);
        Self(Arc::clone(endpoint))
    }

    /// Adds one unit to the endpoint's load, unless it has all the sessions that it may have. Exact over all workers.
    pub(super) fn take_session(endpoint: &Arc<Endpoint>) -> Option<Self> {
        endpoint.cell.add(endpoint.max_sessions()).then(|| Self(Arc::clone(endpoint)))
    }

    /// Returns the endpoint that carries this load.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.cell.subtract();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_sessions_need_more_than_bound_ones() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        for (state, weight, no_new, takes_new, takes_bound) in [
            (AdminState::Ready, 1, false, true, true),
            (AdminState::Ready, 0, false, false, true),
            (AdminState::Ready, 1, true, false, true),
            (AdminState::Drain, 1, false, false, true),
            (AdminState::Maintenance, 1, false, false, false),
        ] {
            let config = EndpointConfig { state, weight, ..EndpointConfig::new("test", 1) };
            let endpoint = Endpoint::new(EndpointId::derive(None, address), address, &config);
            endpoint.health.set_no_new(no_new);
            assert_eq!((endpoint.takes_new(), endpoint.takes_bound()), (takes_new, takes_bound), "{config:?} {no_new}");
        }
    }
}
