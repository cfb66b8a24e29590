//! Counts what is in progress per client address: requests, and tunnels.
//!
//! A place is taken before anything is done for a request, and given back when what holds it is dropped. The counts
//! are shared by all workers and exact.
//!
//! Only clients with something in progress have an entry, so that the connections bound the table; an entry costs
//! about 60 bytes. A counter without a limit costs nothing.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Locks of a counter, so that workers seldom meet.
const SHARDS: usize = 16;

/// Counts what each client has in progress, and refuses more than a limit.
#[derive(Debug)]
pub struct PerClient {
    /// `None` without a limit.
    counted: Option<Arc<Counted>>,
}

#[derive(Debug)]
struct Counted {
    limit: NonZeroU32,
    random: RandomState,
    shards: [Mutex<HashMap<IpAddr, u32>>; SHARDS],
}

/// A client has as much in progress as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtLimit;

/// One of a client's places, given back when dropped. Where there is no limit there are no places.
#[derive(Debug, Default)]
pub struct Place {
    /// Boxed, since few listeners count and every request has a place.
    held: Option<Box<Held>>,
}

impl Place {
    /// Returns whether there is a limit, so that it is one.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }
}

#[derive(Debug)]
struct Held {
    counted: Arc<Counted>,
    client: IpAddr,
}

impl PerClient {
    /// Makes a counter; 0 means no limit.
    pub fn new(limit: u32) -> Self {
        let make = |limit| Arc::new(Counted { limit, random: RandomState::new(), shards: Default::default() });
        Self { counted: NonZeroU32::new(limit).map(make) }
    }

    /// Takes a place for a client.
    ///
    /// # Errors
    /// [`AtLimit`] when the client has no place left; nothing is counted then.
    pub fn enter(&self, client: IpAddr) -> Result<Place, AtLimit> {
        let Some(counted) = &self.counted else {
            return Ok(Place::default());
        };
        let mut clients = counted.shard(client);
        match clients.get_mut(&client) {
            Some(count) if *count >= counted.limit.get() => return Err(AtLimit),
            Some(count) => *count += 1,
            None => drop(clients.insert(client, 1)),
        }
        drop(clients);
        Ok(Place { held: Some(Box::new(Held { counted: Arc::clone(counted), client })) })
    }

    /// Returns the number of clients that have something in progress; 0 without a limit.
    pub fn clients(&self) -> usize {
        self.counted.iter().flat_map(|counted| &counted.shards).map(|shard| lock(shard).len()).sum()
    }
}

impl Counted {
    fn shard(&self, client: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        // The remainder is below the number of shards.
        lock(&self.shards[self.random.hash_one(client) as usize % SHARDS])
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut clients = self.counted.shard(self.client);
        if let Some(count) = clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    #[test]
    fn no_limit_is_no_count() {
        let counter = PerClient::new(0);
        let _places: Vec<_> = (0..100).map(|_| counter.enter(address(1)).unwrap()).collect();
        assert_eq!(counter.clients(), 0);
    }

    #[test]
    fn a_place_is_a_pointer() {
        // Every request and every tunnel has one.
        assert_eq!(size_of::<Place>(), 8);
    }

    #[test]
    fn the_limit_is_exact_over_threads() {
        let counter = PerClient::new(100);
        let places = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let place = counter.enter(address(1));
                        places.lock().unwrap().extend(place);
                    }
                });
            }
        });
        assert_eq!(places.into_inner().unwrap().len(), 100);
        assert_eq!(counter.clients(), 0);
    }

    proptest! {
        #[test]
        fn every_client_has_its_own_places(limit in 1_u32..4, steps in prop::collection::vec((0_u8..4, any::<bool>()), 0..200)) {
            let counter = PerClient::new(limit);
            let mut held: HashMap<u8, Vec<Place>> = HashMap::new();
            for (client, enters) in steps {
                let places = held.entry(client).or_default();
                if enters {
                    let place = counter.enter(address(client));
                    prop_assert_eq!(place.is_ok(), places.len() < limit as usize);
                    places.extend(place);
                } else {
                    places.pop();
                }
                let busy = held.values().filter(|places| !places.is_empty()).count();
                prop_assert_eq!(counter.clients(), busy);
            }
        }
    }
}
