//! Who waits for a slot of endpoints that have a `max_conn`, and who gets the next one.
//!
//! A request or a tunnel in progress at an endpoint with a limit holds a [`Slot`]. Three kinds of requests wait:
//!
//! - bound ones (a live session) and placed ones (a key) in the queue of their own endpoint;
//! - all others in one queue of the upstream.
//!
//! Invariants:
//! - No endpoint has more slots in use than its limit, over all workers: a slot is counted by compare-and-swap.
//! - A slot that gets free goes to a bound request first, and else to the one that has waited longest of those placed
//!   here and those of the upstream. Each queue is first in, first out.
//! - Nobody passes those who wait: as long as anybody waits, slots are taken under the lock.
//! - Whoever leaves, by its time or with its client, leaves its queue, and gives back what it was given meanwhile.
//! - Nothing is counted and no lock is taken for endpoints without a limit.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::Upstream;
use super::balance::{Choice, Wish};
use super::endpoint::{Endpoint, EndpointId, Load};

/// A slot of an endpoint with a limit, given back when dropped. Small, since every tunnel has room for one.
#[derive(Debug)]
pub struct Slot(Option<Arc<Endpoint>>);

impl Slot {
    /// Takes a slot, if one is free. Does not look at who waits.
    fn take(endpoint: &Arc<Endpoint>) -> Option<Self> {
        let (in_use, limit) = (&endpoint.cell().in_use, endpoint.slots());
        let more = |in_use: u32| (limit == 0 || in_use < limit).then_some(in_use + 1);
        // Sequentially consistent, as the number of those who wait: either they see the slot or we see them.
        in_use.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Self(Some(Arc::clone(endpoint))))
    }

    /// Returns whether it is one of this endpoint.
    pub fn is_of(&self, endpoint: &Endpoint) -> bool {
        self.0.as_ref().is_some_and(|own| own.serial() == endpoint.serial())
    }

    /// Gives the slot back without serving those who wait.
    fn give_back(mut self) {
        if let Some(endpoint) = self.0.take() {
            endpoint.cell().in_use.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(endpoint) = self.0.take() else { return };
        endpoint.cell().in_use.fetch_sub(1, Ordering::SeqCst);
        if let Some(queue) = endpoint.queue()
            && queue.waiting.load(Ordering::SeqCst) > 0
        {
            queue.serve(&endpoint);
        }
    }
}

/// Whether a request goes on at once.
#[derive(Debug)]
pub enum Entry {
    /// It has its slot, if it needs one.
    Now(Option<Slot>),
    /// It waits.
    Later(Waiting),
}

/// Where a request goes that is bound to no endpoint.
#[derive(Debug)]
pub enum Place {
    /// To this endpoint, at once or after a wait for one of its slots.
    At(Load, Entry),
    /// To whichever endpoint has the first free slot; its load is still to be taken.
    Anywhere(Waiting),
}

/// Why a request cannot be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No endpoint may be used, or none takes another session.
    #[error("no endpoint is available")]
    NoEndpoint,
    /// As many requests wait as may wait.
    #[error("too many requests wait for an endpoint")]
    QueueFull,
    /// No slot got free in time.
    #[error("no endpoint had a free slot in time")]
    Timeout,
    /// The endpoint went away while the request waited for it.
    #[error("the endpoint went away")]
    Gone,
}

/// The requests of an upstream that wait.
#[derive(Debug)]
pub struct Queue {
    /// The bound on those who wait, over all queues.
    most: usize,
    /// Changed under the lock alone.
    waiting: AtomicUsize,
    /// The most that ever waited.
    peak: AtomicUsize,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    next_ticket: u64,
    anywhere: VecDeque<Waiter>,
    /// By the serial numbers of the endpoints; only those for which somebody waits.
    own: HashMap<u64, OwnLines>,
}

#[derive(Debug, Default)]
struct OwnLines {
    bound: VecDeque<Waiter>,
    placed: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    /// Whether it opens a session, which `max_sessions` counts.
    session: bool,
    tried: Vec<EndpointId>,
    slot: oneshot::Sender<Slot>,
}

/// Which line a request waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Anywhere,
    Bound(u64),
    Placed(u64),
}

/// A request that waits for a slot; it leaves its queue when dropped.
#[derive(Debug)]
pub struct Waiting {
    queue: Arc<Queue>,
    line: Line,
    ticket: u64,
    slot: oneshot::Receiver<Slot>,
}

