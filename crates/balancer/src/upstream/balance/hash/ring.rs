//! HAProxy's `hash-type consistent`: 16 points per unit of weight, and the nearest point wins.

use super::Member;
use super::functions::full_hash;
use super::index::Index;
use crate::upstream::balance::tiers::{Tier, WEIGHT_SCALE};

/// The points that the numbers of two endpoints are apart (HAProxy's `SRV_EWGHT_RANGE`).
const RANGE: u32 = 256 * WEIGHT_SCALE;

/// The points of all endpoints in their order. 9 bytes each, 144 for each unit of weight.
#[derive(Debug)]
pub(super) struct Ring {
    points: Vec<Point>,
    index: Index,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    key: u32,
    /// Of those of its endpoint; a slow start uses the first ones only.
    number: u16,
    member: u16,
}

impl Ring {
    pub(super) fn of(members: &[Member]) -> Self {
        let points = (0_u16..).zip(members).flat_map(|(at, member)| {
            let numbers = 0..u16::try_from(member.weight * WEIGHT_SCALE).unwrap_or(u16::MAX);
            numbers.map(move |number| {
                let key = full_hash(member.number.wrapping_mul(RANGE).wrapping_add(u32::from(number)));
                Point { key, number, member: at }
            })
        });
        let mut points: Vec<Point> = points.collect();
        points.sort_by_key(|point| point.key);
        let index = Index::of(points.iter().map(|point| point.key));
        Self { points, index }
    }

    /// Finds the nearest point of a usable endpoint, then the next one that is `open`.
    pub(super) fn pick(&self, tier: &Tier, hash: u32, open: impl Fn(usize) -> bool) -> Option<usize> {
        let usable = |point: &Point| {
            let at = tier.seat_of(usize::from(point.member))?;
            (u32::from(point.number) < tier.seats[at].weight).then_some(at)
        };
        let at = self.index.below(hash, |at| self.points[at].key);
        let (before, after) = self.points.split_at(at);
        let forward = || after.iter().chain(before);
        let next = forward().find_map(|point| Some((point, usable(point)?)))?;
        let previous = before.iter().rev().chain(after.iter().rev()).find_map(|point| Some((point, usable(point)?)))?;
        if hash.wrapping_sub(previous.0.key) <= next.0.key.wrapping_sub(hash) && open(previous.1) {
            return Some(previous.1);
        }
        // After the previous point comes the next one.
        forward().filter_map(usable).find(|at| open(*at))
    }
}
