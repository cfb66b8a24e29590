//! Decides who gets an entry of a stream: the nodes of this process that have joined its namespace, in the order of the
//! stream.
//!
//! The place up to which the stream was given moves under the same lock under which nodes join, so that a node knows
//! exactly from where on it gets everything. The lock is never held while a node takes a message.
//!
//! When clients recover, the latest broadcasts of the namespaces that have nodes here stay in memory, so that most of those who come
//! back cost Redis nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::adapter::Receiver;
use crate::envelope::{Envelope, Message};
use crate::log::{Offset, Stretch};
use crate::node::NodeId;
use crate::recovery::{Tail, TailBounds};

/// One namespace of one node.
pub(super) struct Member {
    pub(super) namespace: Arc<str>,
    pub(super) node: NodeId,
    pub(super) receiver: Arc<dyn Receiver>,
}

/// The nodes of one namespace.
pub(super) type Members = Arc<Vec<Arc<Member>>>;

/// Who gets the entries of one stream.
pub(super) struct Feed(Mutex<State>);

/// A namespace that has nodes here.
#[derive(Clone, Default)]
pub(super) struct Space {
    pub(super) members: Members,
    /// Its latest broadcasts, if somebody wants them.
    tail: Option<Arc<Mutex<Tail>>>,
}

struct State {
    spaces: HashMap<Arc<str>, Space>,
    bounds: Option<TailBounds>,
    position: Offset,
    /// The place that the nodes know of, but for those that got something behind it.
    told: Offset,
    /// Something is known to be missing before this place.
    lost: Offset,
}

impl Feed {
    /// Begins behind `position`.
    pub(super) fn new(position: Offset) -> Self {
        Self(Mutex::new(State { spaces: HashMap::new(), bounds: None, position, told: position, lost: Offset::ZERO }))
    }

    /// Adds a node, which gets what comes from now on, and tells it from where.
    pub(super) fn join(&self, member: Arc<Member>) {
        let mut state = self.lock();
        let receiver = member.receiver.clone();
        let (bounds, position) = (state.bounds, state.position);
        let space = state.spaces.entry(member.namespace.clone()).or_default();
        if let (Some(bounds), None) = (bounds, &space.tail) {
            space.tail = Some(Arc::new(Mutex::new(Tail::new(bounds, position))));
        }
        Arc::make_mut(&mut space.members).push(member);
        receiver.advance(state.position);
    }

    /// Removes a node. Returns whether it was the last one of its namespace; `None` if it was not there.
    pub(super) fn leave(&self, member: &Arc<Member>) -> Option<bool> {
        let mut state = self.lock();
        let list = Arc::make_mut(&mut state.spaces.get_mut(&member.namespace)?.members);
        let place = list.iter().position(|other| Arc::ptr_eq(other, member))?;
        list.swap_remove(place);
        let is_last = list.is_empty();
        if is_last {
            state.spaces.remove(&member.namespace);
        }
        Some(is_last)
    }

    /// Returns the nodes of a namespace.
    pub(super) fn members(&self, namespace: &str) -> Members {
        self.lock().spaces.get(namespace).map(|space| space.members.clone()).unwrap_or_default()
    }

    /// Returns up to where the stream was given.
    pub(super) fn position(&self) -> Offset {
        self.lock().position
    }

    /// Keeps the latest broadcasts of namespaces that are joined from now on.
    pub(super) fn remember(&self, bounds: TailBounds) {
        self.lock().bounds = Some(bounds);
    }

    /// Returns the broadcasts of a stretch, if all of them are in memory.
    pub(super) fn recall(&self, namespace: &str, after: Offset, upto: Offset) -> Option<Stretch> {
        let tail = self.lock().spaces.get(namespace)?.tail.clone()?;
        let tail = lock(&tail);
        let stretch = (after >= tail.floor()).then(|| tail.read(after, upto))?;
        stretch.is_whole.then_some(stretch)
    }

    /// Notes that something is missing, or was lost by Redis, around the place up to which the stream was given.
    pub(super) fn lose(&self) {
        let mut state = self.lock();
        state.lost = state.position.next();
    }

    /// Returns whether nothing behind this place is known to be missing.
    pub(super) fn is_sound(&self, after: Offset) -> bool {
        after >= self.lock().lost
    }

    /// Moves on to an entry, and returns who gets it; `None` if nobody does.
    pub(super) fn advance(&self, offset: Offset, namespace: &str) -> Option<Space> {
        let mut state = self.lock();
        state.position = state.position.max(offset);
        state.spaces.get(namespace).cloned()
    }

    /// Tells all nodes up to where the stream was given.
    pub(super) fn tell(&self) {
        let (position, members) = {
            let mut state = self.lock();
            if state.told == state.position {
                return;
            }
            state.told = state.position;
            let members = state.spaces.values().flat_map(|space| space.members.iter()).cloned().collect::<Vec<_>>();
            (state.position, members)
        };
        for member in members {
            member.receiver.advance(position);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl Space {
    /// Keeps a broadcast, if that is wanted.
    pub(super) fn keep(&self, offset: Offset, message: &Message, now: Instant) {
        if let Some(tail) = &self.tail
            && let Message::Broadcast { arguments, targets, flags, request: None } = message
            && !flags.volatile
        {
            lock(tail).push(offset, arguments, targets, *flags, now);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives a message to nodes. Its own ones a node gets back only if it `has_log`.
pub(super) fn give(members: &[Arc<Member>], node: &NodeId, message: Message, offset: Option<Offset>, has_log: bool) {
    let mut meant = members.iter().filter(|member| has_log || member.node != *node).peekable();
    let envelope = |member: &Member, message| Envelope {
        node: node.clone(),
        namespace: member.namespace.clone(),
        offset,
        message,
    };
    while let Some(member) = meant.next() {
        if meant.peek().is_none() {
            member.receiver.receive(envelope(member, message));
            return;
        }
        member.receiver.receive(envelope(member, message.clone()));
    }
}
