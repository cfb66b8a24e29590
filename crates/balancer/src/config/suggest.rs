//! Finds the word that somebody probably meant.

/// Returns the candidate that is nearest to the word, if one is near enough to be meant by it.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the number of edits between two words in characters; two neighbours that changed places are one edit (the
/// optimal string alignment distance).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    let mut previous = None;
    for (i, l) in left.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut last = i + 1;
        next.push(last);
        for (j, (r, pair)) in right.iter().zip(row.windows(2)).enumerate() {
            let &[diagonal, above] = pair else { break };
            last = (diagonal + usize::from(l != *r)).min(above + 1).min(last + 1);
            let crossed = j.checked_sub(1).filter(|j| right.get(*j) == Some(&l) && previous == Some(*r));
            if let Some(swapped) = crossed.and_then(|j| before.get(j)) {
                last = last.min(swapped + 1);
            }
            next.push(last);
        }
        (before, row, previous) = (row, next, Some(l));
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn counts_edits() {
        for (left, right, expected) in
            [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("bind", "bind", 0), ("brust", "burst", 1)]
        {
            assert_eq!(distance(left, right), expected, "{left} {right}");
            assert_eq!(distance(right, left), expected, "{right} {left}");
        }
    }

    #[test]
    fn suggests_only_what_is_near() {
        let keys = ["balance", "affinity", "sid_tag"];
        assert_eq!(nearest("blance", keys), Some("balance"));
        assert_eq!(nearest("sid-tag", keys), Some("sid_tag"));
        assert_eq!(nearest("weight", keys), None);
        assert_eq!(nearest("brust", ["rate", "burst"]), Some("burst"));
    }
}
