//! Which endpoints may be chosen: a snapshot, made anew when health, states or weights change.
//!
//! The first tier is used; the next ones only for requests that every endpoint of the one before has failed. A change
//! calls [`note_change`]; besides, every snapshot is looked at again each second, for ejections end and slow starts go
//! on by time alone.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};

use super::hash::Base;
use super::hash::rendezvous::Rendezvous;
use super::schedule;
use crate::table::Seconds;
use crate::upstream::Upstream;
use crate::upstream::cell::Cell;
use crate::upstream::endpoint::Endpoint;

mod standing;
mod turns;

use standing::{Rank, Standing};

pub(crate) use standing::throttle;
pub(crate) use turns::Turns;

/// A unit of weight in a snapshot, as in HAProxy: a slow start begins at a sixteenth.
pub(super) const WEIGHT_SCALE: u32 = 16;

/// What a step of load costs an endpoint of weight 1.
const STEP: u32 = 256 * WEIGHT_SCALE * 1024;

/// Counts the changes of all endpoints of this process.
static CHANGES: AtomicU32 = AtomicU32::new(0);

/// Notes that the health, the state, the weight or a limit of some endpoint has changed.
pub(crate) fn note_change() {
    CHANGES.fetch_add(1, Ordering::Release);
}

/// A snapshot of an upstream's endpoints for choices.
#[derive(Debug)]
pub(crate) struct Tiers {
    /// Which endpoints may be chosen, in the order in which they are preferred. None is empty.
    pub(super) tiers: Vec<Tier>,
    /// Whether some endpoint has a limit of requests or sessions.
    pub(super) limited: bool,
    /// What hashes work with: all endpoints but backups, and all backups.
    pub(super) bases: [Arc<Base>; 2],
    /// The endpoints in their order, with their rank and weight: what the snapshot was made from.
    standings: Vec<Standing>,
    changes: AtomicU32,
    looked_at: AtomicU32,
}

/// Endpoints among which a choice is made.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(super) seats: Vec<Seat>,
    /// Of each seat, what it bears: those of the most weight first.
    pub(super) burdens: Vec<Burden>,
    /// Of each endpoint of the base, one more than its seat here; 0 if it has none.
    pub(super) seat_of: Vec<u16>,
    pub(super) is_backup: bool,
    pub(super) total_weight: u32,
    schedule: OnceLock<Box<[u16]>>,
    map: OnceLock<Box<[u16]>>,
    rendezvous: OnceLock<Rendezvous>,
}

/// What a choice by load reads of a seat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burden {
    pub(super) cell: &'static Cell,
    /// What a unit of load costs.
    pub(super) step: u32,
    /// Where the seat is.
    pub(super) seat: u16,
}

/// An endpoint in a tier.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(super) endpoint: Arc<Endpoint>,
    cell: &'static Cell,
    /// Sixteenths of the configured unit.
    pub(super) weight: u32,
    /// The sum of the weights of the seats before it.
    pub(super) weight_before: u32,
    slots: u32,
}

impl Seat {
    /// Returns whether a request would find a free slot.
    pub(super) fn has_room(&self) -> bool {
        self.slots == 0 || self.cell.in_use.load(Ordering::Relaxed) < self.slots
    }

    pub(super) fn load(&self) -> u32 {
        self.cell.load()
    }

    /// Returns a number that is the smaller the lower the load, and among equals the longer it has not changed.
    pub(super) fn rank(&self) -> u64 {
        self.cell.rank()
    }

    /// Returns what a unit of load costs.
    pub(super) fn step(&self) -> u32 {
        STEP / self.weight.max(1)
    }
}

impl Tiers {
    /// Makes the snapshot of no endpoints.
    pub(crate) fn empty() -> Self {
        Self {
            tiers: Vec::new(),
            limited: false,
            bases: [Arc::new(Base::default()), Arc::new(Base::default())],
            standings: Vec::new(),
            changes: AtomicU32::new(0),
            looked_at: AtomicU32::new(0),
        }
    }

    fn make(endpoints: &[Arc<Endpoint>], standings: Vec<Standing>, before: &Self, all_backups: bool) -> Self {
        let same_members =
            standings.iter().map(|s| (s.serial, s.weight)).eq(before.standings.iter().map(|s| (s.serial, s.weight)));
        let bases = if same_members {
            before.bases.clone()
        } else {
            [false, true].map(|backup| Arc::new(Base::of(endpoints.iter().filter(|e| e.is_backup() == backup))))
        };
        let mut ranks: Vec<Rank> = standings.iter().filter_map(|standing| standing.rank).collect();
        ranks.sort_unstable();
        ranks.dedup();
        let tiers = ranks.into_iter().map(|rank| {
            let is_backup = matches!(rank, Rank::ReadyBackup | Rank::EjectedBackup | Rank::DownBackup);
            let members = endpoints.iter().zip(&standings).filter(|(endpoint, _)| endpoint.is_backup() == is_backup);
            let of_rank = |standing: &Standing| standing.rank == Some(rank);
            let most = if is_backup && !all_backups { 1 } else { usize::MAX };
            Tier::make(members, of_rank, is_backup, most)
        });
        Self {
            tiers: tiers.collect(),
            limited: standings.iter().any(|standing| standing.slots > 0 || standing.max_sessions > 0),
            bases,
            standings,
            changes: AtomicU32::new(0),
            looked_at: AtomicU32::new(0),
        }
    }

