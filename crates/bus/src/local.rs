//! Joins the nodes of one process: what one publishes, the others take on the same thread, at once and in order.
//!
//! With a log there is one order for all nodes of a namespace. Then one publisher at a time gives out what all have
//! published, and who publishes meanwhile leaves it to that one.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::adapter::{Adapter, BusError, Link, Peers, Receiver, To};
use crate::envelope::{Envelope, Message};
use crate::log::{Adopted, Hold, Lease, Log, Offset, Refreshed, Session, Stretch};
use crate::node::NodeId;
use crate::recovery::{Tail, TailBounds};

mod sessions;
#[cfg(test)]
mod tests;

use sessions::Sessions;

/// How many messages of a namespace may wait to be given out. With more, a publisher is told that the queue is full.
const MAX_QUEUE: usize = 65_536;

/// The adapter for nodes of one process. Clones join the same nodes, and share one log.
///
/// ```
/// use limpet_bus::Local;
/// let bus = Local::new();
/// let (first, second) = (bus.clone(), bus);
/// // Give `first` to one server and `second` to another: they are joined.
/// # drop((first, second));
/// ```
#[derive(Clone, Default)]
pub struct Local(Arc<Bus>);

/// The bounds of the log of [`Local`]. What is beyond them is not there for clients that come back: they get a fresh session.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// The most events that are kept of each namespace; 100,000. Each takes about 50 bytes besides its own.
    pub max_events: usize,
    /// The most bytes that the events of each namespace take; 64 MiB.
    pub max_bytes: usize,
    /// The most sessions that are kept, in all namespaces; 1,000,000. Those that would end first go first.
    pub max_sessions: usize,
}

#[derive(Default)]
struct Bus {
    options: LocalOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    spaces: HashMap<Arc<str>, Space>,
    /// How long things are kept, once somebody wants a log.
    retention: Option<Duration>,
    last: Offset,
    sessions: Sessions,
    /// When what is too old is looked for again.
    sweep: Option<Instant>,
}

/// One namespace.
#[derive(Default)]
struct Space {
    members: Arc<Vec<Member>>,
    tail: Option<Tail>,
    queue: VecDeque<Turn>,
    is_running: bool,
}

/// A message, and who was there when it was published.
struct Turn {
    envelope: Envelope,
    members: Arc<Vec<Member>>,
}

#[derive(Clone)]
struct Member {
    node: NodeId,
    receiver: Arc<dyn Receiver>,
    has_left: Arc<AtomicBool>,
}

struct LocalLink {
    bus: Arc<Bus>,
    namespace: Arc<str>,
    node: NodeId,
    /// Tells this link's entry from a later one of the same node.
    has_left: Arc<AtomicBool>,
}

struct LocalLog(Arc<Bus>);

impl Default for LocalOptions {
    fn default() -> Self {
        Self { max_events: 100_000, max_bytes: 64 << 20, max_sessions: 1_000_000 }
    }
}

impl Local {
    /// Makes a bus that nobody has joined.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a bus whose log has other bounds.
    pub fn with_options(options: LocalOptions) -> Self {
        Self(Arc::new(Bus { options, state: Mutex::default() }))
    }
}

impl Adapter for Local {
    fn join(&self, namespace: &str, node: NodeId, receiver: Arc<dyn Receiver>) -> Result<Box<dyn Link>, BusError> {
        let namespace: Arc<str> = namespace.into();
        let has_left = Arc::new(AtomicBool::new(false));
        let member = Member { node: node.clone(), receiver: receiver.clone(), has_left: has_left.clone() };
        let position = {
            let mut state = self.0.lock();
            if state.retention.is_some() {
                state.sweep(Instant::now());
            }
            let last = state.last;
            let position = state.retention.is_some().then_some(last);
            let bounds = self.0.bounds(state.retention);
            let space = state.spaces.entry(namespace.clone()).or_default();
            if position.is_some() && space.tail.is_none() {
                space.tail = Some(Tail::new(bounds, last));
            }
            Arc::make_mut(&mut space.members).push(member);
            position
        };
        if let Some(position) = position {
            receiver.advance(position);
        }
        Ok(Box::new(LocalLink { bus: self.0.clone(), namespace, node, has_left }))
    }

