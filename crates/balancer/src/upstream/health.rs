//! Whether an endpoint is used: what probes say (up, down) and what real traffic says (ejected).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::config::{OutlierConfig, ProbeConfig};
use crate::table::Seconds;

/// The longest ejection, as a multiple of the first.
const MOST_EJECTIONS: u32 = 10;

/// What is known about an endpoint's health. An endpoint that nobody has probed counts as up.
#[derive(Debug, Default)]
pub struct Health {
    down: AtomicBool,
    no_new: AtomicBool,
    /// Probe results in a row that contradict the state. Only the control thread writes it.
    contradictions: AtomicU32,
    /// Failures of real traffic in a row.
    failures: AtomicU32,
    /// Second until which the endpoint is ejected; 0 when it is not.
    ejected_until: AtomicU32,
    /// Ejections in a row, without a success between them.
    ejections: AtomicU32,
}

/// A change of an endpoint's state, to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Probes brought it up.
    Up,
    /// Probes took it down.
    Down,
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

    /// Notes whether the endpoint asks for no new sessions.
    pub fn set_no_new(&self, no_new: bool) {
        self.no_new.store(no_new, Ordering::Relaxed);
    }

    /// Returns whether real traffic has shown that the endpoint fails.
    pub fn is_ejected(&self, now: Seconds) -> bool {
        now.0 < self.ejected_until.load(Ordering::Relaxed)
    }

    /// Takes the result of a probe: `rise` successes in a row bring the endpoint up, `fall` failures take it down.
    pub fn handle_probe(&self, success: bool, config: &ProbeConfig) -> Option<Change> {
        let down = self.is_down();
        if success != down {
            self.contradictions.store(0, Ordering::Relaxed);
            return None;
        }
        let contradictions = self.contradictions.fetch_add(1, Ordering::Relaxed) + 1;
        if contradictions < if down { config.rise } else { config.fall } {
            return None;
        }
        self.contradictions.store(0, Ordering::Relaxed);
        self.down.store(!down, Ordering::Relaxed);
        Some(if down { Change::Up } else { Change::Down })
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
        self.failures.store(0, Ordering::Relaxed);
        self.ejected_until.store(now.0.saturating_add(length.0), Ordering::Relaxed);
        length
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PROBE: ProbeConfig =
        ProbeConfig { interval: Duration::from_secs(2), timeout: Duration::from_secs(1), rise: 2, fall: 3 };
    const OUTLIER: OutlierConfig = OutlierConfig { failures: 2, ejection: Duration::from_secs(10) };

    #[test]
    fn rise_and_fall_count_results_in_a_row() {
        let health = Health::default();
        let results = [false, false, true, false, false, false, true, false, true, true];
        let changes: Vec<_> = results.iter().map(|success| health.handle_probe(*success, &PROBE)).collect();
        assert_eq!(changes.iter().position(Option::is_some), Some(5));
        assert_eq!((changes[5], changes[9]), (Some(Change::Down), Some(Change::Up)));
        assert!(!health.is_down());
    }

    #[test]
    fn ejections_grow_until_a_success() {
        let health = Health::default();
        assert!(!health.handle_failure(&OUTLIER));
        assert!(health.handle_failure(&OUTLIER));
        assert_eq!(health.eject(&OUTLIER, Seconds(5)), Seconds(10));
        assert!(health.is_ejected(Seconds(14)) && !health.is_ejected(Seconds(15)));
        assert_eq!(health.eject(&OUTLIER, Seconds(20)), Seconds(20));
        health.handle_success();
        assert_eq!(health.eject(&OUTLIER, Seconds(50)), Seconds(10));
    }
}
