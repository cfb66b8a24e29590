//! The tunnels of one worker: their slab, their reactor within the worker's reactor, and the pass for timeouts.
#![expect(unsafe_code, reason = "the runtime watches a descriptor only on the promise that it stays open")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::Tunnel;
use super::close::CloseReason;
use super::entry::{Entry, From, Turn};
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
    inner: RefCell<Inner>,
    /// Rung when there is something to do that no socket announces.
    bell: Notify,
    /// Rung when a tunnel has ended.
    ended: Notify,
    /// The code of the goodbye once all tunnels are to end, new ones too.
    goodbye: Cell<Option<u16>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Inner {
    poll: Poll,
    events: Events,
    entries: Slab<Entry>,
    scratch: Scratch,
    /// Tunnels with more to read than one turn allows.
    continued: VecDeque<usize>,
    sweep_from: usize,
}

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
            inner: RefCell::new(Inner {
                poll,
                events: Events::with_capacity(EVENTS_PER_TURN),
                entries: Slab::new(),
                scratch: Scratch::new(),
                continued: VecDeque::new(),
                sweep_from: 0,
            }),
            bell: Notify::new(),
            ended: Notify::new(),
            goodbye: Cell::new(None),
            shared,
        })
    }

    /// Returns the number of tunnels.
    pub fn len(&self) -> usize {
        self.inner.borrow().entries.len()
    }

    /// Returns whether there are no tunnels.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a new tunnel over, and sends what waits for both sides at once.
    pub fn adopt(&self, tunnel: Tunnel) {
        let (entry, turn) = Entry::begin(tunnel);
        let mut inner = self.inner.borrow_mut();
        let key = inner.entries.insert(entry);
        let turn = match (turn, inner.register(key)) {
            (Turn::Idle, Err(error)) => {
                tracing::warn!(%error, "a tunnel cannot be watched");
                Turn::End(CloseReason::Shutdown)
            }
            (Turn::Idle, Ok(())) if let Some(code) = self.goodbye.get() => inner.entries[key].leave(code),
            (turn, _) => turn,
        };
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
        let keys: Vec<usize> = self.inner.borrow().entries.iter().map(|(key, _)| key).collect();
        let per_step = keys.len().div_ceil(usize::try_from(steps).unwrap_or(1)).max(1);
        for keys in keys.chunks(per_step) {
            for key in keys {
                let mut inner = self.inner.borrow_mut();
                if let Some(entry) = inner.entries.get_mut(*key) {
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
            let Inner { entries, scratch, .. } = &mut *inner;
            // An entry that ended earlier in this batch has no more events.
            let Some(entry) = entries.get_mut(key) else { continue };
            let turn = if scratch.is_spent() {
                entry.note_event(from, event)
            } else {
                entry.handle_event(from, event, scratch)
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
            let Inner { entries, scratch, .. } = &mut *inner;
            // A later tunnel may have taken the place; for it this is an idle turn.
            let Some(entry) = entries.get_mut(key) else { continue };
            entry.continued = false;
            let turn = entry.resume(scratch);
            self.settle(&mut inner, key, turn);
        }
        !inner.continued.is_empty()
    }

    /// Ends the tunnels of one part of the slab that have been silent for too long.
    fn sweep(&self) {
        let mut inner = self.inner.borrow_mut();
        let step = inner.entries.capacity().div_ceil(SWEEP_STEPS).max(1);
        let from = if inner.sweep_from >= inner.entries.capacity() { 0 } else { inner.sweep_from };
        inner.sweep_from = from + step;
        let now = clock::coarse();
        for key in from..from + step {
            if let Some(reason) = inner.entries.get(key).and_then(|entry| entry.expired(now)) {
                self.settle(&mut inner, key, Turn::End(reason));
            }
        }
    }

    fn settle(&self, inner: &mut Inner, key: usize, turn: Turn) {
        match turn {
            Turn::Idle => {}
            Turn::Again => {
                if let Some(entry) = inner.entries.get_mut(key).filter(|entry| !entry.continued) {
                    entry.continued = true;
                    inner.continued.push_back(key);
                }
            }
            Turn::End(reason) => {
                // Closing the sockets takes them out of the reactor.
                let (record, closed) = inner.entries.remove(key).finish(reason);
                record.finish(&self.shared, &closed);
                self.ended.notify_one();
            }
        }
    }
}

impl Inner {
    /// Registers both sockets for all their life.
    fn register(&mut self, key: usize) -> io::Result<()> {
        let Some(entry) = self.entries.get_mut(key) else { return Ok(()) };
        for (socket, from) in entry.sockets().into_iter().zip([From::Client, From::Upstream]) {
            self.poll.registry().register(socket, join(key, from), Interest::READABLE | Interest::WRITABLE)?;
        }
        Ok(())
    }
}

fn join(key: usize, from: From) -> Token {
    Token(key * 2 + usize::from(from == From::Upstream))
}

fn split(token: Token) -> (usize, From) {
    (token.0 / 2, if token.0.is_multiple_of(2) { From::Client } else { From::Upstream })
}