    fn log(&self, retention: Duration) -> Option<Arc<dyn Log>> {
        let mut state = self.0.lock();
        state.retention = state.retention.max(Some(retention));
        state.sessions.bound(self.0.options.max_sessions);
        drop(state);
        Some(Arc::new(LocalLog(self.0.clone())))
    }
}

impl Bus {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events are kept for longer than sessions, since what is known of a session may be of its last refresh.
    fn bounds(&self, retention: Option<Duration>) -> TailBounds {
        let retention = retention.unwrap_or_default();
        let LocalOptions { max_events: entries, max_bytes: bytes, .. } = self.options;
        TailBounds { time: retention.saturating_add(retention / 2), entries, bytes }
    }

    /// Returns the members of a namespace. They are called without the lock.
    fn members(&self, namespace: &str) -> Arc<Vec<Member>> {
        self.lock().spaces.get(namespace).map(|space| space.members.clone()).unwrap_or_default()
    }

    /// Gives out what is queued, unless somebody does it already.
    fn run(&self, namespace: &str) {
        let begin = |state: &mut State| {
            let space = state.spaces.get_mut(namespace).filter(|space| !space.is_running && !space.queue.is_empty());
            space.map(|space| space.is_running = true)
        };
        if begin(&mut self.lock()).is_none() {
            return;
        }
        let _running = Running { bus: self, namespace };
        loop {
            let turn = {
                let mut state = self.lock();
                let Some(space) = state.spaces.get_mut(namespace) else { return };
                let Some(turn) = space.queue.pop_front() else {
                    // Under the same lock: who adds something now gives it out.
                    space.is_running = false;
                    state.clean(namespace);
                    return;
                };
                turn
            };
            let mut meant = turn.members.iter().filter(|member| member.is_there()).peekable();
            let mut envelope = Some(turn.envelope);
            while let Some(member) = meant.next() {
                let next = if meant.peek().is_none() { envelope.take() } else { envelope.clone() };
                next.into_iter().for_each(|envelope| member.receiver.receive(envelope));
            }
        }
    }
}

impl State {
    /// Queues a message, and keeps it if it is an event for clients that come back.
    fn publish(&mut self, namespace: &str, node: &NodeId, message: Message) -> Result<(), BusError> {
        let now = Offset { millis: now_millis(), counter: 0 };
        let Some((namespace, _)) = self.spaces.get_key_value(namespace) else { return Ok(()) };
        let namespace = namespace.clone();
        let Some(space) = self.spaces.get_mut(&namespace) else { return Ok(()) };
        if space.queue.len() >= MAX_QUEUE {
            return Err(BusError::Full);
        }
        let offset = match (&message, &mut space.tail) {
            (Message::Broadcast { arguments, targets, flags, request: None }, Some(tail)) if !flags.volatile => {
                let offset = self.last.next().max(now);
                tail.push(offset, arguments, targets, *flags, Instant::now());
                self.last = offset;
                Some(offset)
            }
            _ => None,
        };
        let envelope = Envelope { node: node.clone(), namespace, offset, message };
        space.queue.push_back(Turn { envelope, members: space.members.clone() });
        Ok(())
    }

    /// Looks from time to time for what is too old.
    fn sweep(&mut self, now: Instant) {
        let Some(retention) = self.retention else { return };
        self.sessions.expire(now);
        if self.sweep.is_some_and(|at| now < at) {
            return;
        }
        self.sweep = Some(now + retention / 4);
        let names: Vec<_> = self.spaces.keys().cloned().collect();
        for name in names {
            if let Some(tail) = self.spaces.get_mut(&name).and_then(|space| space.tail.as_mut()) {
                tail.trim(now);
            }
            self.clean(&name);
        }
    }

    /// Forgets a namespace in which nothing is left.
    fn clean(&mut self, namespace: &str) {
        let is_empty = |space: &Space| {
            let has_events = space.tail.as_ref().is_some_and(|tail| !tail.is_empty());
            space.members.is_empty() && space.queue.is_empty() && !space.is_running && !has_events
        };
        if self.spaces.get(namespace).is_some_and(is_empty) {
            self.spaces.remove(namespace);
        }
    }
}

impl Member {
    fn is_there(&self) -> bool {
        !self.has_left.load(Ordering::Acquire)
    }
}

