//! From a key to an endpoint. Each function finds the endpoint that the program finds whose function it is.

mod functions;
mod index;
mod nginx;
pub(super) mod rendezvous;
mod ring;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use self::functions::{full_hash, sdbm};
use self::nginx::Ketama;
use self::ring::Ring;
use super::tiers::{Seat, Tier, Tiers};
use crate::config::Hash;
use crate::upstream::endpoint::{Endpoint, EndpointId};

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// Bytes of the request.
    Text(&'a [u8]),
    /// An address.
    Address(IpAddr),
}

/// A key that lives as long as its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyBuf {
    /// Bytes of the request.
    Text(Box<[u8]>),
    /// An address.
    Address(IpAddr),
}

impl KeyBuf {
    /// Returns the key.
    pub fn as_key(&self) -> Key<'_> {
        match self {
            Self::Text(text) => Key::Text(text),
            Self::Address(address) => Key::Address(*address),
        }
    }
}

/// Finds the seat of a key; `None` if the function gives up, or the key is empty.
pub(super) fn pick(
    tiers: &Tiers,
    tier: &Tier,
    hash: Hash,
    key: Key<'_>,
    balance_factor: u32,
    open: impl Fn(&Seat) -> bool,
) -> Option<usize> {
    if key == Key::Text(b"") {
        return None;
    }
    let base = tiers.base(tier);
    let bounded = Bound::of(tier, balance_factor);
    let below = |at: usize| {
        let seat = &tier.seats[at];
        open(seat) && bounded.as_ref().is_none_or(|bound| bound.has_room(seat))
    };
    match hash {
        Hash::Rendezvous => tier.rendezvous().pick(&tier.seats, octets(key, &mut [0; 16]), below),
        Hash::Ring => base.ring().pick(tier, full_hash(haproxy_hash(key)), below),
        Hash::Source | Hash::SourceAvalanche => {
            let sum = haproxy_hash(key);
            let sum = if hash == Hash::Source { sum } else { full_hash(sum) };
            let map = tier.map();
            let at = usize::from(*map.get(sum as usize % map.len().max(1))?);
            open(&tier.seats[at]).then_some(at)
        }
        Hash::Ketama => base.ketama().pick(tier, text(key, &mut Text { bytes: [0; 48], len: 0 }), below),
        Hash::Modulo => nginx::modulo(base, tier, text(key, &mut Text { bytes: [0; 48], len: 0 }), &open),
        Hash::IpHash => nginx::ip_hash(base, tier, octets(key, &mut [0; 16]), &open),
    }
}

/// The sum that HAProxy makes of a key, before it is spread: an address is folded, anything else goes through sdbm.
fn haproxy_hash(key: Key<'_>) -> u32 {
    match key {
        Key::Text(text) => sdbm(text),
        Key::Address(IpAddr::V4(address)) => address.to_bits(),
        Key::Address(IpAddr::V6(address)) => {
            let bits = address.to_bits();
            [bits >> 96, bits >> 64, bits >> 32, bits]
                .into_iter()
                .fold(0, |sum, word| sum ^ (word & 0xffff_ffff) as u32)
        }
    }
}

fn octets<'a>(key: Key<'a>, buffer: &'a mut [u8; 16]) -> &'a [u8] {
    match key {
        Key::Text(text) => text,
        Key::Address(IpAddr::V4(address)) => {
            buffer[..4].copy_from_slice(&address.octets());
            &buffer[..4]
        }
        Key::Address(IpAddr::V6(address)) => {
            *buffer = address.octets();
            buffer
        }
    }
}

/// The text of an address, without an allocation.
struct Text {
    bytes: [u8; 48],
    len: usize,
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

fn text<'a>(key: Key<'a>, buffer: &'a mut Text) -> &'a [u8] {
    match key {
        Key::Text(text) => text,
        Key::Address(address) => {
            // No address is longer than the buffer.
            let _ = write!(buffer, "{address}");
            &buffer.bytes[..buffer.len]
        }
    }
}

/// A bound on the load that hashes give an endpoint, as HAProxy's `hash-balance-factor` (Mirrokni, Thorup and
/// Zadimoghaddam, arXiv 1608.01350).
struct Bound {
    per_weight: u64,
    remainder: u64,
    total_weight: u64,
}

impl Bound {
    fn of(tier: &Tier, factor: u32) -> Option<Self> {
        let total_weight = u64::from(tier.total_weight);
        if factor == 0 || total_weight == 0 {
            return None;
        }
        let served: u64 = tier.seats.iter().map(|seat| u64::from(seat.load())).sum();
        let slots = ((served + 1) * u64::from(factor)).div_ceil(100);
        Some(Self { per_weight: slots / total_weight, remainder: slots % total_weight, total_weight })
    }

    fn has_room(&self, seat: &Seat) -> bool {
        let (weight, before) = (u64::from(seat.weight), u64::from(seat.weight_before));
        // Whole slots for each unit of weight, and the rest spread over the sum of the weights.
        let rest = (before + weight) * self.remainder / self.total_weight - before * self.remainder / self.total_weight;
        u64::from(seat.load()) < (weight * self.per_weight + rest).max(1)
    }
}

/// What the functions work with that know all endpoints, the unusable ones too: made once for each set of them.
#[derive(Debug, Default)]
pub(super) struct Base {
    members: Vec<Member>,
    /// Of each member, the sum of the weights up to it and with it.
    sums: Vec<u32>,
    ring: OnceLock<Ring>,
    ketama: OnceLock<Ketama>,
}

#[derive(Debug)]
struct Member {
    /// HAProxy's numeric id.
    number: u32,
    /// What the operator wrote, as nginx hashes it.
    name: Box<str>,
    id: EndpointId,
    weight: u32,
}

impl Base {
    /// Takes the endpoints in their order.
    pub(super) fn of<'a>(endpoints: impl Iterator<Item = &'a Arc<Endpoint>>) -> Self {
        let member = |endpoint: &'a Arc<Endpoint>| Member {
            number: endpoint.number(),
            name: endpoint.name().into(),
            id: endpoint.id(),
            weight: endpoint.weight(),
        };
        let members: Vec<Member> = endpoints.take(usize::from(u16::MAX) - 1).map(member).collect();
        let mut sum = 0;
        let sums = members.iter().map(|member| {
            sum += member.weight;
            sum
        });
        Self { sums: sums.collect(), members, ring: OnceLock::new(), ketama: OnceLock::new() }
    }

    fn total_weight(&self) -> u32 {
        self.sums.last().copied().unwrap_or(0)
    }

    /// Returns the member that a place among the weights belongs to.
    fn at_weight(&self, place: u32) -> usize {
        self.sums.partition_point(|sum| *sum <= place)
    }

    fn ring(&self) -> &Ring {
        self.ring.get_or_init(|| Ring::of(&self.members))
    }

    fn ketama(&self) -> &Ketama {
        self.ketama.get_or_init(|| Ketama::of(&self.members))
    }
}
