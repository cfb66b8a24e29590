//! Decides which endpoint takes a request that is bound to none.
//!
//! ```text
//! tiers     which endpoints may be chosen at all: a snapshot, made anew when health, states or weights change
//! schedule  turns by weight: nginx's smooth weighted round robin, HAProxy's map
//! least     the least load for its weight
//! hash      from a key to an endpoint: rendezvous, ring (HAProxy), ketama, ip_hash and modulo (nginx)
//! ```
//!
//! Invariants:
//! - An endpoint that is drained, in maintenance, of weight 0 or asks for no new sessions is never chosen.
//! - Endpoints that are down or ejected are left out, unless none would be left: when all evidence says that nothing
//!   works, the evidence is more likely wrong than all endpoints. Backups come before that.
//! - A choice takes no lock. Whatever is expensive is made once for each snapshot.

pub mod hash;
mod least;
mod random;
mod schedule;
pub(crate) mod tiers;

use std::net::IpAddr;

use self::hash::Key;
use self::tiers::{Seat, Tier, Tiers};
use super::Upstream;
use super::endpoint::{EndpointId, Load};
use crate::clock;
use crate::config::{Balance, Hash};

/// What a request that is bound to no endpoint wants.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The key, where a hash places it.
    pub key: Option<Key<'a>>,
    /// The hash that its affinity asks for; otherwise `balance` decides.
    pub hash: Option<Hash>,
    /// The endpoints that have failed it.
    pub tried: &'a [EndpointId],
    /// Whether it opens a session or a tunnel, which `max_sessions` counts.
    pub session: bool,
}

/// A choice.
#[derive(Debug)]
pub(super) enum Choice {
    /// This endpoint takes it.
    Endpoint {
        load: Load,
        /// The key says so: if the endpoint has no free slot, the request waits for one of this endpoint.
        placed: bool,
    },
    /// Every usable endpoint has all the requests that it may have; the first free slot is the one.
    Full,
    /// There is no usable endpoint.
    None,
}

impl Upstream {
    /// Chooses an endpoint for a new session, among those that were not `tried`, and counts the load on it.
    /// `None` if there is none, or none has a free slot.
    pub fn choose(&self, tried: &[EndpointId]) -> Option<Load> {
        match self.decide(&Wish { key: None, hash: None, tried, session: false }) {
            Choice::Endpoint { load, .. } => Some(load),
            Choice::Full | Choice::None => None,
        }
    }

    /// Chooses the endpoint of a key, whatever `balance` says. An address as its text or octets is not the same key as
    /// the address itself: see [`choose_by_address`](Self::choose_by_address). An empty key is placed by turns.
    pub fn choose_by_hash(&self, hash: Hash, key: &[u8], tried: &[EndpointId]) -> Option<Load> {
        self.choose_by_key(hash, Key::Text(key), tried)
    }

    /// Chooses the endpoint of an address, in the form that the program hashes whose function it is: HAProxy and
    /// `ip_hash` the octets, nginx's `hash $remote_addr` the text.
    pub fn choose_by_address(&self, hash: Hash, address: IpAddr, tried: &[EndpointId]) -> Option<Load> {
        self.choose_by_key(hash, Key::Address(address), tried)
    }

    fn choose_by_key(&self, hash: Hash, key: Key<'_>, tried: &[EndpointId]) -> Option<Load> {
        let wish = Wish { key: Some(key), hash: None, tried, session: false };
        match self.decide_by(&wish, Method::Hash(hash, Some(key))) {
            Choice::Endpoint { load, .. } => Some(load),
            Choice::Full | Choice::None => None,
        }
    }

    /// Chooses by the configured method.
    pub(super) fn decide(&self, wish: &Wish<'_>) -> Choice {
        let method = match self.config.balance {
            _ if let Some(hash) = wish.hash => Method::Hash(hash, wish.key),
            Balance::RoundRobin => Method::Turns,
            Balance::LeastConn => Method::Least,
            Balance::Random2 => Method::Random,
            Balance::First => Method::First,
            Balance::Source | Balance::Hash => Method::Hash(self.config.hash, wish.key),
        };
        self.decide_by(wish, method)
    }

    fn decide_by(&self, wish: &Wish<'_>, method: Method<'_>) -> Choice {
        self.renew_tiers(clock::coarse());
        let tiers = self.tiers.load();
        let careless = wish.tried.is_empty() && !tiers.limited;
        for tier in &tiers.tiers {
            let choice = if careless {
                // The usual case has no conditions, so that none is looked at.
                self.pick(&tiers, tier, method, false, |_| true, |_| true)
            } else {
                let wanted = |seat: &Seat| {
                    !(wish.tried.contains(&seat.endpoint.id()) || wish.session && seat.endpoint.has_all_sessions())
                };
                let free = |seat: &Seat| wanted(seat) && seat.has_room();
                self.pick(&tiers, tier, method, wish.session, wanted, free)
            };
            if !matches!(choice, Choice::None) {
                return choice;
            }
        }
        Choice::None
    }

    /// Chooses among the endpoints of a tier. `wanted` are those that may be chosen at all, `free` those of them that
    /// have a free slot.
    fn pick(
        &self,
        tiers: &Tiers,
        tier: &Tier,
        method: Method<'_>,
        session: bool,
        wanted: impl Fn(&Seat) -> bool,
        free: impl Fn(&Seat) -> bool,
    ) -> Choice {
        // When another request takes the last session of an endpoint at the same time, the choice is made again.
        for _ in 0..4 {
            let mut placed = false;
            let chosen = match method {
                Method::Turns => None,
                Method::Least => least::least(tier, &free),
                Method::Random => random::less_loaded_of_two(tier, &free),
                Method::First => tier.seats.iter().position(&free),
                Method::Hash(_, None) => None,
                Method::Hash(hash, Some(key)) => {
                    let factor = self.config.hash_balance_factor;
                    // nginx passes endpoints without free slots over, HAProxy waits for the one that the key means.
                    placed = !matches!(hash, Hash::IpHash | Hash::Modulo | Hash::Ketama);
                    if placed {
                        hash::pick(tiers, tier, hash, key, factor, &wanted)
                    } else {
                        hash::pick(tiers, tier, hash, key, factor, &free)
                    }
                }
            };
            let chosen = chosen.or_else(|| {
                placed = false;
                match method {
                    Method::Turns | Method::Hash(..) => tier.in_turn(&self.turns, &free),
                    Method::Least | Method::Random | Method::First => None,
                }
            });
            match chosen {
                Some(at) => {
                    let endpoint = &tier.seats[at].endpoint;
                    let load = if session { Load::take_session(endpoint) } else { Some(Load::take(endpoint)) };
                    if let Some(load) = load {
                        return Choice::Endpoint { load, placed };
                    }
                }
                None if tier.seats.iter().any(&wanted) => return Choice::Full,
                None => return Choice::None,
            }
        }
        Choice::None
    }
}

/// How an endpoint is chosen.
#[derive(Clone, Copy)]
enum Method<'a> {
    Turns,
    Least,
    Random,
    First,
    Hash(Hash, Option<Key<'a>>),
}

#[cfg(test)]
mod tests;
