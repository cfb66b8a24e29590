//! Decides how connections hear that their listener ends.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// What connections are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// Nothing.
    No,
    /// To end after the request in progress.
    Gracefully,
    /// To end now.
    Now,
}

/// The end of a listener, known to all its connections.
#[derive(Debug, Default)]
pub(super) struct Ending {
    told: AtomicU8,
    notify: Notify,
}

impl Ending {
    /// Tells everybody.
    pub(super) fn tell(&self, end: End) {
        self.told.fetch_max(end as u8, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    /// Returns what has been told.
    pub(super) fn told(&self) -> End {
        match self.told.load(Ordering::SeqCst) {
            0 => End::No,
            1 => End::Gracefully,
            _ => End::Now,
        }
    }

    /// Returns what hears every later word, also before it is first polled.
    pub(super) fn notified(&self) -> Notified<'_> {
        self.notify.notified()
    }
}

/// One who listens to an [`Ending`].
pub(super) struct Hearing<'p, 'e> {
    ending: &'e Ending,
    notified: Pin<&'p mut Notified<'e>>,
}

impl<'p, 'e> Hearing<'p, 'e> {
    /// Begins with what [`Ending::notified`] gave.
    pub(super) fn new(ending: &'e Ending, notified: Pin<&'p mut Notified<'e>>) -> Self {
        Self { ending, notified }
    }

    /// Returns what has been told.
    pub(super) fn told(&self) -> End {
        self.ending.told()
    }

    /// Waits until more is told than is known.
    pub(super) fn poll_more_than(&mut self, known: End, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let told = self.told();
            if told > known {
                return Poll::Ready(told);
            }
            ready!(self.notified.as_mut().poll(cx));
            self.notified.set(self.ending.notified());
        }
    }
}
