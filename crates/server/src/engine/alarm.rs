//! Decides when a timer is moved: only when it would ring too late, since a session's deadline mostly moves away. And when
//! it is looked at: not before it can have rung, for the one task that it wakes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::Sleep;

/// A timer of a task.
pub(crate) struct Alarm<'a> {
    sleep: Pin<&'a mut Sleep>,
    rings_at: Option<Instant>,
}

impl<'a> Alarm<'a> {
    /// Takes a timer, whatever it is set to.
    pub(crate) fn new(sleep: Pin<&'a mut Sleep>) -> Self {
        Self { sleep, rings_at: None }
    }

    /// Waits until this time or one before it; the caller looks at the clock then. Always to be called by the same task.
    pub(crate) fn poll_until(&mut self, until: Option<Instant>, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = until else { return Poll::Pending };
        match self.rings_at {
            // It has been polled since it was set, so it wakes the task.
            Some(rings_at) if rings_at <= until && now < rings_at => return Poll::Pending,
            Some(rings_at) if rings_at <= until => {}
            _ => {
                self.sleep.as_mut().reset(until.into());
                self.rings_at = Some(until);
            }
        }
        ready!(self.sleep.as_mut().poll(cx));
        self.rings_at = None;
        Poll::Ready(())
    }
}