/// Lets others go on after a panic.
struct Running<'a> {
    bus: &'a Bus,
    namespace: &'a str,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(space) = self.bus.lock().spaces.get_mut(self.namespace)
        {
            space.is_running = false;
        }
    }
}

impl Link for LocalLink {
    fn publish(&self, to: To<'_>, message: Message) -> Result<(), BusError> {
        if let To::All = to {
            let mut state = self.bus.lock();
            if state.retention.is_some() {
                state.sweep(Instant::now());
                state.publish(&self.namespace, &self.node, message)?;
                drop(state);
                self.bus.run(&self.namespace);
                return Ok(());
            }
        }
        let members = self.bus.members(&self.namespace);
        let meant = |member: &&Member| match to {
            To::All => member.node != self.node,
            To::Node(node) => member.node == *node && member.node != self.node,
        };
        let mut meant = members.iter().filter(meant).peekable();
        while let Some(member) = meant.next() {
            let envelope = |message| Envelope {
                node: self.node.clone(),
                namespace: self.namespace.clone(),
                offset: None,
                message,
            };
            if meant.peek().is_none() {
                member.receiver.receive(envelope(message));
                break;
            }
            member.receiver.receive(envelope(message.clone()));
        }
        Ok(())
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, BusError>> {
        let members = self.bus.members(&self.namespace);
        let others = members.iter().map(|member| member.node.clone()).filter(|node| *node != self.node);
        std::future::ready(Ok(Peers::Known(others.collect()))).boxed()
    }

    fn close(&self) {
        if self.has_left.swap(true, Ordering::AcqRel) {
            return;
        }
        let left = {
            let mut state = self.bus.lock();
            let Some(space) = state.spaces.get_mut(&self.namespace) else { return };
            Arc::make_mut(&mut space.members).retain(Member::is_there);
            let left = space.members.clone();
            state.clean(&self.namespace);
            left
        };
        for member in left.iter() {
            member.receiver.left(&self.node);
        }
    }
}

impl LocalLog {
    /// Does something, and says until when what is kept now is kept.
    fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut State, Instant) -> T,
    ) -> BoxFuture<'static, Result<T, BusError>> {
        let (mut state, now) = (self.0.lock(), Instant::now());
        state.sweep(now);
        let until = now + state.retention.unwrap_or_default();
        let done = act(&mut state, until);
        std::future::ready(Ok(done)).boxed()
    }
}

impl Log for LocalLog {
    fn read(&self, namespace: &str, after: Offset, upto: Offset) -> BoxFuture<'_, Result<Stretch, BusError>> {
        self.with(|state, _| {
            let tail = state.spaces.get(namespace).and_then(|space| space.tail.as_ref());
            tail.map(|tail| tail.read(after, upto)).unwrap_or_default()
        })
    }

    fn save(&self, namespace: &str, session: &Session, lease: &Lease) -> BoxFuture<'_, Result<Hold, BusError>> {
        self.with(|state, until| state.sessions.save(namespace, session, lease, until))
    }

    fn adopt(&self, namespace: &str, secret: &str, node: &NodeId) -> BoxFuture<'_, Result<Option<Adopted>, BusError>> {
        self.with(|state, until| {
            let mut adopted = state.sessions.adopt(namespace, secret, node, until)?;
            let members = state.spaces.get(namespace).map(|space| space.members.clone()).unwrap_or_default();
            adopted.former = adopted.former.filter(|former| members.iter().any(|member| member.node == *former));
            Some(adopted)
        })
    }

    fn refresh(
        &self,
        namespace: &str,
        sessions: &[(Arc<str>, Lease)],
    ) -> BoxFuture<'_, Result<Vec<Refreshed>, BusError>> {
        self.with(|state, until| {
            let refresh = |(secret, lease): &(Arc<str>, Lease)| state.sessions.refresh(namespace, secret, lease, until);
            sessions.iter().map(refresh).collect()
        })
    }

    fn forget(&self, namespace: &str, secret: &str, lease: &Lease) -> BoxFuture<'_, Result<(), BusError>> {
        self.with(|state, _| state.sessions.forget(namespace, secret, lease))
    }

    fn retention(&self) -> Duration {
        self.0.lock().retention.unwrap_or_default()
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}

fn now_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
