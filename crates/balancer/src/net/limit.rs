//! Counts client connections: in all, per listener and per client address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::stats::{Count, Counters};

/// Which limit refuses a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The balancer or the listener has all the connections it may have; wait for one to end.
    Full,
    /// This client address has all the connections it may have.
    Client,
}

/// The connections of one listener, counted over all workers.
#[derive(Debug)]
pub struct Connections {
    total: Arc<AtomicUsize>,
    max_total: usize,
    here: AtomicUsize,
    max_here: usize,
    max_per_client: usize,
    /// Only clients with a connection have an entry, so it is bounded by `max_total`; about 64 bytes each.
    per_client: Mutex<HashMap<IpAddr, usize>>,
    counters: Counters,
}

impl Connections {
    /// Makes the counters of one listener; 0 means no limit. `total` is shared by all listeners.
    pub fn new(total: Arc<AtomicUsize>, max_total: usize, max_here: usize, max_per_client: usize) -> Self {
        let no_limit = |limit| if limit == 0 { usize::MAX } else { limit };
        Self {
            total,
            max_total: no_limit(max_total),
            here: AtomicUsize::new(0),
            max_here: no_limit(max_here),
            max_per_client,
            per_client: Mutex::default(),
            counters: Counters::default(),
        }
    }

    /// Returns the number of open connections.
    pub fn open(&self) -> usize {
        self.here.load(Ordering::Relaxed)
    }

    /// Returns what the listener has done, in numbers.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns the number of connections that there may be, `None` for no limit of the listener's own.
    pub fn limit(&self) -> Option<usize> {
        (self.max_here != usize::MAX).then_some(self.max_here)
    }

    /// Returns whether one more connection would be refused as [`Refusal::Full`].
    pub fn is_full(&self) -> bool {
        self.total.load(Ordering::Relaxed) >= self.max_total || self.here.load(Ordering::Relaxed) >= self.max_here
    }

    /// Counts one more connection.
    ///
    /// # Errors
    /// [`Refusal`] names the limit that is reached; nothing is counted then.
    pub fn enter(self: &Arc<Self>, client: IpAddr) -> Result<Permit, Refusal> {
        let mut permit = self.enter_unnamed()?;
        permit.name(client)?;
        Ok(permit)
    }

    /// Counts one more connection, whose client is not known before its PROXY header has come; see [`Permit::name`].
    ///
    /// # Errors
    /// [`Refusal::Full`]; nothing is counted then.
    pub fn enter_unnamed(self: &Arc<Self>) -> Result<Permit, Refusal> {
        if self.total.fetch_add(1, Ordering::Relaxed) >= self.max_total {
            self.total.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Full);
        }
        let here = self.here.fetch_add(1, Ordering::Relaxed);
        if here >= self.max_here {
            self.here.fetch_sub(1, Ordering::Relaxed);
            self.total.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Full);
        }
        self.counters.add(Count::Connections, 1);
        self.counters.note_peak(here as u64 + 1);
        // From here on the permit's drop gives both counts back.
        Ok(Permit { connections: Arc::clone(self), client: None })
    }
}

/// A place among the allowed connections, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    connections: Arc<Connections>,
    /// Boxed, since few listeners count clients and every connection has a permit.
    client: Option<Box<IpAddr>>,
}

impl Permit {
    /// Returns what the listener has done, in numbers.
    pub fn counters(&self) -> &Counters {
        &self.connections.counters
    }

    /// Counts the connection for its client too.
    ///
    /// # Errors
    /// [`Refusal::Client`] when that has all the connections it may have.
    pub fn name(&mut self, client: IpAddr) -> Result<(), Refusal> {
        if self.connections.max_per_client == 0 || self.client.is_some() {
            return Ok(());
        }
        let mut clients = self.connections.per_client.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.entry(client).or_insert(0);
        if *count >= self.connections.max_per_client {
            self.connections.counters.add(Count::DeniedConnections, 1);
            return Err(Refusal::Client);
        }
        *count += 1;
        self.client = Some(Box::new(client));
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.connections.here.fetch_sub(1, Ordering::Relaxed);
        self.connections.total.fetch_sub(1, Ordering::Relaxed);
        if let Some(client) = self.client.take() {
            let mut clients = self.connections.per_client.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = clients.get_mut(&client) {
                *count -= 1;
                if *count == 0 {
                    clients.remove(&client);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_exact_and_given_back() {
        let total = Arc::new(AtomicUsize::new(0));
        let connections = Arc::new(Connections::new(Arc::clone(&total), 3, 2, 1));
        let (a, b, c) = ([1, 1, 1, 1].into(), [2, 2, 2, 2].into(), [3, 3, 3, 3].into());
        let first = connections.enter(a).unwrap();
        assert_eq!(connections.enter(a).unwrap_err(), Refusal::Client);
        assert_eq!(connections.open(), 1);
        let _second = connections.enter(b).unwrap();
        assert_eq!(connections.enter(c).unwrap_err(), Refusal::Full);
        drop(first);
        let _third = connections.enter(a).unwrap();
        let other = Arc::new(Connections::new(total, 3, 0, 0));
        let _fourth = other.enter(a).unwrap();
        assert_eq!(other.enter(a).unwrap_err(), Refusal::Full);
    }
}
