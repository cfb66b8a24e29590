//! Decides how much one connection may say: some at once, and then so many per second.

use std::time::{Duration, Instant};

/// A bucket that fills with time.
#[derive(Debug)]
pub(crate) struct Pace {
    at_once: u32,
    every: Duration,
    /// When the bucket will be full again.
    full_at: Instant,
}

impl Pace {
    /// Allows `at_once`, and one more each time that `every` has passed.
    pub(crate) fn new(at_once: u32, every: Duration, now: Instant) -> Self {
        Self { at_once, every, full_at: now }
    }

    /// Takes one out, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.every;
        let is_allowed = full_at.duration_since(now) <= self.every * self.at_once;
        if is_allowed {
            self.full_at = full_at;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_at_once_then_one_by_one() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(3, second, start);
        let taken = |pace: &mut Pace, now| (0..9).filter(|_| pace.take(now)).count();
        assert_eq!(taken(&mut pace, start), 3);
        assert_eq!(taken(&mut pace, start + second / 2), 0);
        assert_eq!(taken(&mut pace, start + second * 2), 2);
        assert_eq!(taken(&mut pace, start + second * 60), 3);
    }
}
