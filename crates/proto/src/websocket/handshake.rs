//! Decides how an upgrade is answered (RFC 6455 section 4.2.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// What the protocol appends to a client's key before it is hashed.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The length of a key in base64: 16 bytes.
const KEY_BYTES: usize = 24;

/// Returns the value of `Sec-WebSocket-Accept` for a client's `Sec-WebSocket-Key`, or `None` for a malformed key.
pub fn accept(key: &str) -> Option<String> {
    let key = key.trim();
    let is_key = key.len() == KEY_BYTES && STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    is_key.then(|| STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ==").as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn malformed_keys_are_refused() {
        for key in ["", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZ!==", "AAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(accept(key), None, "{key}");
        }
    }
}
