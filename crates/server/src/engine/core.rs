//! Decides who is woken when a session changes, and holds the session's lock.
//!
//! A session has one task of its own, the driver: of a polling session it keeps the time, of a WebSocket it does all. A
//! waiting GET, a POST that delivers, and a candidate's WebSocket wait beside it. The lock is held for a few
//! instructions, never across a wait, and no application code runs under it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use limpet_proto::engineio::session::{CandidateId, Session};
use limpet_proto::engineio::sid::Sid;
use limpet_proto::engineio::{Transport, Version};

/// What the application's handle and the tasks of a session share.
pub(super) struct Core {
    pub(super) sid: Sid,
    pub(super) version: Version,
    pub(super) address: SocketAddr,
    state: Mutex<State>,
}

/// A session and who waits for it.
pub(super) struct State {
    pub(super) session: Session,
    pub(super) driver: Driver,
    /// Waits for the answer to its GET.
    pub(super) get: Option<Waker>,
    /// Delivers the packets of a POST, and waits for the application or for the end of the session.
    pub(super) post: Option<Waker>,
    /// Waits to be dismissed.
    pub(super) candidate: Option<(CandidateId, Waker)>,
}

/// The session's own task.
#[derive(Default)]
pub(super) struct Driver {
    waker: Option<Waker>,
    /// Whether it is the task of the WebSocket.
    pub(super) is_websocket: bool,
    /// Whether it wants to know of packets to send; not while earlier ones cannot leave.
    wants_packets: bool,
    /// Until when it sleeps.
    until: Option<Instant>,
    /// Whether it is to be woken whatever it waits for.
    is_due: bool,
}

/// Those to wake once the lock has been let go.
#[derive(Default)]
#[must_use]
struct Wakes([Option<Waker>; 4]);

impl Core {
    pub(super) fn new(sid: Sid, address: SocketAddr, session: Session) -> Self {
        let driver = Driver { is_websocket: session.transport() == Transport::Websocket, ..Driver::default() };
        Self {
            sid,
            version: session.version(),
            address,
            state: Mutex::new(State { session, driver, get: None, post: None, candidate: None }),
        }
    }

    /// Changes the session and wakes those whom the change concerns.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let value = change(&mut state);
        let wakes = state.wakes();
        drop(state);
        wakes.wake();
        value
    }

    /// Looks at the session.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Session) -> T) -> T {
        look(&self.lock().session)
    }

    /// Waits until the session has ended, on behalf of a POST.
    pub(super) fn poll_closed_for_post(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.session.closed().is_some() {
            return Poll::Ready(());
        }
        state.post = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets the driver be woken by what comes. `wants_packets` says that it could send some.
    pub(super) fn wait_as_driver(&mut self, cx: &Context<'_>, wants_packets: bool, until: Option<Instant>) {
        match &mut self.driver.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            waker @ None => *waker = Some(cx.waker().clone()),
        }
        self.driver.wants_packets = wants_packets;
        self.driver.until = until;
    }

    /// Lets the driver sleep on when there is something to send, as it looks for that itself before it waits again.
    pub(super) fn expect_driver(&mut self) {
        self.driver.wants_packets = false;
    }

    /// Makes the task of a candidate the driver; the one of the polling session ends.
    pub(super) fn hand_over(&mut self) -> Option<Waker> {
        self.driver.is_websocket = true;
        self.driver.waker.take()
    }

    /// Wakes the task of the WebSocket, which may wait for a POST from before the upgrade.
    pub(super) fn wake_websocket(&mut self) {
        self.driver.is_due = self.driver.is_websocket;
    }

    fn wakes(&mut self) -> Wakes {
        let session = &self.session;
        let closed = session.closed().is_some();
        let mut wakes = Wakes::default();
        if self.driver.waker.is_some() {
            let earlier = match (session.poll_deadline(), self.driver.until) {
                (Some(deadline), Some(until)) => deadline < until,
                (deadline, None) => deadline.is_some(),
                (None, Some(_)) => false,
            };
            let is_due = std::mem::take(&mut self.driver.is_due);
            if is_due
                || earlier
                || (closed && !session.has_post())
                || (self.driver.wants_packets && session.has_frames())
            {
                wakes.0[0] = self.driver.waker.take();
            }
        }
        if self.get.is_some() && session.has_answer() {
            wakes.0[1] = self.get.take();
        }
        if closed && self.post.is_some() {
            wakes.0[2] = self.post.take();
        }
        if self.candidate.as_ref().is_some_and(|(id, _)| !session.has_candidate(*id)) {
            wakes.0[3] = self.candidate.take().map(|(_, waker)| waker);
        }
        wakes
    }
}

impl Wakes {
    fn wake(self) {
        self.0.into_iter().flatten().for_each(Waker::wake);
    }
}

/// A session with the application's side of it.
pub(super) struct Entry<R> {
    pub(super) core: Arc<Core>,
    pub(super) receiver: R,
}

/// Returns the time, as Tokio's timers see it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
