//! The tunnels of one worker: their slab, their reactor within the worker's reactor, and the pass for timeouts.
#![expect(unsafe_code, reason = "the runtime watches a descriptor only on the promise that it stays open")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::Tunnel;
use super::berth::{Berth, From};
use super::close::CloseReason;
use super::entry::{Entry, Turn};
use crate::clock;
use crate::shared::Shared;

/// What one read can bring. A large message costs half as much in one read as in four.
const SCRATCH_BYTES: usize = 64 * 1024;

/// Events of one turn. After that the requests of the worker have their turn.
const EVENTS_PER_TURN: usize = 256;

/// What may be read in one turn. Tunnels whose events come after that continue in the next one.
const BYTES_PER_TURN: usize = 16 * SCRATCH_BYTES;

/// The time between two steps of the pass for timeouts, and how many steps a whole pass takes.
const SWEEP: Duration = Duration::from_secs(1);
const SWEEP_STEPS: usize = 4;

/// The time between two steps of closing all tunnels.
const CLOSE_STEP: Duration = Duration::from_millis(50);

/// The tunnels of one worker.
#[derive(Debug)]
pub struct Engine {
    /// Ready when the inner reactor has events: a descriptor of its own for that reactor.
    readiness: AsyncFd<OwnedFd>,
    inner: Rc<RefCell<Inner>>,
    /// Rung when there is something to do that no socket announces.
    bell: Notify,
    /// Rung when a tunnel has ended.
    ended: Notify,
    /// The code of the goodbye once all tunnels are to end, new ones too.
    goodbye: Cell<Option<u16>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Inner {
    poll: Poll,
    events: Events,
    places: Slab<Place>,
    /// How many of the places are tunnels.
    tunnels: usize,
    scratch: Scratch,
    /// Tunnels with more to read than one turn allows.
    continued: VecDeque<usize>,
    sweep_from: usize,
}

/// One place of the slab.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a berth becomes a tunnel in its place, and few places are berths")]
enum Place {
    /// A tunnel.
    Tunnel(Entry),
    /// A connection that may become one.
    Berth(Weak<Berth>),
}

// A berth lies where a tunnel has room anyway.
const _: () = assert!(size_of::<Place>() == size_of::<Entry>());

/// The buffer that all tunnels read into, and how much was read in this turn.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) bytes: Box<[u8]>,
    pub(super) spent: usize,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; SCRATCH_BYTES].into_boxed_slice(), spent: 0 }
    }

    fn is_spent(&self) -> bool {
        self.spent >= BYTES_PER_TURN
    }
}

impl Engine {
    /// Makes an engine without tunnels, on the current runtime.
    ///
    /// # Errors
    /// What the kernel says when it gives no reactor.
    pub fn new(shared: Arc<Shared>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let descriptor = poll.registry().as_fd().try_clone_to_owned()?;
        // SAFETY: an `OwnedFd` is open, stays the same descriptor, and nobody takes it out of the `AsyncFd`.
        let readiness = unsafe { AsyncFd::register_with_interest(descriptor, tokio::io::Interest::READABLE) }?;
        Ok(Self {
            readiness,
            inner: Rc::new(RefCell::new(Inner {
                poll,
                events: Events::with_capacity(EVENTS_PER_TURN),
                places: Slab::new(),
                tunnels: 0,
                scratch: Scratch::new(),
                continued: VecDeque::new(),
                sweep_from: 0,
            })),
            bell: Notify::new(),
            ended: Notify::new(),
            goodbye: Cell::new(None),
            shared,
        })
    }

    /// Returns the number of tunnels.
    pub fn len(&self) -> usize {
        self.inner.borrow().tunnels
    }

    /// Returns whether there are no tunnels.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reserves a place for a connection that asks to become a tunnel.
    pub fn reserve(&self) -> Rc<Berth> {
        let mut inner = self.inner.borrow_mut();
        let place = inner.places.vacant_entry();
        let berth = Rc::new(Berth::new(&self.inner, place.key()));
        place.insert(Place::Berth(Rc::downgrade(&berth)));
        berth
    }

