//! Computes the CRC32c checksum (RFC 9260 appendix A).
//!
//! Without a table: a header is short and comes once per connection, so this needs no crate and no 1 KiB of constants.

/// The polynomial 0x1EDC6F41 with its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

pub(super) fn crc32c(bytes: impl IntoIterator<Item = u8>) -> u32 {
    !bytes.into_iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(byte), |sum, _| shift(sum)))
}

fn shift(sum: u32) -> u32 {
    if sum & 1 == 0 { sum >> 1 } else { sum >> 1 ^ POLYNOMIAL }
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn matches_published_values() {
        assert_eq!(crc32c(*b"123456789"), 0xe306_9283);
        assert_eq!(crc32c([0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c([0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c([]), 0);
    }
}
