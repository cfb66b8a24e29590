//! Decides how clients come back with their session: who holds it, what it has missed, and when it is saved.
//!
//! # What a server does
//! - A fresh client: [`Recovery::begin`]; wait for [`Recovery::saved`] if its session must outlive the node from the first
//!   moment; put the socket into the hub, and tell the client.
//! - A client that comes back: [`Recovery::adopt`]; put the socket into the hub, with its rooms, in a state that holds events
//!   back; [`Recovery::missed`]; send the CONNECT packet, then what was missed, and then what was held back, each of those
//!   through [`Holding::admit`], which drops what the client has; last [`Recovery::resume`]. Nothing is saved in between.
//! - Each event that is sent later goes through [`Holding::admit`] too.
//! - [`Recovery::changed`] when rooms or data change.
//! - [`Recovery::leaving`] before the socket is taken out of the hub, and [`Recovery::end`] behind that.
//!
//! The official client keeps events that come before CONNECT, and when the connection breaks before that it takes them at the next CONNECT,
//! where they come again. So CONNECT comes first, unlike in Node. The simulation shows both.
//!
//! # Why nothing is lost or sent twice
//! A node moves its position before it gives an entry to the hub. The socket is in the hub when the position is read up to
//! which is replayed. So an entry is replayed, or delivered live, or both; and then the live one is dropped by its offset.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use limpet_proto::socketio::arguments::Arguments;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::adapter::BusError;
use crate::cluster::{Cluster, Sockets};
use crate::log::{Adopted, Lease, Log, Offset, Session, Stretch};
use crate::node::NodeId;
use crate::target::Room;

mod driver;
mod holding;
mod keeper;
mod places;
mod repeats;
mod replay;
mod tail;
#[cfg(test)]
mod tests;

pub use holding::Holding;
use keeper::Keeper;
pub(crate) use places::Places;
pub use repeats::Repeats;
pub use tail::{Tail, TailBounds};

/// The longest secret, in bytes, that is looked for.
const MAX_SECRET: usize = 128;

/// How long a client that is back on the same node waits for its session to be saved.
const SAVE_FIRST: Duration = Duration::from_secs(1);

/// How long a client waits for a node that is behind what it has.
const CATCH_UP: Duration = Duration::from_secs(2);

/// What an event tells the client of the log, as one more argument behind the others of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// Nothing: clients do not recover.
    None,
    /// The place of the event itself.
    Own(Offset),
    /// The place of an earlier event, since this one is not in the log: for this node alone, not published, or volatile and
    /// so not kept. Without it the client would take another text for an offset.
    Last(Offset),
}

/// What a socket has that is kept with its session.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The rooms of the socket, its own among them.
    pub rooms: Vec<Room>,
    /// What the application keeps with it.
    pub data: Value,
}

/// The recovery of the clients of one namespace on one node.
pub struct Recovery(Arc<Shared>);

struct Shared {
    namespace: Arc<str>,
    node: NodeId,
    log: Arc<dyn Log>,
    sockets: Weak<dyn Sockets>,
    cluster: Weak<Cluster>,
    places: Places,
    keeper: Mutex<Keeper>,
    /// Wakes the task that saves.
    wake: Notify,
    is_driven: AtomicBool,
    is_closed: AtomicBool,
}

/// A session that was taken over, and is not yet kept on. When it is dropped, the client can try again, here or elsewhere.
pub struct Adoption {
    session: Session,
    holding: Holding,
    from: Offset,
    shared: Arc<Shared>,
}

/// What a client has missed.
#[derive(Debug, Default)]
pub struct Missed {
    /// The events, in order, each with its offset.
    pub events: Vec<(Offset, Arguments)>,
    /// Up to here the client has everything with them.
    pub upto: Offset,
}

/// Why a session cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The log does not have everything that the client has missed, or has not reached what the client says that it has: it
    /// needs a fresh session.
    #[error("the log does not reach back far enough")]
    Gap,
    /// The client has come back again meanwhile, here or elsewhere: nobody reads what is sent to this connection.
    #[error("the client has come back elsewhere")]
    Taken,
    /// The log cannot be reached. The client can try again.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl Stamp {
    /// Returns the offset that is written.
    pub fn offset(self) -> Option<Offset> {
        match self {
            Self::None => None,
            Self::Own(offset) | Self::Last(offset) => Some(offset),
        }
    }
}

impl Adoption {
    /// Returns the session as it was saved last.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Returns what the socket keeps.
    pub fn holding(&self) -> &Holding {
        &self.holding
    }
}

