//! Decides which sessions a process keeps, for whom, and how long.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

use crate::log::{Adopted, Hold, Lease, Refreshed, Session};
use crate::node::NodeId;

/// The sessions of all namespaces, each with who holds it.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    kept: HashMap<Key, Kept>,
    ends: BTreeSet<(Instant, Key)>,
    max: usize,
}

/// The namespace and the secret.
type Key = Arc<str>;

#[derive(Debug)]
struct Kept {
    session: Session,
    lease: Lease,
    until: Instant,
}

fn key(namespace: &str, secret: &str) -> Key {
    format!("{namespace}\n{secret}").into()
}

impl Sessions {
    /// Keeps no more than so many.
    pub(super) fn bound(&mut self, max: usize) {
        self.max = max.max(1);
    }

    pub(super) fn save(&mut self, namespace: &str, session: &Session, lease: &Lease, until: Instant) -> Hold {
        let key = key(namespace, &session.secret);
        if let Some(kept) = self.kept.get_mut(&key) {
            if !is_holder(&kept.lease, lease) {
                return Hold::Taken;
            }
            (kept.session, kept.lease) = (session.clone(), lease.clone());
            self.keep(&key, until);
            return Hold::Kept;
        }
        if self.kept.len() >= self.max
            && let Some((_, first)) = self.ends.pop_first()
        {
            self.kept.remove(&first);
        }
        self.ends.insert((until, key.clone()));
        self.kept.insert(key, Kept { session: session.clone(), lease: lease.clone(), until });
        Hold::Kept
    }

    /// Takes a session for a node; the former holder is returned as it was, alive or not.
    pub(super) fn adopt(&mut self, namespace: &str, secret: &str, node: &NodeId, until: Instant) -> Option<Adopted> {
        let key = key(namespace, secret);
        let kept = self.kept.get_mut(&key)?;
        let epoch = kept.lease.epoch.saturating_add(1);
        let former = std::mem::replace(&mut kept.lease, Lease { node: node.clone(), epoch });
        let session = kept.session.clone();
        self.keep(&key, until);
        Some(Adopted { session, epoch, former: Some(former.node) })
    }

    pub(super) fn refresh(&mut self, namespace: &str, secret: &str, lease: &Lease, until: Instant) -> Refreshed {
        let key = key(namespace, secret);
        match self.kept.get(&key) {
            None => Refreshed::Lost,
            Some(kept) if kept.lease != *lease => Refreshed::Taken,
            Some(_) => {
                self.keep(&key, until);
                Refreshed::Kept
            }
        }
    }

    pub(super) fn forget(&mut self, namespace: &str, secret: &str, lease: &Lease) {
        let key = key(namespace, secret);
        if self.kept.get(&key).is_some_and(|kept| is_holder(&kept.lease, lease))
            && let Some(kept) = self.kept.remove(&key)
        {
            self.ends.remove(&(kept.until, key));
        }
    }

    /// Forgets those whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((until, key)) = self.ends.first()
            && *until <= now
        {
            self.kept.remove(key);
            self.ends.pop_first();
        }
    }

    fn keep(&mut self, key: &Key, until: Instant) {
        if let Some(kept) = self.kept.get_mut(key) {
            self.ends.remove(&(kept.until, key.clone()));
            kept.until = until;
            self.ends.insert((until, key.clone()));
        }
    }
}

/// Returns whether a lease is as good as the one that is kept, or better.
fn is_holder(kept: &Lease, lease: &Lease) -> bool {
    lease.epoch > kept.epoch || lease == kept
}
