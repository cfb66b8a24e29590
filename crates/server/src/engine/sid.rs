//! Decides how the ids of sessions are made: 15 random bytes as 20 characters, as long as those of the reference.

use limpet_proto::engineio::sid::Sid;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Makes an id; `None` if the system has no randomness.
pub(super) fn generate() -> Option<Sid> {
    Sid::parse(&encode(&crate::random::bytes()?))
}

/// Writes bytes as base64url (RFC 4648 section 5); the count of bytes is a multiple of three.
fn encode(bytes: &[u8; 15]) -> String {
    let mut text = String::with_capacity(20);
    for three in bytes.chunks_exact(3) {
        let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for shift in [18, 12, 6, 0] {
            text.push(char::from(ALPHABET[bits >> shift & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_twenty_characters_and_differ() {
        let first = generate().unwrap();
        assert_eq!(first.as_str().len(), 20);
        assert_ne!(first, generate().unwrap());
        assert_eq!(encode(&[0; 15]), "AAAAAAAAAAAAAAAAAAAA");
        assert_eq!(encode(&[0xff; 15]), "____________________");
        assert_eq!(encode(b"abcdefghijklmno"), "YWJjZGVmZ2hpamtsbW5v");
    }
}