impl Recovery {
    pub(crate) fn new(
        namespace: &str,
        node: NodeId,
        log: Arc<dyn Log>,
        sockets: Weak<dyn Sockets>,
        cluster: Weak<Cluster>,
    ) -> Self {
        let keeper = Mutex::new(Keeper::new(log.retention()));
        let (wake, is_driven, is_closed) = (Notify::new(), AtomicBool::new(false), AtomicBool::new(false));
        let (namespace, places) = (namespace.into(), Places::default());
        Self(Arc::new(Shared { namespace, node, log, sockets, cluster, places, keeper, wake, is_driven, is_closed }))
    }

    /// Returns the place of the log up to which this node has begun to deliver; `None` before it has joined the others.
    pub fn position(&self) -> Option<Offset> {
        self.0.places.begun()
    }

    /// Keeps a fresh session from now on: saved at once, and then when something changes. `brought` is the offset with
    /// which the client came, which may be that of an earlier session. Until the socket is in the hub, `snapshot` is saved.
    pub fn begin(&self, id: &Room, secret: &str, brought: Option<&str>, snapshot: Snapshot) -> Holding {
        let start = self.position();
        let holding = {
            let mut keeper = self.0.keeper();
            let lease = Lease { node: self.0.node.clone(), epoch: 1 };
            let progress = replay::begin(start, brought);
            let holding = Holding::new(keeper.next_serial(), id.clone(), secret.into(), lease, progress);
            keeper.begin(&holding, snapshot, start, Instant::now());
            holding
        };
        self.0.wake();
        holding
    }

