//! The numbers of an upstream: its own, those of its endpoints, and those of endpoints that are no more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::counters::{Counters, Totals};

/// The numbers of an upstream.
#[derive(Debug, Default)]
pub struct Group {
    own: Arc<Counters>,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    /// Of the endpoints that are or were in the upstream and still have an owner.
    counters: Vec<Arc<Counters>>,
    /// What those had counted whose endpoints are no more.
    departed: Totals,
}

impl Group {
    /// Returns what belongs to no endpoint: requests that none was chosen for, and how requests were bound.
    pub fn own(&self) -> &Counters {
        &self.own
    }

    /// Takes the counters of an endpoint into the sums. Does nothing when they are in them already.
    pub fn join(&self, counters: &Arc<Counters>) {
        let mut members = self.members();
        if !members.counters.iter().any(|member| Arc::ptr_eq(member, counters)) {
            members.counters.push(Arc::clone(counters));
        }
    }

    /// Adds what endpoints without an owner had counted to one sum, and frees their counters.
    pub fn fold_departed(&self) {
        let mut members = self.members();
        let Members { counters, departed } = &mut *members;
        counters.retain(|member| {
            // Only the owner could hand out more of it.
            let is_alone = Arc::strong_count(member) == 1;
            if is_alone {
                *departed += &member.totals();
            }
            !is_alone
        });
    }

    /// Sums everything.
    pub fn totals(&self) -> Totals {
        let members = self.members();
        let mut totals = members.departed.clone();
        totals += &self.own.totals();
        members.counters.iter().for_each(|member| totals += &member.totals());
        totals
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Count;

    #[test]
    fn sums_do_not_go_back_when_endpoints_leave() {
        let group = Group::default();
        let (one, other) = (Arc::new(Counters::default()), Arc::new(Counters::default()));
        [&one, &other, &one].into_iter().for_each(|counters| group.join(counters));
        one.add(Count::Requests, 3);
        other.add(Count::Requests, 4);
        group.own().add(Count::Requests, 1);
        assert_eq!(group.totals().get(Count::Requests), 8);
        // A tunnel may outlive its endpoint's place in the upstream.
        let held = Arc::clone(&one);
        drop((one, other));
        group.fold_departed();
        held.add(Count::Requests, 10);
        assert_eq!(group.totals().get(Count::Requests), 18);
        assert_eq!(group.members().counters.len(), 1);
        drop(held);
        group.fold_departed();
        assert_eq!((group.totals().get(Count::Requests), group.members().counters.len()), (18, 0));
    }
}
