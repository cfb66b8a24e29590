//! Spreads a fixed rate over time: a few round trips at each tick.

use std::time::Duration;

/// The number of round trips that a rate has made due, less those that were taken.
pub(super) struct Pace {
    per_second: f64,
    tick: Duration,
    taken: u64,
}

impl Pace {
    /// Starts with nothing due.
    pub(super) fn new(per_second: f64, tick: Duration) -> Self {
        Self { per_second, tick, taken: 0 }
    }

    /// Takes one round trip that is due, if there is one.
    pub(super) fn take_due(&mut self, elapsed: Duration) -> bool {
        let tick = self.tick.as_secs_f64();
        let elapsed = elapsed.as_secs_f64();
        let ticked = if tick > 0.0 { (elapsed / tick).floor() * tick } else { elapsed };
        let due = (ticked * self.per_second) as u64;
        let is_due = self.taken < due;
        self.taken += u64::from(is_due);
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_is_due_and_no_more() {
        let mut pace = Pace::new(1000.0, Duration::ZERO);
        assert!(!pace.take_due(Duration::from_micros(900)));
        let late = Duration::from_micros(2100);
        assert_eq!((0..5).filter(|_| pace.take_due(late)).count(), 2);
    }

    #[test]
    fn waits_for_the_tick() {
        let mut pace = Pace::new(1000.0, Duration::from_millis(4));
        assert!(!pace.take_due(Duration::from_micros(3900)));
        assert_eq!((0..9).filter(|_| pace.take_due(Duration::from_micros(4100))).count(), 4);
    }
}
