//! Decides which entries of a log are there twice because their publisher did not know whether they had arrived.
//!
//! Each publisher counts what it publishes, and publishes again with the same count. Who reads from the middle of a log first
//! notes what is before it, as far back as publishers try again: else the second of two looks like the first.

use std::collections::HashMap;
use std::sync::Arc;

/// How many counts behind the highest are told apart. What is further behind counts as a repeat.
const WINDOW: usize = 1024;

const BITS: usize = u64::BITS as usize;

/// What has been seen of each publisher. Takes about 200 bytes for each, of up to as many publishers as it was told; who has not
/// published for longest is forgotten for a new one.
#[derive(Debug)]
pub struct Repeats {
    seen: HashMap<Arc<str>, Seen>,
    max_publishers: usize,
    /// Counts the calls, to know who has not published for longest.
    clock: u64,
}

#[derive(Debug)]
struct Seen {
    highest: u64,
    /// A ring: one bit for each of the counts up to the highest.
    bits: Box<[u64; WINDOW / BITS]>,
    last_use: u64,
}

impl Repeats {
    /// Remembers so many publishers.
    pub fn new(max_publishers: usize) -> Self {
        Self { seen: HashMap::new(), max_publishers: max_publishers.max(1), clock: 0 }
    }

    /// Notes an entry. Returns whether it is there for the first time.
    pub fn is_new(&mut self, publisher: &str, count: u64) -> bool {
        self.clock += 1;
        let clock = self.clock;
        if let Some(seen) = self.seen.get_mut(publisher) {
            seen.last_use = clock;
            return seen.note(count);
        }
        if self.seen.len() >= self.max_publishers {
            let oldest = self.seen.iter().min_by_key(|(_, seen)| seen.last_use).map(|(name, _)| name.clone());
            oldest.map(|name| self.seen.remove(&name));
        }
        let mut seen = Seen { highest: count, bits: Box::new([0; WINDOW / BITS]), last_use: clock };
        seen.set(count);
        self.seen.insert(publisher.into(), seen);
        true
    }
}

impl Seen {
    fn note(&mut self, count: u64) -> bool {
        if count > self.highest {
            let ahead = count - self.highest;
            if ahead >= WINDOW as u64 {
                self.bits.fill(0);
            } else {
                (self.highest + 1..count).for_each(|between| self.clear(between));
            }
            self.highest = count;
            self.set(count);
            return true;
        }
        if self.highest - count >= WINDOW as u64 {
            return false;
        }
        let (word, bit) = place(count);
        let is_new = self.bits[word] & bit == 0;
        self.set(count);
        is_new
    }

    fn set(&mut self, count: u64) {
        let (word, bit) = place(count);
        self.bits[word] |= bit;
    }

    fn clear(&mut self, count: u64) {
        let (word, bit) = place(count);
        self.bits[word] &= !bit;
    }
}

fn place(count: u64) -> (usize, u64) {
    let index = (count % WINDOW as u64) as usize;
    (index / BITS, 1 << (index % BITS))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_count_of_a_publisher_is_new_once() {
        let mut repeats = Repeats::new(2);
        for count in [5, 6, 8, 7, 4] {
            assert!(repeats.is_new("a", count), "{count}");
        }
        assert!(repeats.is_new("b", 5));
        for count in [4, 5, 6, 7, 8] {
            assert!(!repeats.is_new("a", count), "{count}");
        }
        assert!(repeats.is_new("a", 1_000_000) && repeats.is_new("a", 999_999));
        // Too far behind to be known: a publisher that tries again does so soon.
        assert!(!repeats.is_new("a", 8));
    }

    #[test]
    fn who_has_been_silent_for_longest_is_forgotten_for_a_new_one() {
        let mut repeats = Repeats::new(2);
        assert!(repeats.is_new("a", 1) && repeats.is_new("b", 1) && repeats.is_new("a", 2));
        assert!(repeats.is_new("c", 1));
        assert!(!repeats.is_new("a", 2), "a is known");
        assert!(repeats.is_new("b", 1), "b was forgotten");
        assert_eq!(repeats.seen.len(), 2);
    }

    proptest! {
        #[test]
        fn as_a_set_would_say(counts in prop::collection::vec(0_u64..3000, 1..300)) {
            let (mut repeats, mut set, mut highest) = (Repeats::new(1), HashSet::new(), 0);
            for count in counts {
                let is_known_place = highest < WINDOW as u64 + count;
                prop_assert_eq!(repeats.is_new("a", count), set.insert(count) && is_known_place);
                highest = highest.max(count);
            }
        }
    }
}