    /// Ends when everything is kept that the session has now: true. False if it has ended, or somebody else holds it. While
    /// the log cannot be reached it does not end: limit the wait.
    pub fn saved(&self, holding: &Holding) -> BoxFuture<'static, bool> {
        let (sender, saved) = oneshot::channel();
        self.0.keeper().when_saved(holding.serial(), sender, Instant::now());
        self.0.wake();
        Box::pin(async move { saved.await.is_ok() })
    }

    /// Notes that rooms or data have changed: saved within 100 ms, together with what changes meanwhile.
    pub fn changed(&self, holding: &Holding) {
        self.0.keeper().changed(holding.serial(), Instant::now());
        self.0.wake();
    }

    /// Notes that the socket is about to be taken out of the hub: later events do not reach it.
    pub fn leaving(&self, holding: &Holding) {
        let applied = self.0.places.done();
        self.0.keeper().leaving(holding.serial(), applied);
    }

    /// Ends what [`begin`](Self::begin) or [`resume`](Self::resume) began: the session is kept for the client to come back,
    /// or forgotten if there is nothing to be kept.
    pub fn end(&self, holding: &Holding, kept: Option<Snapshot>) {
        self.0.keeper().end(holding.serial(), kept, Instant::now());
        self.0.wake();
    }

    /// Finds the session of a client that comes back, takes it over, and fences the socket that had it. `None` if there is
    /// no such session, or it is not known what the client has: it needs a fresh one.
    ///
    /// # Errors
    /// [`BusError`] when the log cannot be reached; the client can try again.
    pub async fn adopt(&self, secret: &str, offset: Option<&str>) -> Result<Option<Adoption>, BusError> {
        let shared = &self.0;
        if secret.is_empty() || secret.len() > MAX_SECRET || self.position().is_none() {
            return Ok(None);
        }
        let held = shared.keeper().find(secret).cloned();
        if let Some(held) = held {
            // The client is back before what it had here was saved.
            tokio::time::timeout(SAVE_FIRST, self.saved(&held)).await.ok();
        }
        let Some(Adopted { session, epoch, former }) =
            shared.log.adopt(&shared.namespace, secret, &shared.node).await?
        else {
            return Ok(None);
        };
        let lease = Lease { node: shared.node.clone(), epoch };
        let from = replay::from(&holding::trusted(&session.progress, epoch), offset);
        let progress = replay::begin(from, offset);
        let (holding, fenced) = {
            let mut keeper = shared.keeper();
            let serial = keeper.next_serial();
            let holding = Holding::new(serial, session.id.clone(), session.secret.clone(), lease, progress);
            let Ok(fenced) = keeper.adopting(&holding) else {
                return Err(BusError::Failed("the client has come back twice at once".into()));
            };
            (holding, fenced)
        };
        let adoption = Adoption { session, holding, from: from.unwrap_or_default(), shared: shared.clone() };
        shared.fence(fenced.as_ref());
        if let Some(former) = former.filter(|former| *former != shared.node)
            && let Some(cluster) = shared.cluster.upgrade()
        {
            cluster.fence(&former, adoption.holding.id().clone(), epoch);
        }
        // It may be a connection that the client has left already, so the session is not forgotten.
        Ok(from.is_some().then_some(adoption))
    }

    /// Finds what the client has missed. Called when the socket is in the hub with its rooms, and holds back what comes.
    /// When this node is behind what the client has, waits for up to 2 s; then it goes on if the log has reached the client's
    /// offset, and what comes later than it should is dropped by [`Holding::admit`].
    ///
    /// # Errors
    /// [`Lost`] when the session cannot go on.
    pub async fn missed(&self, adoption: &Adoption) -> Result<Missed, Lost> {
        let (shared, holding, from) = (&self.0, &adoption.holding, adoption.from);
        let caught_up = tokio::time::timeout(CATCH_UP, shared.places.reached(from)).await;
        if caught_up.is_err() && !shared.reaches(from).await? {
            return Err(Lost::Gap);
        }
        let upto = self.position().unwrap_or(from).max(from);
        let stretch = match upto == from {
            true => Stretch { entries: Vec::new(), is_whole: true },
            false => shared.log.read_for(&shared.namespace, &adoption.session.rooms, from, upto).await?,
        };
        if !shared.keeper().has(holding.serial()) {
            return Err(Lost::Taken);
        }
        if !stretch.is_whole {
            return Err(Lost::Gap);
        }
        let events: Vec<_> = stretch.entries.into_iter().map(|entry| (entry.offset, entry.arguments)).collect();
        holding.replayed(events.last().map(|(offset, _)| *offset), upto);
        Ok(Missed { events, upto })
    }

    /// Keeps the session from now on; saved at once. Called when all that was held back has been sent. `None` if the client
    /// has come back elsewhere meanwhile: close the socket, as one that is [fenced](Sockets::fenced).
    pub fn resume(&self, adoption: Adoption) -> Option<Holding> {
        let holding = adoption.holding.clone();
        let is_ours = self.0.keeper().resume(holding.serial(), Instant::now());
        self.0.wake();
        is_ours.then_some(holding)
    }

    /// Saves what is not saved yet, for up to so long. For the end of a server.
    pub async fn flush(&self, timeout: Duration) {
        let waiting: Vec<_> = {
            let (mut keeper, now) = (self.0.keeper(), Instant::now());
            let unsaved = keeper.unsaved();
            let wait = |serial| {
                let (sender, saved) = oneshot::channel();
                keeper.when_saved(serial, sender, now);
                saved
            };
            unsaved.into_iter().map(wait).collect()
        };
        self.0.wake();
        tokio::time::timeout(timeout, futures_util::future::join_all(waiting)).await.ok();
    }

    pub(crate) fn places(&self) -> &Places {
        &self.0.places
    }

    /// Takes the news that a session has a new holder.
    pub(crate) fn fenced(&self, id: &str, epoch: u64) {
        let fenced = self.0.keeper().fence(id, epoch);
        self.0.fence(fenced.as_ref());
    }

    /// Wakes the task that watches the time.
    pub(crate) fn wake(&self) {
        self.0.wake();
    }
}

impl Shared {
    fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the socket that has this session.
    fn fence(&self, holding: Option<&Holding>) {
        if let Some(holding) = holding
            && let Some(sockets) = self.sockets.upgrade()
        {
            sockets.fenced(holding);
        }
    }

    /// Returns whether the log has reached this place.
    async fn reaches(&self, offset: Offset) -> Result<bool, BusError> {
        let end = Offset { millis: u64::MAX, counter: u64::MAX };
        let stretch = self.log.read(&self.namespace, offset.previous(), end).await?;
        Ok(!stretch.entries.is_empty())
    }

    fn wake(self: &Arc<Self>) {
        self.wake.notify_one();
        if !self.is_driven.load(Ordering::Acquire)
            && let Ok(runtime) = Handle::try_current()
            && !self.is_driven.swap(true, Ordering::AcqRel)
        {
            runtime.spawn(driver::drive(self.clone()));
        }
    }
}

impl Drop for Recovery {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Ordering::Release);
        self.0.wake.notify_one();
    }
}

impl Drop for Adoption {
    fn drop(&mut self) {
        self.shared.keeper().abort(self.holding.serial());
    }
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery").field("namespace", &self.0.namespace).finish_non_exhaustive()
    }
}

impl fmt::Debug for Adoption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adoption").field("holding", &self.holding).field("from", &self.from).finish_non_exhaustive()
    }
}
