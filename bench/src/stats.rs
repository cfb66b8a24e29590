//! Medians, and the spread around them.

/// The middle of some values and how far they reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    /// The middle value, or the mean of the two in the middle.
    pub(crate) median: f64,
    /// The smallest value.
    pub(crate) min: f64,
    /// The largest value.
    pub(crate) max: f64,
}

/// Summarises values; `None` when there are none.
pub(crate) fn summarise(values: impl IntoIterator<Item = f64>) -> Option<Summary> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let (min, max) = (*values.first()?, *values.last()?);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let lower = if values.len().is_multiple_of(2) { *values.get(middle - 1)? } else { upper };
    Some(Summary { median: f64::midpoint(lower, upper), min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_middle_of_odd_and_even_counts() {
        assert_eq!(summarise([]), None);
        assert_eq!(summarise([3.0, 1.0, 8.0]), Some(Summary { median: 3.0, min: 1.0, max: 8.0 }));
        assert_eq!(summarise([4.0, 1.0, 8.0, 2.0]), Some(Summary { median: 3.0, min: 1.0, max: 8.0 }));
    }
}
