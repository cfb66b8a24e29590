//! Decides which entries of a stream repeat an earlier one: those of a publisher whose counter is not above the highest one
//! that was seen of it.
//!
//! A publisher writes in order, and what it writes again it writes from the first one on that was not confirmed. So the
//! first copies are in order, whatever else is between them.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::Mark;
use crate::log::Offset;

/// How many publishers are remembered; the one that was silent for the longest time is forgotten. What it publishes again
/// then comes twice.
const MAX_PUBLISHERS: usize = 4096;

/// What was seen of the publishers of one stream.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    publishers: HashMap<Arc<str>, Seen>,
    /// Counts the entries.
    turn: u64,
}

#[derive(Debug)]
struct Seen {
    counter: u64,
    turn: u64,
}

impl Repeats {
    /// Returns whether an entry is new, and remembers it.
    pub(super) fn is_new(&mut self, mark: Mark<'_>) -> bool {
        self.turn += 1;
        if let Some(seen) = self.publishers.get_mut(mark.publisher) {
            seen.turn = self.turn;
            let is_new = mark.counter > seen.counter;
            seen.counter = seen.counter.max(mark.counter);
            return is_new;
        }
        if self.publishers.len() >= MAX_PUBLISHERS {
            self.forget_oldest();
        }
        self.publishers.insert(mark.publisher.into(), Seen { counter: mark.counter, turn: self.turn });
        true
    }

    /// Returns behind which place the first copy of this entry has to be looked for, by one who has seen everything
    /// behind `start`.
    pub(super) fn look_behind(&self, mark: Mark<'_>, start: Offset) -> Option<Offset> {
        mark.again.filter(|again| *again < start && !self.publishers.contains_key(mark.publisher))
    }

    fn forget_oldest(&mut self) {
        let oldest = self.publishers.iter().min_by_key(|(_, seen)| seen.turn).map(|(publisher, _)| publisher.clone());
        if let Some(publisher) = oldest {
            self.publishers.remove(&publisher);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(publisher: &str, counter: u64) -> Mark<'_> {
        Mark { publisher, counter, again: None }
    }

    #[test]
    fn what_was_published_again_is_no_news() {
        let mut repeats = Repeats::default();
        let seen = [1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5].map(|counter| repeats.is_new(mark("a", counter)));
        assert_eq!(seen, [true, true, true, false, false, false, true, false, false, false, true]);
        assert!(repeats.is_new(mark("b", 1)), "another publisher counts for itself");
    }

    #[test]
    fn the_past_is_looked_at_once_and_only_where_it_was_not_seen() {
        let mut repeats = Repeats::default();
        let place = |millis| Offset { millis, counter: 0 };
        let again = Mark { again: Some(place(5)), ..mark("a", 3) };
        assert_eq!(repeats.look_behind(again, place(7)), Some(place(5)));
        assert_eq!(repeats.look_behind(again, place(5)), None);
        assert_eq!(repeats.look_behind(mark("a", 3), place(7)), None);
        repeats.is_new(mark("a", 2));
        assert_eq!(repeats.look_behind(again, place(7)), None, "the first copy can only have come later");
    }

    #[test]
    fn publishers_are_forgotten_when_there_are_too_many() {
        let mut repeats = Repeats::default();
        for number in 0..2 * MAX_PUBLISHERS {
            assert!(repeats.is_new(mark("steady", number as u64 + 1)));
            repeats.is_new(mark(&number.to_string(), 1));
        }
        assert_eq!(repeats.publishers.len(), MAX_PUBLISHERS);
        assert!(!repeats.is_new(mark("steady", 1)));
    }
}
