//! nginx's hashes: `hash`, `hash ... consistent` and `ip_hash`.
//!
//! All endpoints have their places, the unusable ones too, so that the others keep their keys. A key whose endpoint
//! cannot be used tries another place, 20 times, and is then placed by turns.

use std::collections::HashMap;

use super::functions::{CRC32_START, crc32, crc32_end};
use super::index::Index;
use super::{Base, Member};
use crate::upstream::balance::tiers::{Seat, Tier};

const TRIES: u32 = 20;
const POINTS_PER_WEIGHT: u32 = 160;

/// `ip_hash`: an IPv4 address counts with its first three octets.
pub(super) fn ip_hash(base: &Base, tier: &Tier, address: &[u8], open: impl Fn(&Seat) -> bool) -> Option<usize> {
    let address = if address.len() == 4 { &address[..3] } else { address };
    let mut hash = 89;
    (0..=TRIES).find_map(|_| {
        hash = address.iter().fold(hash, |hash, byte| (hash * 113 + u32::from(*byte)) % 6271);
        at_place(base, tier, hash, &open)
    })
}

/// `hash`.
pub(super) fn modulo(base: &Base, tier: &Tier, key: &[u8], open: impl Fn(&Seat) -> bool) -> Option<usize> {
    let mut hash = 0_u32;
    (0..=TRIES).find_map(|again| {
        let begun = if again == 0 { CRC32_START } else { crc32(CRC32_START, again.to_string().as_bytes()) };
        hash = hash.wrapping_add((crc32_end(crc32(begun, key)) >> 16) & 0x7fff);
        at_place(base, tier, hash, &open)
    })
}

fn at_place(base: &Base, tier: &Tier, hash: u32, open: impl Fn(&Seat) -> bool) -> Option<usize> {
    let member = base.at_weight(hash.checked_rem(base.total_weight())?);
    tier.seat_of(member).filter(|at| open(&tier.seats[*at]))
}

/// The points of `hash ... consistent`, as Cache::Memcached::Fast makes them. 9 bytes each, 1,440 for each unit of weight.
#[derive(Debug)]
pub(super) struct Ketama {
    /// In their order, without repetitions.
    points: Vec<(u32, u16)>,
    index: Index,
}

impl Ketama {
    pub(super) fn of(members: &[Member]) -> Self {
        let mut named: HashMap<&str, u32> = HashMap::new();
        members.iter().for_each(|member| *named.entry(&member.name).or_default() += 1);
        let mut points = Vec::new();
        for (at, member) in (0_u16..).zip(members) {
            // nginx has one place for all addresses of a name and takes turns among them; here each keeps its keys.
            let several = named.get(&*member.name).is_some_and(|count| *count > 1);
            let name = if several { format!("{}-{}", member.name, member.id) } else { member.name.to_string() };
            let (host, port) = match name.rsplit_once(':') {
                Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
                _ => (name.as_str(), ""),
            };
            let begun = crc32(crc32(crc32(CRC32_START, host.as_bytes()), &[0]), port.as_bytes());
            let mut hash = 0_u32;
            for _ in 0..member.weight * POINTS_PER_WEIGHT {
                hash = crc32_end(crc32(begun, &hash.to_le_bytes()));
                points.push((hash, at));
            }
        }
        points.sort_by_key(|(hash, _)| *hash);
        points.dedup_by_key(|(hash, _)| *hash);
        let index = Index::of(points.iter().map(|(hash, _)| *hash));
        Self { points, index }
    }

    pub(super) fn pick(&self, tier: &Tier, key: &[u8], open: impl Fn(usize) -> bool) -> Option<usize> {
        let hash = crc32_end(crc32(CRC32_START, key));
        let first = self.index.below(hash, |at| self.points[at].0);
        (first..=first + TRIES as usize).find_map(|at| {
            let (_, member) = self.points.get(at % self.points.len().max(1))?;
            tier.seat_of(usize::from(*member)).filter(|at| open(*at))
        })
    }
}
