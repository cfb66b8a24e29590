//! A sharded, bounded table for keyed state that all workers share.
//!
//! Each entry has a time to idle: once it has been untouched for that long it counts as absent, and a sweep frees it.
//! Time is an argument, in whole [`Seconds`], so that the table asks no clock.
//!
//! - One operation costs one hash and one lock of one shard, held for a look-up. The closures run under that lock:
//!   they must be short, and must not use the same table again.
//! - The hash is keyed by random bits of the table's own, so that no client can aim at one shard or bucket.
//! - A full shard gives up the least recently used of eight entries that lie beside the place of the new one.
//!   Shards fill unevenly, so that evictions begin when the table is about nine tenths full.
//! - An entry costs `size_of::<(K, V)>() + 8` bytes plus one, divided by an occupancy between 7/16 and 7/8, plus the
//!   heap memory of the key and the value. An empty table costs 64 bytes per shard.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashTable;
use hashbrown::hash_table::OccupiedEntry;

#[cfg(test)]
mod tests;

/// The most shards of a table: enough that workers seldom meet, and that sweeping or growing one takes microseconds.
const MAX_SHARDS: usize = 128;
/// A table has a further shard only for this many entries, so that small tables keep their bound evenly.
const MIN_SHARD_CAPACITY: usize = 256;
/// Entries compared when one has to go.
const SAMPLE: usize = 8;

/// A point in time in whole seconds since the process began, or a length of time in whole seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(pub u32);

impl Seconds {
    /// Returns the whole seconds from `start` until `now`; 0 if `now` is earlier. Lasts for 136 years.
    pub fn between(start: Instant, now: Instant) -> Self {
        Self(u32::try_from(now.saturating_duration_since(start).as_secs()).unwrap_or(u32::MAX))
    }

    /// Returns a length of time, rounded up to whole seconds; at most 136 years.
    pub fn lasting(duration: Duration) -> Self {
        let whole = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
        Self(u32::try_from(whole).unwrap_or(u32::MAX))
    }

    /// Returns the seconds since `earlier`; 0 if that is later, as it can be between threads.
    pub fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

/// A new entry: what [`Table::get_or_insert_with`] puts where it finds nothing.
#[derive(Debug)]
pub struct Entry<K, V> {
    /// The key; it must equal the one that was looked for.
    pub key: K,
    /// The value.
    pub value: V,
    /// How long the entry stays after it was last touched.
    pub idle_limit: Seconds,
}

/// A sharded, bounded table whose entries expire when idle.
#[derive(Debug)]
pub struct Table<K, V> {
    shards: Box<[Shard<K, V>]>,
    shard_capacity: usize,
    random: RandomState,
}

/// One lock and what it guards, alone on its cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Shard<K, V>(Mutex<HashTable<Slot<K, V>>>);

#[derive(Debug)]
struct Slot<K, V> {
    key: K,
    value: V,
    touched: Seconds,
    idle_limit: Seconds,
}

impl<K, V> Slot<K, V> {
    fn new(entry: Entry<K, V>, now: Seconds) -> Self {
        Self { key: entry.key, value: entry.value, touched: now, idle_limit: entry.idle_limit }
    }

    fn is_expired(&self, now: Seconds) -> bool {
        now.since(self.touched) >= self.idle_limit
    }

    /// Makes the entry as fresh as `now`, which may be older than what another thread has set meanwhile.
    fn touch(&mut self, now: Seconds) {
        self.touched = self.touched.max(now);
    }
}

impl<K: Hash + Eq, V> Table<K, V> {
    /// Makes an empty table for at most `capacity` entries in all, and at least one. It grows as it fills.
    pub fn new(capacity: usize) -> Self {
        let shards = (capacity / MIN_SHARD_CAPACITY).clamp(1, MAX_SHARDS).next_power_of_two();
        Self {
            shards: (0..shards).map(|_| Shard(Mutex::new(HashTable::new()))).collect(),
            shard_capacity: (capacity / shards).max(1),
            random: RandomState::new(),
        }
    }

    /// Puts an entry in place of what its key had. Returns what had to go: the earlier entry of the key, or the one
    /// that was evicted.
    pub fn insert(&self, entry: Entry<K, V>, now: Seconds) -> Option<(K, V)> {
        let hash = self.random.hash_one(&entry.key);
        let mut shard = self.shard_of(hash);
        let gone = match find(&mut shard, hash, &entry.key) {
            Some(found) => Some(found.remove().0),
            None => self.make_room(&mut shard, hash),
        };
        self.add(&mut shard, hash, Slot::new(entry, now));
        drop(shard);
        gone.map(|slot| (slot.key, slot.value))
    }

