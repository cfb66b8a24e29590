//! A place in the engine for a connection that may become a tunnel.
//!
//! An upgrade's sockets are watched by the engine from the start, so that they need not move when the 101 has come:
//! moving a socket from one reactor to another costs two system calls. Until then the engine only notes what it hears of
//! them and wakes the task that waits for the 101.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use mio::Interest;
use mio::event::Event;
use mio::net::TcpStream;

use super::engine::Inner;

/// Names a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The client's.
    Client,
    /// The endpoint's.
    Upstream,
}

impl From {
    /// Returns the opposite side.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }
}

/// What the engine has heard of a socket and nobody has used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// There may be bytes to read that no further edge will announce.
    pub readable: bool,
    /// There may be room to send that no further edge will announce.
    pub writable: bool,
    /// The end of the stream lies behind what there is to read.
    pub end: bool,
}

/// A place in the engine, given back when dropped unless a tunnel has taken it.
pub struct Berth {
    inner: Rc<RefCell<Inner>>,
    key: usize,
    client: Cell<Heard>,
    upstream: Cell<Heard>,
    waker: Cell<Option<Waker>>,
    /// A tunnel has the place now.
    taken: Cell<bool>,
}

impl Berth {
    pub(super) fn new(inner: &Rc<RefCell<Inner>>, key: usize) -> Self {
        Self {
            inner: Rc::clone(inner),
            key,
            client: Cell::default(),
            upstream: Cell::default(),
            waker: Cell::default(),
            taken: Cell::new(false),
        }
    }

    /// Begins to watch the socket of one side.
    ///
    /// # Errors
    /// What the reactor says.
    pub(crate) fn watch(&self, from: From, socket: &mut TcpStream, interest: Interest) -> io::Result<()> {
        self.side(from).set(Heard::default());
        self.inner.borrow().watch(self.key, from, socket, interest)
    }

    /// Stops watching a socket, which goes on elsewhere.
    ///
    /// # Errors
    /// What the reactor says.
    pub(crate) fn leave(&self, socket: &mut TcpStream) -> io::Result<()> {
        self.inner.borrow().leave(socket)
    }

    /// Is ready with what is known about one side once that is anything of interest.
    pub(crate) fn poll(&self, from: From, cx: &Context<'_>, of_interest: impl Fn(Heard) -> bool) -> Poll<()> {
        if of_interest(self.side(from).get()) {
            return Poll::Ready(());
        }
        let waker = self.waker.take().filter(|waker| waker.will_wake(cx.waker()));
        self.waker.set(Some(waker.unwrap_or_else(|| cx.waker().clone())));
        Poll::Pending
    }

    /// Returns what is known about one side.
    pub(crate) fn heard(&self, from: From) -> Heard {
        self.side(from).get()
    }

    /// Changes what is known about one side, by what reading or writing has shown.
    pub(crate) fn note(&self, from: From, change: impl FnOnce(&mut Heard)) {
        let mut heard = self.side(from).get();
        change(&mut heard);
        self.side(from).set(heard);
    }

    /// Takes what the reactor says about one side.
    pub(super) fn handle_event(&self, from: From, event: &Event) {
        let failed = event.is_error();
        self.note(from, |heard| {
            heard.readable |= event.is_readable() || event.is_read_closed() || failed;
            heard.writable |= event.is_writable() || failed;
            heard.end |= event.is_read_closed();
        });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Gives the place to a tunnel.
    pub(super) fn take(&self) -> usize {
        self.taken.set(true);
        self.key
    }

    fn side(&self, from: From) -> &Cell<Heard> {
        match from {
            From::Client => &self.client,
            From::Upstream => &self.upstream,
        }
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        if !self.taken.get() {
            self.inner.borrow_mut().free(self.key);
        }
    }
}

impl fmt::Debug for Berth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Berth").field("key", &self.key).finish_non_exhaustive()
    }
}
