//! Turns the weights of SRV records (0 to 65535, RFC 2782) into those of endpoints (1 to 256).

/// The largest weight of an endpoint.
const MOST: u32 = 256;

/// Returns the weight of an endpoint whose record has this weight, where `most` is the largest of all its records. The
/// ratios stay, scaled down when one is above 256. A record of weight 0 is chosen seldom, not never: it gets 1.
pub(super) fn of_record(weight: u16, most: u16) -> u32 {
    let (weight, most) = (u32::from(weight), u32::from(most));
    let scaled = if most > MOST { (weight * MOST).div_ceil(most) } else { weight };
    scaled.clamp(1, MOST)
}

#[cfg(test)]
mod tests {
    use super::of_record;

    #[test]
    fn ratios_stay() {
        for (weights, expected) in [
            (&[0, 0][..], &[1, 1][..]),
            (&[10, 20, 0], &[10, 20, 1]),
            (&[33, 33, 33], &[33, 33, 33]),
            (&[256, 1], &[256, 1]),
            (&[65535, 32768, 1], &[256, 129, 1]),
            (&[1000, 500], &[256, 128]),
        ] {
            let most = weights.iter().copied().max().unwrap();
            let got: Vec<u32> = weights.iter().map(|weight| of_record(*weight, most)).collect();
            assert_eq!(got, expected, "{weights:?}");
        }
    }
}
