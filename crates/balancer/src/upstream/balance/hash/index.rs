//! Finds a place among many sorted hashes: hashes are spread evenly, so their first bits say about where.

/// About how many hashes share their first bits.
const PER_BUCKET: usize = 4;

/// Where the hashes begin whose first bits are the same. One byte for each hash.
#[derive(Debug)]
pub(super) struct Index {
    /// One more than there are buckets: the last says where all end.
    starts: Vec<u32>,
    /// How many bits of a hash do not count.
    shift: u32,
}

impl Index {
    /// Takes the hashes in their order.
    pub(super) fn of(hashes: impl ExactSizeIterator<Item = u32>) -> Self {
        let bits = (hashes.len() / PER_BUCKET).max(1).ilog2() + 1;
        let shift = u32::BITS - bits.min(u32::BITS - 1);
        let mut starts = Vec::with_capacity((1 << (u32::BITS - shift)) + 1);
        let mut count = 0;
        for hash in hashes {
            while starts.len() <= (hash >> shift) as usize {
                starts.push(count);
            }
            count += 1;
        }
        starts.resize((1 << (u32::BITS - shift)) + 1, count);
        Self { starts, shift }
    }

    /// Returns how many hashes are below this one; `at` tells each by its place.
    pub(super) fn below(&self, hash: u32, at: impl Fn(usize) -> u32) -> usize {
        let bucket = (hash >> self.shift) as usize;
        let (start, end) = (self.starts[bucket] as usize, self.starts[bucket + 1] as usize);
        (start..end).find(|place| at(*place) >= hash).unwrap_or(end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_a_search_finds(mut hashes in prop::collection::vec(any::<u32>(), 0..500), wanted: u32) {
            hashes.sort_unstable();
            let index = Index::of(hashes.iter().copied());
            let edges = [0, 1, u32::MAX, wanted].into_iter().chain(hashes.iter().flat_map(|hash| {
                [*hash, hash.saturating_add(1), hash.saturating_sub(1)]
            }));
            for hash in edges {
                prop_assert_eq!(index.below(hash, |at| hashes[at]), hashes.partition_point(|other| *other < hash));
            }
        }
    }
}
