//! Whose turn it is, by weight: nginx's smooth weighted round robin.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Seat, Tier};
use crate::clock;
use crate::config::Balance;
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;

/// Up to how many endpoints have exact turns: longer lists would hold the lock for too long.
const EXACT_TURNS: usize = 64;

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Held while what the endpoints are ahead is changed.
    lock: Mutex<()>,
    /// The serial number of the endpoint that had the last turn.
    last: AtomicU64,
    /// For more than [`EXACT_TURNS`] endpoints.
    next: AtomicUsize,
}

impl Default for Turns {
    fn default() -> Self {
        // No endpoint has this number.
        Self { lock: Mutex::default(), last: AtomicU64::new(u64::MAX), next: AtomicUsize::new(0) }
    }
}

impl Tier {
    /// Takes a turn by nginx's smooth weighted round robin and returns whose it is, of those that are free.
    ///
    /// Exact, turns left out included, for up to 64 endpoints. With more the order was worked out for all of them, and
    /// the one after an endpoint that is not free has its turn.
    pub(in crate::upstream::balance) fn in_turn(&self, turns: &Turns, free: impl Fn(&Seat) -> bool) -> Option<usize> {
        if self.seats.len() == 1 {
            turns.last.store(self.seats[0].endpoint.serial(), Ordering::Relaxed);
            return free(&self.seats[0]).then_some(0);
        }
        if self.seats.len() <= EXACT_TURNS {
            return self.exact_turn(turns, free);
        }
        let turn = turns.next.fetch_add(1, Ordering::Relaxed);
        let round = self.schedule();
        let (before, from) = round.split_at(turn % round.len().max(1));
        from.iter().chain(before).map(|at| usize::from(*at)).find(|at| free(&self.seats[*at]))
    }

    fn exact_turn(&self, turns: &Turns, free: impl Fn(&Seat) -> bool) -> Option<usize> {
        let _turn = turns.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut best, mut total) = (None, 0);
        for (at, seat) in self.seats.iter().enumerate().filter(|(_, seat)| free(seat)) {
            let weight = i32::try_from(seat.weight).unwrap_or(0);
            total += weight;
            let ahead = seat.cell.ahead.load(Ordering::Relaxed) + weight;
            seat.cell.ahead.store(ahead, Ordering::Relaxed);
            if best.is_none_or(|(_, most)| ahead > most) {
                best = Some((at, ahead));
            }
        }
        let (at, ahead) = best?;
        self.seats[at].cell.ahead.store(ahead - total, Ordering::Relaxed);
        turns.last.store(self.seats[at].endpoint.serial(), Ordering::Relaxed);
        Some(at)
    }

    /// Lets turns go on behind the endpoint that had the last one, as with HAProxy, after others came or went. Where
    /// weights differ they go on from what each is ahead, as with nginx.
    pub(super) fn go_on(&self, turns: &Turns, endpoints: &[Arc<Endpoint>]) {
        if !self.is_even() || self.seats.len() > EXACT_TURNS {
            return;
        }
        let _turn = turns.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let last = turns.last.load(Ordering::Relaxed);
        let upto = endpoints.iter().position(|endpoint| endpoint.serial() == last).map_or(0, |at| at + 1);
        let had = |seat: &Seat| endpoints[..upto].iter().any(|endpoint| endpoint.serial() == seat.endpoint.serial());
        let (count, had_count) = (self.seats.len(), self.seats.iter().filter(|seat| had(seat)).count());
        for seat in &self.seats {
            let ahead = if had(seat) { had_count as i32 - count as i32 } else { had_count as i32 };
            let weight = i32::try_from(seat.weight).unwrap_or(0);
            seat.cell.ahead.store(ahead * weight, Ordering::Relaxed);
        }
    }
}

impl Upstream {
    /// Counts a request that was bound to an endpoint as a turn of it, as Apache's `byrequests` does; nothing where turns
    /// are not taken, or not by this endpoint now.
    pub fn count_turn(&self, endpoint: &Endpoint) {
        if self.config.balance != Balance::RoundRobin {
            return;
        }
        self.renew_tiers(clock::coarse());
        let tiers = self.tiers.load();
        let of_endpoint = |tier: &&Tier| tier.seats.iter().any(|seat| seat.endpoint.serial() == endpoint.serial());
        if let Some(tier) = tiers.tiers.first().filter(|tier| tier.seats.len() <= EXACT_TURNS).filter(of_endpoint) {
            let _turn = self.turns.lock.lock().unwrap_or_else(PoisonError::into_inner);
            let weight = |seat: &Seat| i32::try_from(seat.weight).unwrap_or(0);
            let total: i32 = tier.seats.iter().map(weight).sum();
            tier.seats.iter().for_each(|seat| _ = seat.cell.ahead.fetch_add(weight(seat), Ordering::Relaxed));
            endpoint.cell().ahead.fetch_sub(total, Ordering::Relaxed);
        }
    }
}