    /// Returns the endpoints of the first tier.
    pub(crate) fn first(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.tiers.first().into_iter().flat_map(|tier| tier.seats.iter().map(|seat| &seat.endpoint))
    }

    /// Returns what hashes of this tier work with.
    pub(super) fn base(&self, tier: &Tier) -> &Base {
        &self.bases[usize::from(tier.is_backup)]
    }
}

impl Tier {
    fn make<'a>(
        members: impl Iterator<Item = (&'a Arc<Endpoint>, &'a Standing)>,
        of_rank: impl Fn(&Standing) -> bool,
        is_backup: bool,
        most: usize,
    ) -> Self {
        let (mut seats, mut seat_of, mut total_weight) = (Vec::new(), Vec::new(), 0);
        for (endpoint, standing) in members.take(usize::from(u16::MAX) - 1) {
            if !of_rank(standing) || seats.len() >= most {
                seat_of.push(0);
                continue;
            }
            let (weight, weight_before, cell) = (standing.effective_weight, total_weight, endpoint.cell());
            total_weight += weight;
            seats.push(Seat { endpoint: Arc::clone(endpoint), cell, weight, weight_before, slots: standing.slots });
            seat_of.push(u16::try_from(seats.len()).unwrap_or(0));
        }
        let (schedule, map, rendezvous) = Default::default();
        let burden = |(seat, at): (&Seat, u16)| Burden { cell: seat.cell, step: seat.step(), seat: at };
        let mut burdens: Vec<Burden> = seats.iter().zip(0..).map(burden).collect();
        // Of equal weight, neighbours in memory stay neighbours.
        burdens.sort_by_key(|burden| burden.step);
        Self { seats, burdens, seat_of, is_backup, total_weight, schedule, map, rendezvous }
    }

    /// Returns whether all weights are the same.
    pub(super) fn is_even(&self) -> bool {
        let step = |burden: Option<&Burden>| burden.map(|burden| burden.step);
        step(self.burdens.first()) == step(self.burdens.last())
    }

    /// Returns a round of turns: positions of seats.
    pub(super) fn schedule(&self) -> &[u16] {
        self.schedule.get_or_init(|| schedule::smooth(&self.weights()))
    }

    /// Returns HAProxy's map: positions of seats.
    pub(super) fn map(&self) -> &[u16] {
        self.map.get_or_init(|| schedule::map(&self.weights()))
    }

    /// Returns the highest random weights that are known so far.
    pub(super) fn rendezvous(&self) -> &Rendezvous {
        self.rendezvous.get_or_init(|| Rendezvous::of(&self.seats))
    }

    /// Returns the seat of an endpoint of the base.
    pub(super) fn seat_of(&self, member: usize) -> Option<usize> {
        usize::from(*self.seat_of.get(member)?).checked_sub(1)
    }

    fn weights(&self) -> Vec<u32> {
        self.seats.iter().map(|seat| seat.weight).collect()
    }
}

impl Upstream {
    /// Makes the snapshot anew if something has changed since. Cheap otherwise.
    pub(crate) fn renew_tiers(&self, now: Seconds) {
        let tiers = self.tiers.load();
        let is_fresh = tiers.changes.load(Ordering::Relaxed) == CHANGES.load(Ordering::Acquire)
            && tiers.looked_at.load(Ordering::Relaxed) >= now.0;
        // Whoever finds another one at it goes on with the snapshot before.
        if !is_fresh && let Ok(_renewing) = self.renewing.try_lock() {
            self.make_tiers(now);
        }
    }

    /// Makes the snapshot after the endpoints were replaced.
    pub(crate) fn replace_tiers(&self, now: Seconds) {
        let _renewing = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        self.make_tiers(now);
    }

    fn make_tiers(&self, now: Seconds) {
        let before = self.tiers.load();
        // Read first: what changes meanwhile is seen the next time.
        let changes = CHANGES.load(Ordering::Acquire);
        let endpoints = self.endpoints.load();
        let slow_start = self.config.slow_start;
        let standings: Vec<Standing> = endpoints.iter().map(|e| Standing::of(e, slow_start, now)).collect();
        if standings == before.standings {
            before.changes.store(changes, Ordering::Relaxed);
            before.looked_at.store(now.0, Ordering::Relaxed);
            return;
        }
        for (endpoint, standing) in endpoints.iter().zip(&standings) {
            endpoint.set_slots(standing.slots);
        }
        // An endpoint that comes up is the last of the idle ones.
        for (endpoint, standing) in endpoints.iter().zip(&standings) {
            let was = before.standings.iter().find(|before| before.serial == standing.serial);
            if standing.rank == Some(Rank::Ready) && was.is_some_and(|was| was.rank != standing.rank) {
                endpoint.cell().move_to_end();
            }
        }
        let tiers = Tiers::make(&endpoints, standings, &before, self.config.all_backups);
        // Apache's turns go on from what each is ahead.
        if let Some(first) = tiers.tiers.first().filter(|_| !self.affinity.by_route()) {
            first.go_on(&self.turns, &endpoints);
        }
        let first: Vec<u64> = tiers.first().map(|endpoint| endpoint.serial()).collect();
        for endpoint in endpoints.iter() {
            endpoint.set_in_turn(first.contains(&endpoint.serial()));
        }
        tiers.changes.store(changes, Ordering::Relaxed);
        tiers.looked_at.store(now.0, Ordering::Relaxed);
        self.tiers.store(Arc::new(tiers));
        self.queue.serve_all(&endpoints);
    }
}
