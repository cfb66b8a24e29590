//! Remembers which endpoint has set a value of the application's own cookie.
//!
//! Values are kept as the first 16 bytes of their SHA-256, so that a long one costs no more than a short one and no
//! secret of a client lies here. An entry costs about 40 bytes.

use aws_lc_rs::digest;

use crate::table::{Entry, Seconds, Table};
use crate::upstream::endpoint::EndpointId;

/// The values of one cookie.
#[derive(Debug)]
pub struct LearnedCookies {
    table: Table<[u8; 16], EndpointId>,
    idle_limit: Seconds,
}

impl LearnedCookies {
    /// Makes a memory for at most `capacity` values, each until it was not used for the idle limit.
    pub fn new(capacity: usize, idle_limit: Seconds) -> Self {
        Self { table: Table::new(capacity), idle_limit }
    }

    /// Remembers the endpoint that has set a value; an empty one says nothing.
    pub fn learn(&self, value: &[u8], endpoint: EndpointId, now: Seconds) {
        if !value.is_empty() {
            let entry = Entry { key: key(value), value: endpoint, idle_limit: self.idle_limit };
            // Whichever entry has to go, nothing else depends on it.
            let _ = self.table.insert(entry, now);
        }
    }

    /// Returns the endpoint that has set a value, and keeps it for another idle limit.
    pub fn find(&self, value: &[u8], now: Seconds) -> Option<EndpointId> {
        self.table.update(&key(value), now, |endpoint| *endpoint)
    }

    /// Frees the expired values of one shard.
    pub fn sweep(&self, step: usize, now: Seconds) {
        self.table.sweep(step % self.table.shards(), now);
    }
}

fn key(value: &[u8]) -> [u8; 16] {
    let mut key = [0; 16];
    key.iter_mut().zip(digest::digest(&digest::SHA256, value).as_ref()).for_each(|(to, from)| *to = *from);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_remembered_while_they_are_used_and_within_the_bound() {
        let learned = LearnedCookies::new(10, Seconds(60));
        let id = EndpointId([1; 6]);
        learned.learn(b"", id, Seconds(0));
        assert_eq!(learned.find(b"", Seconds(0)), None);
        learned.learn(b"abc", id, Seconds(0));
        assert_eq!(learned.find(b"abc", Seconds(59)), Some(id));
        assert_eq!(learned.find(b"abc", Seconds(118)), Some(id));
        assert_eq!(learned.find(b"abc", Seconds(178)), None);
        for n in 0..100_u32 {
            learned.learn(&n.to_be_bytes(), id, Seconds(200));
        }
        assert_eq!(learned.table.len(), 10);
        learned.sweep(0, Seconds(300));
        assert!(learned.table.is_empty());
    }
}