impl Future for Waiting {
    /// `None` when the endpoint went away.
    type Output = Option<Slot>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.slot).poll(cx).map(Result::ok)
    }
}

impl Waiting {
    /// Returns the endpoint whose slot it has got, if it was served already.
    pub fn try_take(&mut self) -> Option<Slot> {
        self.slot.try_recv().ok()
    }
}

impl Slot {
    /// Returns the endpoint.
    pub fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.0.as_ref()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // A slot that it was given meanwhile is in the channel, and goes back when that is dropped, after the lock.
        let mut lines = self.queue.lock();
        if lines.remove(self.line, self.ticket) {
            self.queue.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Lines {
    fn line(&mut self, line: Line) -> &mut VecDeque<Waiter> {
        match line {
            Line::Anywhere => &mut self.anywhere,
            Line::Bound(serial) => &mut self.own.entry(serial).or_default().bound,
            Line::Placed(serial) => &mut self.own.entry(serial).or_default().placed,
        }
    }

    fn waiting_for(&self, serial: u64) -> usize {
        self.own.get(&serial).map_or(0, |own| own.bound.len() + own.placed.len())
    }

    fn remove(&mut self, line: Line, ticket: u64) -> bool {
        let waiters = self.line(line);
        let found = waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket);
        let removed = found.is_ok_and(|at| waiters.remove(at).is_some());
        self.tidy(line);
        removed
    }

    fn tidy(&mut self, line: Line) {
        if let Line::Bound(serial) | Line::Placed(serial) = line
            && self.own.get(&serial).is_some_and(|own| own.bound.is_empty() && own.placed.is_empty())
        {
            self.own.remove(&serial);
        }
    }

    /// Returns who gets the next slot of this endpoint.
    fn next(&self, endpoint: &Endpoint) -> Option<(Line, u64)> {
        let serial = endpoint.serial();
        let own = self.own.get(&serial);
        if let Some(first) = own.and_then(|own| own.bound.front()) {
            return Some((Line::Bound(serial), first.ticket));
        }
        let placed = own.and_then(|own| own.placed.front()).map(|first| (Line::Placed(serial), first.ticket));
        let fits = |waiter: &&Waiter| {
            !(waiter.tried.contains(&endpoint.id()) || waiter.session && endpoint.has_all_sessions())
        };
        let anywhere = if endpoint.is_in_turn() { self.anywhere.iter().find(fits) } else { None };
        let anywhere = anywhere.map(|first| (Line::Anywhere, first.ticket));
        [placed, anywhere].into_iter().flatten().min_by_key(|(_, ticket)| *ticket)
    }
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self { most, waiting: AtomicUsize::new(0), peak: AtomicUsize::new(0), lines: Mutex::default() }
    }

