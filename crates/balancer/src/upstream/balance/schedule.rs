//! Turns by weight, worked out in advance: one round of them repeats for ever.

/// The longest round: with more, weights are rounded. Costs two bytes each.
const LONGEST: u64 = 65_536;

/// Brings weights to the smallest ones with the same shares whose round is not too long.
fn reduce(weights: &[u32]) -> Vec<i64> {
    let divisor = weights.iter().fold(0, |a, b| gcd(a, *b)).max(1);
    let total: u64 = weights.iter().map(|weight| u64::from(weight / divisor)).sum();
    let shrink = |weight: u32| match u64::from(weight / divisor) {
        0 => 0,
        weight if total <= LONGEST => weight,
        weight => (weight * LONGEST / total).max(1),
    };
    weights.iter().map(|weight| i64::try_from(shrink(*weight)).unwrap_or(i64::MAX)).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn position(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

/// One round of nginx's smooth weighted round robin: at each turn every endpoint gains its weight, the one that has
/// most is chosen, the first of equals, and pays the total.
pub(super) fn smooth(weights: &[u32]) -> Box<[u16]> {
    let weights = reduce(weights);
    let total: i64 = weights.iter().sum();
    if weights.iter().all(|weight| *weight == 1) {
        return (0..weights.len()).map(position).collect();
    }
    let mut current = vec![0; weights.len()];
    let round = (0..total).map(|_| {
        let mut best = 0;
        for at in 0..weights.len() {
            current[at] += weights[at];
            if current[at] > current[best] {
                best = at;
            }
        }
        current[best] -= total;
        position(best)
    });
    round.collect()
}

/// HAProxy's map of a map-based hash: as many places as the total weight, and the endpoint of each.
pub(super) fn map(weights: &[u32]) -> Box<[u16]> {
    let weights = reduce(weights);
    let total: i64 = weights.iter().sum();
    let mut scores = vec![0; weights.len()];
    let places = (0..total).map(|_| {
        let (mut best, mut most) = (0, i64::MIN);
        for at in 0..weights.len() {
            if weights[at] == 0 {
                continue;
            }
            scores[at] += weights[at];
            // The division by the total is what lets the first of nearly equals win.
            let value = (scores[at] + total) / total;
            if value > most {
                (best, most) = (at, value);
            }
        }
        scores[best] -= total;
        position(best)
    });
    places.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smooth_turns_are_those_of_nginx() {
        // Example of nginx's own change log entry: weights 5, 1, 1 give a a b a c a a.
        assert_eq!(*smooth(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(*smooth(&[16, 16, 16]), [0, 1, 2]);
        assert_eq!(*smooth(&[32, 16]), [0, 1, 0]);
        assert_eq!(*smooth(&[3, 1, 2]), [0, 2, 0, 1, 2, 0]);
        assert!(smooth(&[]).is_empty());
    }

    #[test]
    fn a_round_is_bounded_and_nobody_is_left_out() {
        let weights: Vec<u32> = (0..300).map(|n| 4096 - n).collect();
        let round = smooth(&weights);
        assert!(round.len() as u64 <= LONGEST + 300, "{}", round.len());
        assert!((0..300).all(|n| round.contains(&n)));
    }

    #[test]
    fn the_map_has_every_endpoint_by_its_weight() {
        for weights in [vec![1, 1, 1], vec![3, 1], vec![1, 2, 3, 4], vec![0, 5, 5]] {
            let map = map(&weights);
            let divisor = weights.iter().fold(0, |a, b| gcd(a, *b));
            for (at, weight) in weights.iter().enumerate() {
                let places = map.iter().filter(|place| usize::from(**place) == at).count();
                assert_eq!(places, (weight / divisor) as usize, "{weights:?} {map:?}");
            }
        }
    }
}
