//! How long a process that has crashed stays down.

use std::time::Duration;

/// The first pause.
const SHORTEST: Duration = Duration::from_millis(500);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// A process that has lived for this long was well.
const WELL: Duration = Duration::from_secs(10);

/// The pauses of one replica: 0.5 s, doubling to 30 s, and from the beginning after 10 s of life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: SHORTEST }
    }
}

impl Backoff {
    /// Returns the pause after a process that has lived this long.
    pub(super) fn after(&mut self, lived: Duration) -> Duration {
        if lived >= WELL {
            *self = Self::default();
        }
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_begin_again_after_a_good_life() {
        let mut backoff = Backoff::default();
        let short = Duration::from_secs(1);
        let pauses: Vec<_> = (0..9).map(|_| backoff.after(short).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(backoff.after(WELL).as_millis(), 500);
        assert_eq!(backoff.after(short).as_millis(), 1000);
    }
}