    /// Returns how many requests wait.
    pub fn len(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the most requests that ever waited at a time.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Returns how many requests wait for this endpoint alone.
    pub fn waiting_for(&self, endpoint: &Endpoint) -> usize {
        self.lock().waiting_for(endpoint.serial())
    }

    /// Gives free slots to those who wait: of these endpoints' own lines and of the upstream's.
    pub(super) fn serve_all(&self, endpoints: &[Arc<Endpoint>]) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            let mut lines = self.lock();
            endpoints.iter().for_each(|endpoint| self.serve_locked(&mut lines, endpoint));
        }
    }

    /// Sends those away who wait for endpoints that are not among these any more, or take nothing.
    pub(super) fn evict(&self, endpoints: &[Arc<Endpoint>]) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut lines = self.lock();
        let mut evicted = 0;
        lines.own.retain(|serial, own| {
            let stays = endpoints.iter().any(|endpoint| endpoint.serial() == *serial && endpoint.takes_bound());
            evicted += if stays { 0 } else { own.bound.len() + own.placed.len() };
            stays
        });
        self.waiting.fetch_sub(evicted, Ordering::SeqCst);
    }

    fn serve(&self, endpoint: &Arc<Endpoint>) {
        self.serve_locked(&mut self.lock(), endpoint);
    }

    fn serve_locked(&self, lines: &mut Lines, endpoint: &Arc<Endpoint>) {
        while let Some((line, ticket)) = lines.next(endpoint) {
            let Some(slot) = Slot::take(endpoint) else { return };
            let waiters = lines.line(line);
            let waiter = waiters.iter().position(|waiter| waiter.ticket == ticket).and_then(|at| waiters.remove(at));
            lines.tidy(line);
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            // Nobody leaves without the lock; if it had left, the slot must not come back by way of the lock.
            let refused = match waiter {
                Some(waiter) => waiter.slot.send(slot).err(),
                None => Some(slot),
            };
            if let Some(slot) = refused {
                slot.give_back();
            }
        }
    }

    /// Puts a request into a line, and serves the endpoints that may have a slot for it.
    fn wait(self: &Arc<Self>, line: Line, wish: &Wish<'_>, endpoints: &[Arc<Endpoint>]) -> Result<Waiting, Refusal> {
        let mut lines = self.lock();
        if self.waiting.load(Ordering::SeqCst) >= self.most {
            return Err(Refusal::QueueFull);
        }
        let (sender, slot) = oneshot::channel();
        let ticket = lines.next_ticket;
        lines.next_ticket += 1;
        let waiter = Waiter { ticket, session: wish.session, tried: wish.tried.to_vec(), slot: sender };
        lines.line(line).push_back(waiter);
        if let (Line::Bound(serial) | Line::Placed(serial), [endpoint]) = (line, endpoints) {
            endpoint.counters().note_queue(lines.waiting_for(serial));
        }
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(waiting, Ordering::Relaxed);
        endpoints.iter().for_each(|endpoint| self.serve_locked(&mut lines, endpoint));
        drop(lines);
        Ok(Waiting { queue: Arc::clone(self), line, ticket, slot })
    }

    /// Takes a slot at once, unless somebody waits or none is free.
    fn enter(&self, endpoint: &Arc<Endpoint>) -> Option<Slot> {
        if self.waiting.load(Ordering::SeqCst) > 0 { None } else { Slot::take(endpoint) }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream {
    /// Lets a request of a live session to its endpoint, at once or when its turn comes: before all new sessions.
    ///
    /// # Errors
    /// [`Refusal::QueueFull`].
    pub fn enter(&self, endpoint: &Arc<Endpoint>) -> Result<Entry, Refusal> {
        let wish = Wish { key: None, hash: None, tried: &[], session: false };
        self.enter_line(endpoint, Line::Bound(endpoint.serial()), &wish)
    }

    fn enter_line(&self, endpoint: &Arc<Endpoint>, line: Line, wish: &Wish<'_>) -> Result<Entry, Refusal> {
        if endpoint.slots() == 0 {
            return Ok(Entry::Now(None));
        }
        if let Some(slot) = self.queue.enter(endpoint) {
            return Ok(Entry::Now(Some(slot)));
        }
        self.queue.wait(line, wish, std::slice::from_ref(endpoint)).map(Entry::Later)
    }

    /// Places a request that is bound to no endpoint.
    ///
    /// # Errors
    /// [`Refusal::NoEndpoint`] and [`Refusal::QueueFull`].
    pub fn place(&self, wish: &Wish<'_>) -> Result<Place, Refusal> {
        // Another worker may take the slot that was seen free.
        for _ in 0..4 {
            match self.decide(wish) {
                Choice::Endpoint { load, placed } => {
                    let endpoint = load.endpoint();
                    if placed || endpoint.slots() == 0 {
                        let entry = self.enter_line(endpoint, Line::Placed(endpoint.serial()), wish)?;
                        return Ok(Place::At(load, entry));
                    }
                    if let Some(slot) = self.queue.enter(endpoint) {
                        return Ok(Place::At(load, Entry::Now(Some(slot))));
                    }
                }
                Choice::Full => break,
                Choice::None => return Err(Refusal::NoEndpoint),
            }
        }
        // A free slot that nobody who waits can use is found there too.
        self.queue.wait(Line::Anywhere, wish, &self.endpoints.load()).map(Place::Anywhere)
    }

    /// Looks after what changes by time alone: ends of ejections, slow starts, and those who wait.
    pub fn tend(&self, now: crate::table::Seconds) {
        self.renew_tiers(now);
        let endpoints = self.endpoints.load();
        self.queue.serve_all(&endpoints);
        if !self.all_down() {
            self.queue.evict(&endpoints);
        }
    }
}

#[cfg(test)]
mod tests;
