//! Masks and unmasks payloads (RFC 6455 section 5.3): one key of four bytes, over and over.

/// Masks bytes in place, or unmasks them; `offset` says how many bytes of the same payload came before.
pub fn apply(mask: [u8; 4], offset: usize, bytes: &mut [u8]) {
    if mask == [0; 4] {
        return;
    }
    let mut turned = mask;
    turned.rotate_left(offset % 4);
    // Eight bytes at a time; the key fits them twice.
    let [a, b, c, d] = turned;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        if let Ok(eight) = <[u8; 8]>::try_from(&*chunk) {
            chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
        }
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(turned.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn in_parts_and_at_once_are_the_same(mask: [u8; 4], bytes in proptest::collection::vec(any::<u8>(), 0..70), at in 0_usize..70) {
            let expected: Vec<u8> = bytes.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            let mut masked = bytes.clone();
            let at = at.min(masked.len());
            let (first, second) = masked.split_at_mut(at);
            apply(mask, 0, first);
            apply(mask, at, second);
            prop_assert_eq!(&masked, &expected);
            apply(mask, 0, &mut masked);
            prop_assert_eq!(masked, bytes);
        }
    }
}
