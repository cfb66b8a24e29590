//! Decides what is to be listened to, whatever state the connections are in: the wish of many, kept in one place.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

/// How a channel is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::redis) enum How {
    /// By its name.
    Channel,
    /// By a pattern.
    Pattern,
    /// By its name, where its slot is.
    Shard,
}

/// What is listened to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::redis) struct Subscription {
    pub(in crate::redis) how: How,
    pub(in crate::redis) name: Arc<str>,
}

/// What is wanted, what has changed, and what Redis has confirmed. As long as the rooms and namespaces of this process.
#[derive(Debug)]
pub(super) struct Wanted {
    inner: Mutex<Inner>,
    changed: Notify,
    confirmations: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    /// How many want it.
    counts: HashMap<Subscription, usize>,
    changed: HashSet<Subscription>,
    confirmed: HashSet<Subscription>,
}

impl Subscription {
    pub(in crate::redis) fn new(how: How, name: impl Into<Arc<str>>) -> Self {
        Self { how, name: name.into() }
    }
}

impl Default for Wanted {
    fn default() -> Self {
        Self { inner: Mutex::default(), changed: Notify::new(), confirmations: watch::Sender::new(()) }
    }
}

impl Wanted {
    pub(super) fn add(&self, subscription: Subscription) {
        let mut inner = self.lock();
        let count = inner.counts.entry(subscription.clone()).or_default();
        *count += 1;
        if *count == 1 {
            inner.changed.insert(subscription);
            drop(inner);
            self.changed.notify_one();
        }
    }

    pub(super) fn remove(&self, subscription: &Subscription) {
        let mut inner = self.lock();
        let Some(count) = inner.counts.get_mut(subscription) else { return };
        *count -= 1;
        if *count == 0 {
            inner.counts.remove(subscription);
            inner.changed.insert(subscription.clone());
            drop(inner);
            self.changed.notify_one();
        }
    }

    /// Waits until something has changed, and returns what. A change that was taken back may be among it.
    pub(super) async fn changes(&self) -> HashSet<Subscription> {
        loop {
            let changed = self.take_changes();
            if !changed.is_empty() {
                return changed;
            }
            self.changed.notified().await;
        }
    }

    /// Returns what has changed since it was last asked.
    pub(super) fn take_changes(&self) -> HashSet<Subscription> {
        std::mem::take(&mut self.lock().changed)
    }

    pub(super) fn is_wanted(&self, subscription: &Subscription) -> bool {
        self.lock().counts.contains_key(subscription)
    }

    /// Takes the news of what Redis has confirmed, or what it no longer sends.
    pub(super) fn confirm<'a>(&self, subscriptions: impl IntoIterator<Item = &'a Subscription>, is_heard: bool) {
        let mut inner = self.lock();
        for subscription in subscriptions {
            if is_heard {
                inner.confirmed.insert(subscription.clone());
            } else {
                inner.confirmed.remove(subscription);
            }
        }
        drop(inner);
        self.confirmations.send_replace(());
    }

    /// Waits until all of these are confirmed.
    pub(super) async fn confirmed(&self, subscriptions: &[Subscription]) {
        let mut confirmations = self.confirmations.subscribe();
        loop {
            confirmations.mark_unchanged();
            if subscriptions.iter().all(|subscription| self.lock().confirmed.contains(subscription)) {
                return;
            }
            // The sender lives as long as this.
            confirmations.changed().await.ok();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
