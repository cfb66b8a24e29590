//! Decides which of the 16,384 slots of a Redis Cluster a channel belongs to.

/// How many slots there are.
const SLOTS: u16 = 16384;

/// Returns the slot of a key or a channel: of what stands between its first braces, if anything does.
pub(super) fn slot(name: &str) -> u16 {
    let tag = name.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(name).as_bytes()) % SLOTS
}

/// CRC-16 as XMODEM has it: polynomial 0x1021, from 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // The check value of the algorithm, and `CLUSTER KEYSLOT` of a Redis.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        for (name, expected) in [("", 0), ("foo", 12182), ("socket.io#/#", 13868), ("{}x", 10595)] {
            assert_eq!(slot(name), expected, "{name}");
        }
        assert_eq!(slot("a{foo}b{c}"), slot("foo"));
        assert_eq!(slot("{foo"), crc16(b"{foo") % SLOTS);
    }
}
