//! Coarse deadlines: one cell per connection, looked at ten times a second.
//!
//! A timer per connection and phase would cost more than the rest of a short request. Here setting a deadline is one
//! store, and a pass over 10,000 deadlines reads 80 KB. A deadline is never early, and at most two ticks late.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;

use crate::clock;

/// The time between two passes.
const TICK: Duration = Duration::from_millis(100);

const NEVER: u64 = u64::MAX;

thread_local! {
    static DEADLINES: RefCell<Slab<Entry>> = const { RefCell::new(Slab::new()) };
}

struct Entry {
    at_ms: u64,
    waker: Option<Waker>,
}

/// One connection's deadline; none is set at first.
#[derive(Debug)]
pub struct Deadline {
    key: usize,
}

impl Deadline {
    /// Makes an unset deadline.
    pub fn new() -> Self {
        Self { key: DEADLINES.with_borrow_mut(|deadlines| deadlines.insert(Entry { at_ms: NEVER, waker: None })) }
    }

    /// Sets the deadline to `timeout` from now.
    pub fn set(&self, timeout: Duration) {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(NEVER);
        // The coarse clock may be one tick behind.
        let at_ms = clock::coarse_ms().saturating_add(timeout_ms).saturating_add(TICK.as_millis() as u64);
        DEADLINES.with_borrow_mut(|deadlines| {
            if let Some(entry) = deadlines.get_mut(self.key) {
                entry.at_ms = at_ms;
            }
        });
    }

    /// Is ready once the deadline has passed.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        DEADLINES.with_borrow_mut(|deadlines| match deadlines.get_mut(self.key) {
            Some(entry) if entry.at_ms > clock::coarse_ms() => {
                if !entry.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    entry.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            _ => Poll::Ready(()),
        })
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        // The table is gone when the thread ends.
        let _ = DEADLINES.try_with(|deadlines| deadlines.borrow_mut().try_remove(self.key));
    }
}

/// Advances the worker's coarse clock and wakes what has expired, for as long as it is polled.
pub async fn run() {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        clock::tick();
        wake_expired(clock::coarse_ms());
    }
}

/// Wakes everything that has a deadline, so that it looks at the state of the world anew.
pub fn wake_all() {
    wake_expired(NEVER);
}

fn wake_expired(now_ms: u64) {
    DEADLINES.with_borrow_mut(|deadlines| {
        for (_, entry) in deadlines.iter_mut().filter(|(_, entry)| entry.at_ms <= now_ms) {
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_deadline_is_never_early() {
        let ticker = tokio::spawn(run());
        let deadline = Deadline::new();
        let started = std::time::Instant::now();
        deadline.set(Duration::from_millis(300));
        std::future::poll_fn(|cx| deadline.poll(cx)).await;
        assert!(started.elapsed() >= Duration::from_millis(300));
        deadline.set(Duration::MAX);
        assert!(deadline.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        ticker.abort();
    }
}
