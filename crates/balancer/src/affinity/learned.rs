//! Remembers where the sids belong that carry no tag: those of version 3, and of handshakes that could not be tagged.
//!
//! Each upstream has a memory of its own, since two upstreams may know the same sid. An entry stays while its session
//! is used. Losing one is no loss of routing for version 3, whose sids are then located; a version 4 session without a
//! tag ends.
//!
//! An entry costs about 90 bytes with a sid of 20 characters, so that the default bound costs 9 MB.

use limpet_proto::engineio::sid::Sid;

use crate::table::{Entry, Seconds, Table};
use crate::upstream::endpoint::EndpointId;

/// The default bound on the sids of one upstream.
pub const DEFAULT_CAPACITY: usize = 100_000;

/// The shortest time that a silent sid is remembered: clients of version 3 may come back after a suspended tab or a
/// change of network, and it is the endpoint that decides whether the session still lives.
const MIN_IDLE_LIMIT: Seconds = Seconds(60);

/// The sids of one upstream that carry no tag.
#[derive(Debug)]
pub struct Learned {
    table: Table<Sid, EndpointId>,
}

impl Default for Learned {
    fn default() -> Self {
        Self::new(DEFAULT_CAPACITY)
    }
}

impl Learned {
    /// Makes an empty memory for at most `capacity` sids; when it is full, one that was not used for long goes.
    pub fn new(capacity: usize) -> Self {
        Self { table: Table::new(capacity) }
    }

    /// Remembers the endpoint of a sid until it was not looked for during `idle_limit`, or 60 s if that is longer.
    pub fn learn(&self, sid: Sid, endpoint: EndpointId, idle_limit: Seconds, now: Seconds) {
        let entry = Entry { key: sid, value: endpoint, idle_limit: idle_limit.max(MIN_IDLE_LIMIT) };
        // Whichever entry has to go, nothing else depends on it.
        drop(self.table.insert(entry, now));
    }

    /// Returns the endpoint of a sid and keeps it for another idle limit.
    pub fn find(&self, sid: &str, now: Seconds) -> Option<EndpointId> {
        self.table.update(sid, now, |endpoint| *endpoint)
    }

    /// Forgets a sid whose session is over.
    pub fn forget(&self, sid: &str) {
        drop(self.table.remove(sid));
    }

    /// Frees the expired sids of one shard; see [`Table::sweep`].
    pub fn sweep(&self, shard: usize, now: Seconds) -> usize {
        self.table.sweep(shard, now)
    }

    /// Shows the sids of one shard with their endpoints and the time of their last use; see [`Table::page`].
    pub fn page(&self, shard: usize, now: Seconds, mut show: impl FnMut(&Sid, EndpointId, Seconds)) {
        self.table.page(shard, now, |sid, endpoint, used| show(sid, *endpoint, used));
    }

    /// Returns the number of shards.
    pub fn shards(&self) -> usize {
        self.table.shards()
    }

    /// Returns the number of sids, those that have expired but were not yet swept among them.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Returns whether there are no sids at all.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: EndpointId = EndpointId([1; 6]);
    const TWO: EndpointId = EndpointId([2; 6]);

    fn sid(text: &str) -> Sid {
        Sid::parse(text).unwrap()
    }

    #[test]
    fn a_sid_is_found_until_forgotten() {
        let learned = Learned::default();
        assert_eq!(learned.find("a", Seconds(0)), None);
        learned.learn(sid("a"), ONE, Seconds(90), Seconds(0));
        assert_eq!(learned.find("a", Seconds(0)), Some(ONE));
        learned.learn(sid("a"), TWO, Seconds(90), Seconds(0));
        assert_eq!(learned.find("a", Seconds(0)), Some(TWO));
        learned.forget("a");
        learned.forget("a");
        assert_eq!(learned.find("a", Seconds(0)), None);
    }

    #[test]
    fn a_used_sid_stays_and_a_silent_one_goes() {
        let learned = Learned::new(10);
        learned.learn(sid("used"), ONE, Seconds(90), Seconds(0));
        learned.learn(sid("silent"), ONE, Seconds(90), Seconds(0));
        assert_eq!(learned.find("used", Seconds(89)), Some(ONE));
        assert_eq!(learned.find("silent", Seconds(90)), None);
        assert_eq!(learned.find("used", Seconds(178)), Some(ONE));
        assert_eq!((learned.sweep(0, Seconds(178)), learned.len()), (1, 1));
    }

    #[test]
    fn no_sid_goes_within_a_minute() {
        let learned = Learned::new(10);
        learned.learn(sid("a"), ONE, Seconds(2), Seconds(0));
        assert_eq!(learned.find("a", Seconds(59)), Some(ONE));
        assert_eq!(learned.find("a", Seconds(59 + 60)), None);
    }

    #[test]
    fn the_bound_holds() {
        let learned = Learned::new(10);
        for at in 0..30 {
            learned.learn(sid(&at.to_string()), ONE, Seconds(90), Seconds(at));
        }
        assert_eq!(learned.len(), 10);
        let mut shown = 0;
        learned.page(0, Seconds(30), |sid, endpoint, used| {
            assert_eq!((sid.as_str(), endpoint), (used.0.to_string().as_str(), ONE));
            shown += 1;
        });
        assert_eq!(shown, 10);
    }
}
