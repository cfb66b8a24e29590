//! Whether an endpoint is used: what probes say (up, down, no new sessions) and what real traffic says (ejected).
//!
//! - The first result decides at once; after it, `rise` successes in a row bring an endpoint up and `fall` failures in a
//!   row take it down, as HAProxy counts them.
//! - Only the control thread takes results. Workers read two flags; the history behind them lies under a lock that no
//!   request touches.

pub mod check;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::check::{Check, CheckStatus, LastCheck, Verdict};
use super::balance::tiers::note_change;
use crate::config::{OutlierConfig, ProbeConfig};
use crate::table::Seconds;

/// The longest ejection, as a multiple of the first.
const MOST_EJECTIONS: u32 = 10;

/// What is known about an endpoint's health. An endpoint that nobody has probed counts as up.
#[derive(Debug, Default)]
pub struct Health {
    down: AtomicBool,
    no_new: AtomicBool,
    /// One more than the second since which probes say that it is up again; 0 if it was never down, or is.
    up_since: AtomicU32,
    /// Probe results in a row that contradict the state.
    contradictions: AtomicU32,
    history: Mutex<Past>,
    /// Failures of real traffic in a row.
    failures: AtomicU32,
    /// Second until which the endpoint is ejected; 0 when it is not.
    ejected_until: AtomicU32,
    /// Ejections in a row, without a success between them.
    ejections: AtomicU32,
    /// Ejections in all.
    all_ejections: AtomicU32,
}

#[derive(Debug, Default)]
struct Past {
    last: LastCheck,
    first_at: Option<Seconds>,
    changed_at: Option<Seconds>,
    checks: u64,
    failed_checks: u64,
    downs: u32,
    /// Of the times before the current one.
    downtime: Seconds,
}

/// What probes have found over time, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Probes in all.
    pub checks: u64,
    /// Probes that failed while the endpoint was up (HAProxy's `chkfail`).
    pub failed_checks: u64,
    /// How often it went down (HAProxy's `chkdown`).
    pub downs: u32,
    /// How long it has been what it is, up or down, since the first probe (HAProxy's `lastchg`).
    pub since_change: Seconds,
    /// How long it has been up in all since the first probe.
    pub uptime: Seconds,
    /// How long it has been down in all (HAProxy's `downtime`).
    pub downtime: Seconds,
}

/// A change of an endpoint's state, to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Probes brought it up.
    Up,
    /// Probes took it down.
    Down,
    /// It asks for no new sessions.
    NoNew,
    /// It takes new sessions again.
    NewAgain,
}

