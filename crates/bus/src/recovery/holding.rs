//! Decides what a node remembers of one client for its recovery: by what right it holds the session, and how far the
//! client is.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::log::{Lease, Offset, Progress};
use crate::node::NodeId;
use crate::recovery::Stamp;
use crate::target::Room;

/// The longest text of a client, in bytes, that is remembered as one which it takes for an offset.
const MAX_MISTAKEN: usize = 1024;

/// How many different such texts one connection may have. With more, a client whose last event was one of them gets a fresh
/// session.
const MAX_TEXTS: usize = 256;

/// A session that this node holds. The socket keeps it, and tells it of each event. Clones are the same.
#[derive(Clone)]
pub struct Holding(Arc<Inner>);

struct Inner {
    id: Room,
    secret: Arc<str>,
    lease: Lease,
    track: Mutex<Track>,
}

#[derive(Default)]
struct Track {
    progress: Progress,
    /// The client has, or will not get, everything up to here.
    done: Offset,
    /// The texts that the client has taken for offsets, by their hashes.
    texts: HashSet<u64>,
    /// Whether there were too many of them, or one came again: it says no more where the client is.
    is_ambiguous: bool,
}

impl Holding {
    pub(super) fn new(id: Room, secret: Arc<str>, lease: Lease, progress: Progress) -> Self {
        let done = progress.start.max(progress.sent).unwrap_or_default();
        let track = Track { progress, done, ..Track::default() };
        Self(Arc::new(Inner { id, secret, lease, track: Mutex::new(track) }))
    }

    /// Returns the public id of the socket.
    pub fn id(&self) -> &Room {
        &self.0.id
    }

    /// Returns the secret by which the client proves that the session is its own.
    pub fn secret(&self) -> &Arc<str> {
        &self.0.secret
    }

    /// Returns the name of this node.
    pub fn node(&self) -> &NodeId {
        &self.0.lease.node
    }

    /// Returns which holder this is: 1 for the first, and more for each that took the session over.
    pub fn epoch(&self) -> u64 {
        self.0.lease.epoch
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.0.lease
    }

    /// Notes that an event is about to be sent to the client, and returns with what stamp; `None` if it must not be sent,
    /// since the client has it.
    ///
    /// To be called for each event that is not volatile, as soon as it reaches a socket that is not held back, or is
    /// released, and before it is tried to send it: what is sent to a connection that is already dead counts too.
    /// The stamp that is returned is another one only for what was held back.
    pub fn admit(&self, stamp: Stamp) -> Option<Stamp> {
        let mut track = self.lock();
        match stamp {
            Stamp::None => Some(Stamp::None),
            Stamp::Last(offset) => Some(Stamp::Last(offset.max(track.done))),
            Stamp::Own(offset) if offset <= track.done => None,
            Stamp::Own(offset) => {
                track.done = offset;
                track.progress.sent = Some(offset);
                Some(stamp)
            }
        }
    }

    /// Notes that an event without an offset is about to be sent whose last argument is this text: the client takes it for
    /// its offset.
    pub fn mistake(&self, text: &str) {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        let mut track = self.lock();
        let before = track.progress.sent;
        let is_same = track.progress.mistaken.as_ref().is_some_and(|(last, sent)| last == text && *sent == before);
        if is_same {
            return;
        }
        // One that was sent before: which of both the client has seen last is not known.
        let is_new = track.texts.len() < MAX_TEXTS && track.texts.insert(hash);
        track.is_ambiguous |= track.texts.len() >= MAX_TEXTS;
        let is_clear = is_new && !track.is_ambiguous && text.len() <= MAX_MISTAKEN;
        track.progress.mistaken = is_clear.then(|| (text.to_owned(), before));
    }

    /// Returns how far the client is, if everything up to `as_of` has reached its socket.
    pub(super) fn progress(&self, as_of: Option<Offset>) -> Progress {
        Progress { as_of, ..self.lock().progress.clone() }
    }

    /// Notes what the client gets before everything else, and up to where that reaches.
    pub(super) fn replayed(&self, last: Option<Offset>, upto: Offset) {
        let mut track = self.lock();
        if last.is_some() {
            track.progress.sent = last;
        }
        track.done = track.done.max(upto);
    }

    fn lock(&self) -> MutexGuard<'_, Track> {
        self.0.track.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Holding {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Holding {}

impl fmt::Debug for Holding {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holding").field("id", &self.0.id).field("epoch", &self.0.lease.epoch).finish_non_exhaustive()
    }
}