    /// Touches the entry of a key and changes it. Returns `None` if there is none.
    pub fn update<Q, R>(&self, key: &Q, now: Seconds, act: impl FnOnce(&mut V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.random.hash_one(key);
        let mut shard = self.shard_of(hash);
        let slot = shard.find_mut(hash, |slot| slot.key.borrow() == key).filter(|slot| !slot.is_expired(now))?;
        slot.touch(now);
        Some(act(&mut slot.value))
    }

    /// Touches the entry of a key, or puts what `make` gives, and then changes it. Returns `None` if there was no entry
    /// and `make` gave none. An entry that has to go for it is dropped after the lock.
    pub fn get_or_insert_with<Q, R>(
        &self,
        key: &Q,
        now: Seconds,
        make: impl FnOnce() -> Option<Entry<K, V>>,
        act: impl FnOnce(&mut V) -> R,
    ) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.random.hash_one(key);
        let gone;
        let mut shard = self.shard_of(hash);
        match find(&mut shard, hash, key) {
            Some(mut found) if !found.get().is_expired(now) => {
                found.get_mut().touch(now);
                return Some(act(&mut found.get_mut().value));
            }
            Some(expired) => gone = Some(expired.remove().0),
            None => gone = None,
        }
        let mut slot = Slot::new(make()?, now);
        let result = act(&mut slot.value);
        let gone = gone.or_else(|| self.make_room(&mut shard, hash));
        self.add(&mut shard, hash, slot);
        drop(shard);
        drop(gone);
        Some(result)
    }

    /// Takes the entry of a key out and returns it, even if it has expired.
    pub fn remove<Q>(&self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.random.hash_one(key);
        let slot = find(&mut self.shard_of(hash), hash, key)?.remove().0;
        Some((slot.key, slot.value))
    }

    /// Frees the expired entries of one shard and returns how many they were. Meant to be called shard by shard from
    /// a timer, so that no call takes long; a shard that does not exist has none.
    pub fn sweep(&self, shard: usize, now: Seconds) -> usize {
        let Some(shard) = self.shards.get(shard) else { return 0 };
        let mut shard = shard.lock();
        let expired: Vec<_> = shard.extract_if(|slot| slot.is_expired(now)).collect();
        if shard.len() < shard.capacity() / 8 {
            let roomy = shard.len().saturating_mul(2);
            shard.shrink_to(roomy, |slot| self.random.hash_one(&slot.key));
        }
        drop(shard);
        expired.len()
    }

    /// Shows every entry of one shard with the time it was last touched, without touching it, expired ones left out.
    pub fn page(&self, shard: usize, now: Seconds, mut show: impl FnMut(&K, &V, Seconds)) {
        let Some(shard) = self.shards.get(shard) else { return };
        for slot in shard.lock().iter().filter(|slot| !slot.is_expired(now)) {
            show(&slot.key, &slot.value, slot.touched);
        }
    }

    /// Returns the number of shards, which [`Table::sweep`] and [`Table::page`] take one at a time.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Returns the number of entries, those that have expired but were not yet swept among them.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Returns whether there are no entries at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Locks the shard of a hash. Takes bits that `HashTable` uses neither for the bucket (lowest) nor its tag (highest).
    fn shard_of(&self, hash: u64) -> MutexGuard<'_, HashTable<Slot<K, V>>> {
        let index = usize::from((hash >> 40) as u16) & (self.shards.len() - 1);
        // The number of shards is a power of two, so that the masked index is below it.
        self.shards[index].lock()
    }

    fn add(&self, shard: &mut HashTable<Slot<K, V>>, hash: u64, slot: Slot<K, V>) {
        shard.insert_unique(hash, slot, |slot| self.random.hash_one(&slot.key));
    }

    /// Takes an entry out of a full shard: the least recently used of those in the buckets beside the hash's own.
    fn make_room(&self, shard: &mut HashTable<Slot<K, V>>, hash: u64) -> Option<Slot<K, V>> {
        if shard.len() < self.shard_capacity {
            return None;
        }
        let buckets = shard.num_buckets();
        let start = hash as usize % buckets.max(1);
        let victim = (start..buckets)
            .chain(0..start)
            .filter_map(|bucket| shard.get_bucket(bucket).map(|slot| (slot.touched, bucket)))
            .take(SAMPLE)
            .min()?;
        Some(shard.get_bucket_entry(victim.1).ok()?.remove().0)
    }
}

impl<K, V> Shard<K, V> {
    /// Locks the shard. A closure that panicked leaves a consistent table behind, so that poison is of no concern.
    fn lock(&self) -> MutexGuard<'_, HashTable<Slot<K, V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find<'a, K, V, Q>(shard: &'a mut HashTable<Slot<K, V>>, hash: u64, key: &Q) -> Option<OccupiedEntry<'a, Slot<K, V>>>
where
    K: Borrow<Q>,
    Q: Hash + Eq + ?Sized,
{
    shard.find_entry(hash, |slot| slot.key.borrow() == key).ok()
}
