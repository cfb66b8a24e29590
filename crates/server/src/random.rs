//! Decides where the randomness of ids comes from: the system, asked once for many ids.
//!
//! A system call for each id is a tenth of what a short polling session costs outside the network. Each thread keeps what
//! it has got and overwrites what it has given away.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much is asked for at once: 32 sids.
const POOL_BYTES: usize = 480;

struct Pool {
    bytes: [u8; POOL_BYTES],
    left: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL_BYTES], left: 0 }) };
}

/// Returns random bytes, at most 480; `None` if the system has none.
pub(crate) fn bytes<const COUNT: usize>() -> Option<[u8; COUNT]> {
    POOL.with_borrow_mut(|Pool { bytes, left }| {
        if *left < COUNT {
            getrandom::fill(bytes).ok()?;
            *left = POOL_BYTES;
        }
        let given = bytes.get_mut(*left - COUNT..*left)?;
        let mut random = [0; COUNT];
        random.swap_with_slice(given);
        *left -= COUNT;
        Some(random)
    })
}

/// Returns a secret of 20 characters that need no escape anywhere, 120 bits; `None` if the system has no randomness.
pub(crate) fn secret() -> Option<String> {
    bytes::<20>().map(|bytes| characters(&bytes))
}

/// Returns 20 random characters that need no escape anywhere. Ids that are public need to be different, not secret.
pub(crate) fn id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    secret().unwrap_or_else(|| {
        let mut id = [0; 20];
        id[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        characters(&id)
    })
}

/// Writes each byte as one of 64 characters that need no escape anywhere, by its last six bits.
pub(crate) fn characters(bytes: &[u8]) -> String {
    const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    bytes.iter().map(|byte| char::from(CHARACTERS[usize::from(byte & 63)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_given_twice() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..200 {
            let random = bytes::<20>().unwrap();
            assert_ne!(random, [0; 20]);
            assert!(seen.insert(random));
        }
        assert!(POOL.with_borrow(|pool| pool.bytes[pool.left..].iter().all(|byte| *byte == 0)));
    }
}
