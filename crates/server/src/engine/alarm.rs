//! Decides when a timer is moved: only when it would ring too late, since a session's deadline mostly moves away.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::Sleep;

/// A timer of a task.
pub(super) struct Alarm<'a> {
    sleep: Pin<&'a mut Sleep>,
    rings_at: Option<Instant>,
}

impl<'a> Alarm<'a> {
    /// Takes a timer, whatever it is set to.
    pub(super) fn new(sleep: Pin<&'a mut Sleep>) -> Self {
        Self { sleep, rings_at: None }
    }

    /// Waits until this time or one before it; the caller looks at the clock then.
    pub(super) fn poll_until(&mut self, until: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = until else { return Poll::Pending };
        if self.rings_at.is_none_or(|rings_at| until < rings_at) {
            self.sleep.as_mut().reset(until.into());
            self.rings_at = Some(until);
        }
        ready!(self.sleep.as_mut().poll(cx));
        self.rings_at = None;
        Poll::Ready(())
    }
}
