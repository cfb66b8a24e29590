//! The sums that HAProxy and nginx make of keys.

/// HAProxy's default function for keys of text.
pub(super) fn sdbm(key: &[u8]) -> u32 {
    key.iter()
        .fold(0_u32, |hash, byte| u32::from(*byte).wrapping_add(hash << 6).wrapping_add(hash << 16).wrapping_sub(hash))
}

/// HAProxy's avalanche: Bob Jenkins' mix of six shifts, times a large prime.
pub(super) fn full_hash(number: u32) -> u32 {
    let mut a = number;
    a = a.wrapping_add(0x7ed5_5d16).wrapping_add(a << 12);
    a = (a ^ 0xc761_c23c) ^ (a >> 19);
    a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    a = (a ^ 0xb55a_4f09) ^ (a >> 16);
    a.wrapping_mul(3_221_225_473)
}

const CRC32: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut value = at as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
};

/// CRC-32 of ISO 3309, in parts: begins with [`CRC32_START`], ends with [`crc32_end`].
pub(super) fn crc32(state: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(state, |state, byte| CRC32[usize::from(state as u8 ^ byte)] ^ (state >> 8))
}

pub(super) const CRC32_START: u32 = u32::MAX;

pub(super) fn crc32_end(state: u32) -> u32 {
    !state
}

/// A 64-bit sum of a key that is the same everywhere and always: FNV-1a, then mixed.
pub(super) fn sum64(key: &[u8]) -> u64 {
    mix64(key.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// Spreads every bit over all others (the finalizer of MurmurHash3).
pub(super) fn mix64(number: u64) -> u64 {
    let mut x = number;
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_has_its_check_value() {
        assert_eq!(crc32_end(crc32(crc32(CRC32_START, b"1234"), b"56789")), 0xcbf4_3926);
    }
}