impl Health {
    /// Returns whether probes say that the endpoint is down.
    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Returns whether the endpoint asks for no new sessions, while those that it has go on (HAProxy's NOLB).
    pub fn is_no_new(&self) -> bool {
        self.no_new.load(Ordering::Relaxed)
    }

    /// Sets whether the endpoint asks for no new sessions; the next probe that succeeds decides anew.
    pub fn set_no_new(&self, no_new: bool) {
        self.no_new.store(no_new, Ordering::Relaxed);
        note_change();
    }

    /// Returns since when the endpoint is up again, if it ever was down; a slow start counts from there.
    pub fn up_since(&self) -> Option<Seconds> {
        self.up_since.load(Ordering::Relaxed).checked_sub(1).map(Seconds)
    }

    /// Returns the last probe.
    pub fn last_check(&self) -> LastCheck {
        self.history().last.clone()
    }

    /// Returns what probes have found over time.
    pub fn probed(&self, now: Seconds) -> History {
        let past = self.history();
        let since = |at: Option<Seconds>| at.map_or(Seconds(0), |at| now.since(at));
        let since_change = since(past.changed_at.or(past.first_at));
        let current = if self.is_down() { since_change } else { Seconds(0) };
        let downtime = Seconds(past.downtime.0.saturating_add(current.0));
        let uptime = Seconds(since(past.first_at).0.saturating_sub(downtime.0));
        let Past { checks, failed_checks, downs, .. } = *past;
        History { checks, failed_checks, downs, since_change, uptime, downtime }
    }

    /// Notes that the endpoint is going to be probed.
    pub fn expect_checks(&self) {
        let mut past = self.history();
        if past.last.check.status == CheckStatus::Unknown {
            past.last.check.status = CheckStatus::Initializing;
        }
    }

    /// Notes that a probe begins.
    pub fn begin_check(&self) {
        self.history().last.running = true;
    }

    /// Takes the result of a probe.
    pub fn handle_check(&self, check: Check, config: &ProbeConfig, now: Seconds) -> Option<Change> {
        let was_down = self.is_down();
        let mut past = self.history();
        let is_first = past.first_at.is_none();
        past.last = LastCheck { check, at: Some(now), running: false };
        past.first_at.get_or_insert(now);
        past.checks += 1;
        let last = &mut past.last.check;
        // To ask for no new sessions is a privilege of those that are up.
        if was_down && last.status == CheckStatus::Layer7OkConditionally {
            last.status = CheckStatus::Layer7Status;
        }
        let verdict = last.status.verdict();
        let succeeded = verdict != Verdict::Failed;
        past.failed_checks += u64::from(!succeeded && !was_down);
        if succeeded != was_down {
            self.contradictions.store(0, Ordering::Relaxed);
            let no_new = verdict == Verdict::PassedConditionally;
            let change = if no_new { Change::NoNew } else { Change::NewAgain };
            let changed = succeeded && self.no_new.swap(no_new, Ordering::Relaxed) != no_new;
            if changed {
                note_change();
            }
            return changed.then_some(change);
        }
        let contradictions = self.contradictions.fetch_add(1, Ordering::Relaxed) + 1;
        let enough = match (is_first, was_down) {
            (true, _) => 1,
            (false, true) => config.rise,
            (false, false) => config.fall,
        };
        if contradictions < enough {
            return None;
        }
        self.contradictions.store(0, Ordering::Relaxed);
        self.no_new.store(false, Ordering::Relaxed);
        let changed_at = past.changed_at.replace(now).unwrap_or(now);
        if was_down {
            past.downtime = Seconds(past.downtime.0.saturating_add(now.since(changed_at).0));
            self.up_since.store(now.0.saturating_add(1), Ordering::Relaxed);
            // What traffic found while it was down says nothing of what has come up.
            self.failures.store(0, Ordering::Relaxed);
            self.ejected_until.store(0, Ordering::Relaxed);
        } else {
            past.downs += 1;
            self.up_since.store(0, Ordering::Relaxed);
        }
        drop(past);
        self.down.store(!was_down, Ordering::Relaxed);
        note_change();
        Some(if was_down { Change::Up } else { Change::Down })
    }

    /// Returns the time between the beginnings of the last probe and the next.
    pub fn interval(&self, config: &ProbeConfig) -> Duration {
        let in_transition = self.contradictions.load(Ordering::Relaxed) > 0;
        let other = if in_transition {
            config.fast_interval
        } else if self.is_down() {
            config.down_interval
        } else {
            None
        };
        other.unwrap_or(config.interval)
    }

    /// Returns whether real traffic has shown that the endpoint fails.
    pub fn is_ejected(&self, now: Seconds) -> bool {
        now.0 < self.ejected_until.load(Ordering::Relaxed)
    }

    /// Returns how often real traffic got it ejected (HAProxy's `hanafail`).
    pub fn ejections(&self) -> u32 {
        self.all_ejections.load(Ordering::Relaxed)
    }

    /// Takes a success of real traffic.
    pub fn handle_success(&self) {
        // Reading first keeps the cache line shared between the workers.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.ejections.load(Ordering::Relaxed) != 0 {
            self.ejections.store(0, Ordering::Relaxed);
        }
    }

    /// Takes a failure of real traffic and returns whether the endpoint should be ejected for it.
    pub fn handle_failure(&self, config: &OutlierConfig) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        config.failures > 0 && failures >= config.failures
    }

    /// Ejects the endpoint and returns for how long: longer each time, up to ten times the first ejection.
    pub fn eject(&self, config: &OutlierConfig, now: Seconds) -> Seconds {
        let ejections = (self.ejections.fetch_add(1, Ordering::Relaxed) + 1).min(MOST_EJECTIONS);
        let length = Seconds(Seconds::lasting(config.ejection).0.saturating_mul(ejections));
        self.all_ejections.fetch_add(1, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        self.ejected_until.store(now.0.saturating_add(length.0), Ordering::Relaxed);
        note_change();
        length
    }

    fn history(&self) -> MutexGuard<'_, Past> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