    /// Takes a new tunnel over, and sends what waits for both sides at once.
    pub fn adopt(&self, tunnel: Tunnel) {
        let berths = [tunnel.client.berth.clone(), tunnel.upstream.berth.clone()];
        let (entry, turn) = Entry::begin(tunnel);
        let mut inner = self.inner.borrow_mut();
        let key = inner.berth(entry, &berths);
        let turn = match (turn, inner.watch_both(key, &berths)) {
            (Turn::Idle, Err(error)) => {
                tracing::warn!(%error, "a tunnel cannot be watched");
                Turn::End(CloseReason::Shutdown)
            }
            (Turn::Idle, Ok(())) => match (self.goodbye.get(), inner.tunnel_and_scratch(key)) {
                (Some(code), Some((entry, _))) => entry.leave(code),
                // What came before the tunnel began was announced to its berth.
                (None, Some((entry, scratch))) => entry.resume(scratch),
                (_, None) => turn,
            },
            (turn, _) => turn,
        };
        if turn == Turn::Again {
            self.bell.notify_one();
        }
        self.settle(&mut inner, key, turn);
    }

    /// Relays for as long as it is polled.
    pub async fn run(&self) {
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            let mut is_more = false;
            tokio::select! {
                biased;
                // First, or else full batches would hold it back for as long as they come.
                _ = sweep.tick() => self.sweep(),
                ready = self.readiness.readable() => {
                    let Ok(mut ready) = ready else { return };
                    is_more = self.turn();
                    if !is_more {
                        ready.clear_ready();
                    }
                }
                () = self.bell.notified() => {}
            }
            if self.go_on() {
                self.bell.notify_one();
                is_more = true;
            }
            if is_more {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Ends all tunnels, spread over this time, each with a Close frame of this code between two frames. Tunnels that
    /// begin later end at once.
    pub async fn close_all(&self, code: u16, over: Duration) {
        self.goodbye.set(Some(code));
        let steps = (over.as_millis() / CLOSE_STEP.as_millis()).max(1);
        let keys: Vec<usize> = self.inner.borrow().places.iter().map(|(key, _)| key).collect();
        let per_step = keys.len().div_ceil(usize::try_from(steps).unwrap_or(1)).max(1);
        for keys in keys.chunks(per_step) {
            for key in keys {
                let mut inner = self.inner.borrow_mut();
                if let Some((entry, _)) = inner.tunnel_and_scratch(*key) {
                    let turn = entry.leave(code);
                    self.settle(&mut inner, *key, turn);
                }
            }
            tokio::time::sleep(CLOSE_STEP).await;
        }
    }

    /// Waits until there are no tunnels.
    pub async fn wait_until_empty(&self) {
        while !self.is_empty() {
            self.ended.notified().await;
        }
    }

    /// Serves one batch of events; returns whether there may be more.
    fn turn(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        let mut events = std::mem::replace(&mut inner.events, Events::with_capacity(0));
        let polled = inner.poll.poll(&mut events, Some(Duration::ZERO));
        inner.scratch.spent = 0;
        let mut count = 0;
        for event in events.iter().filter(|_| polled.is_ok()) {
            count += 1;
            let (key, from) = split(event.token());
            let Inner { places, scratch, .. } = &mut *inner;
            let turn = match places.get_mut(key) {
                Some(Place::Tunnel(entry)) if scratch.is_spent() => entry.note_event(from, event),
                Some(Place::Tunnel(entry)) => entry.handle_event(from, event, scratch),
                Some(Place::Berth(berth)) => {
                    berth.upgrade().iter().for_each(|berth| berth.handle_event(from, event));
                    continue;
                }
                // A tunnel that ended earlier in this batch has no more events.
                None => continue,
            };
            self.settle(&mut inner, key, turn);
        }
        inner.events = events;
        count == EVENTS_PER_TURN
    }

    /// Continues tunnels that had more to read; returns whether some still have.
    fn go_on(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        inner.scratch.spent = 0;
        while !inner.scratch.is_spent() {
            let Some(key) = inner.continued.pop_front() else { return false };
            // A later tunnel may have taken the place; for it this is an idle turn.
            let Some((entry, scratch)) = inner.tunnel_and_scratch(key) else { continue };
            entry.continued = false;
            let turn = entry.resume(scratch);
            self.settle(&mut inner, key, turn);
        }
        !inner.continued.is_empty()
    }

    /// Ends the tunnels of one part of the slab that have been silent for too long.
    fn sweep(&self) {
        let mut inner = self.inner.borrow_mut();
        let step = inner.places.capacity().div_ceil(SWEEP_STEPS).max(1);
        let from = if inner.sweep_from >= inner.places.capacity() { 0 } else { inner.sweep_from };
        inner.sweep_from = from + step;
        let now = clock::coarse();
        for key in from..from + step {
            if let Some(Place::Tunnel(entry)) = inner.places.get(key)
                && let Some(reason) = entry.expired(now)
            {
                self.settle(&mut inner, key, Turn::End(reason));
            }
        }
    }

    fn settle(&self, inner: &mut Inner, key: usize, turn: Turn) {
        if let Turn::End(reason) = turn {
            // Closing the sockets takes them out of the reactor.
            if let Some(Place::Tunnel(entry)) = inner.places.try_remove(key) {
                inner.tunnels -= 1;
                let (record, closed) = entry.finish(reason);
                record.finish(&self.shared, &closed);
                self.ended.notify_one();
            }
            return;
        }
        let Some((entry, _)) = inner.tunnel_and_scratch(key) else { return };
        let must_continue = turn == Turn::Again && !entry.continued;
        entry.continued |= must_continue;
        for from in entry.wanting_room() {
            // If it fails, the timeout ends the tunnel.
            let _ = inner.watch_for_room(key, from);
        }
        if must_continue {
            inner.continued.push_back(key);
        }
    }
}

impl Inner {
    /// Begins to watch a socket.
    pub(super) fn watch(&self, key: usize, from: From, socket: &mut TcpStream, interest: Interest) -> io::Result<()> {
        self.poll.registry().register(socket, join(key, from), interest)
    }

    /// Stops watching a socket.
    pub(super) fn leave(&self, socket: &mut TcpStream) -> io::Result<()> {
        self.poll.registry().deregister(socket)
    }

    /// Gives a place back that no tunnel has taken.
    pub(super) fn free(&mut self, key: usize) {
        self.places.try_remove(key);
    }

    /// Gives a tunnel the place that was reserved for it, or else a new one.
    fn berth(&mut self, entry: Entry, berths: &[Option<Rc<Berth>>; 2]) -> usize {
        self.tunnels += 1;
        let reserved = berths.iter().flatten().next().map(|berth| berth.take());
        match reserved.and_then(|key| self.places.get_mut(key).map(|place| (key, place))) {
            Some((key, place)) => {
                *place = Place::Tunnel(entry);
                key
            }
            None => self.places.insert(Place::Tunnel(entry)),
        }
    }

    /// Begins to watch those of a tunnel's sockets that had no berth.
    fn watch_both(&mut self, key: usize, berths: &[Option<Rc<Berth>>; 2]) -> io::Result<()> {
        let Self { poll, places, .. } = self;
        let Some(Place::Tunnel(entry)) = places.get_mut(key) else { return Ok(()) };
        for (from, berth) in [From::Client, From::Upstream].into_iter().zip(berths) {
            if berth.is_none() {
                poll.registry().register(entry.socket(from), join(key, from), Interest::READABLE)?;
            }
        }
        Ok(())
    }

    /// Watches a socket for room to send too.
    fn watch_for_room(&mut self, key: usize, from: From) -> io::Result<()> {
        let Self { poll, places, .. } = self;
        let Some(Place::Tunnel(entry)) = places.get_mut(key) else { return Ok(()) };
        poll.registry().reregister(entry.socket(from), join(key, from), Interest::READABLE | Interest::WRITABLE)
    }

    fn tunnel_and_scratch(&mut self, key: usize) -> Option<(&mut Entry, &mut Scratch)> {
        match self.places.get_mut(key) {
            Some(Place::Tunnel(entry)) => Some((entry, &mut self.scratch)),
            Some(Place::Berth(_)) | None => None,
        }
    }
}

fn join(key: usize, from: From) -> Token {
    Token(key * 2 + usize::from(from == From::Upstream))
}

fn split(token: Token) -> (usize, From) {
    (token.0 / 2, if token.0.is_multiple_of(2) { From::Client } else { From::Upstream })
}
