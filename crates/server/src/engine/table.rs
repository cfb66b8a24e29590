//! Decides where the sessions of a server are kept: in shards, so that requests of different sessions rarely meet.

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limpet_proto::engineio::sid::Sid;

use super::core::Entry;

/// How many locks there are.
const SHARDS: usize = 16;

type Shard<R> = HashMap<Sid, Arc<Entry<R>>>;

/// The sessions of a server.
pub(super) struct Table<R> {
    shards: [Mutex<Shard<R>>; SHARDS],
    count: AtomicUsize,
}

impl<R> Table<R> {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::new(HashMap::new())), count: AtomicUsize::new(0) }
    }

    pub(super) fn get(&self, sid: &str) -> Option<Arc<Entry<R>>> {
        self.shard(sid).get(sid).cloned()
    }

    /// Puts a session in; `false` if another one has its id.
    pub(super) fn insert(&self, entry: &Arc<Entry<R>>) -> bool {
        let sid = &entry.core.sid;
        match self.shard(sid.as_str()).entry(sid.clone()) {
            hash_map::Entry::Occupied(_) => false,
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(Arc::clone(entry));
                self.count.fetch_add(1, Ordering::Relaxed);
                true
            }
        }
    }

    pub(super) fn remove(&self, sid: &Sid) {
        let removed = {
            let mut shard = self.shard(sid.as_str());
            let removed = shard.remove(sid.as_str());
            // After a crowd has left, its room is given back.
            if shard.len() * 8 < shard.capacity() && shard.capacity() > 64 {
                shard.shrink_to_fit();
            }
            removed
        };
        if removed.is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn all(&self) -> Vec<Arc<Entry<R>>> {
        self.shards.iter().flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>()).collect()
    }

    fn shard(&self, sid: &str) -> MutexGuard<'_, Shard<R>> {
        // Sids are random to their last character. If an application's are not, more of them meet in a lock, and no more.
        let last = sid.bytes().next_back().unwrap_or_default();
        // The modulus of a number below the count of shards.
        lock(&self.shards[usize::from(last) % SHARDS])
    }
}

fn lock<R>(shard: &Mutex<Shard<R>>) -> MutexGuard<'_, Shard<R>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
