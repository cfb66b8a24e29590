//! The keys that tags are made with: which key signs, which keys are still believed, and where they come from.
//!
//! A key line is `slot:base64 of 32 bytes`. The first line signs, all verify, so that keys rotate without a break: add
//! the new key below on every balancer, then move it to the top, then drop the old one once its sessions are over.
//! A tag names its slot, so that one look finds the key.
//!
//! Nothing here prints key material. The bytes of a line are wiped once they are in an HKDF state, which wipes itself.

use std::collections::HashMap;
use std::fmt;
use std::hint::black_box;
use std::io;

use aws_lc_rs::{hkdf, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT};

mod source;
#[cfg(test)]
mod tests;

pub use source::KeyOrigin;

/// The length of the secret of a key line in bytes.
const SECRET_LEN: usize = 32;
/// The HKDF salt (RFC 5869, 3.1): it only keeps these keys apart from other uses of the same secret.
const SALT: &[u8] = b"limpet key ring 1";

/// One signing key and any number of older or coming ones.
pub struct KeyRing {
    signing: RingKey,
    others: Vec<RingKey>,
}

/// One key of a ring. Sub-keys come from it by HKDF-SHA256 (RFC 5869).
pub struct RingKey {
    slot: u8,
    derivation: hkdf::Prk,
}

/// What a sub-key is for. Each purpose has a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Authenticates a tag.
    TagMac,
    /// Hides the endpoint identity in a tag.
    TagSeal,
    /// Authenticates a cookie.
    CookieMac,
    /// Hides what a cookie says.
    CookieSeal,
}

/// Why there is no key ring. Never contains key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text has no key line.
    #[error("{origin}: there is no key line; `limpet key new` makes one")]
    Empty {
        /// Where the text came from.
        origin: String,
    },
    /// A line is not a key line.
    #[error("{origin}, line {line}: {reason}")]
    Line {
        /// Where the text came from.
        origin: String,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: LineError,
    },
    /// The key file could not be read.
    #[error("{origin}: {source}")]
    Unreadable {
        /// The path of the file.
        origin: String,
        /// What the system said.
        source: io::Error,
    },
}

/// What is wrong with a key line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// There is no colon.
    #[error("a key line is `slot:key`")]
    Shape,
    /// The part before the colon is not a slot.
    #[error("the slot must be a number from 0 to 255")]
    Slot,
    /// The part after the colon is not a key.
    #[error("the key must be 32 bytes in base64")]
    Key,
    /// Two lines have the same slot.
    #[error("slot {slot} was already given in line {first}")]
    Duplicate {
        /// The slot.
        slot: u8,
        /// The number of the line that had it first.
        first: usize,
    },
}

impl KeyRing {
    /// Reads key lines. Blank lines and lines that begin with `#` are skipped. `origin` names the text in errors.
    ///
    /// # Errors
    ///
    /// [`KeyError::Line`] for a malformed line or a repeated slot, [`KeyError::Empty`] without any key line.
    pub fn parse(text: &str, origin: &str) -> Result<Self, KeyError> {
        let mut seen = HashMap::new();
        let mut keys = Vec::new();
        let lines = (1..).zip(text.lines().map(str::trim));
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let fail = |reason| KeyError::Line { origin: origin.to_owned(), line: number, reason };
            let key = RingKey::parse(line).map_err(fail)?;
            if let Some(first) = seen.insert(key.slot, number) {
                return Err(fail(LineError::Duplicate { slot: key.slot, first }));
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let signing = keys.next().ok_or_else(|| KeyError::Empty { origin: origin.to_owned() })?;
        Ok(Self { signing, others: keys.collect() })
    }

    /// Makes a ring of one random key that lives as long as this process.
    fn volatile() -> Self {
        Self { signing: RingKey::new(0, &random_secret().0), others: Vec::new() }
    }

    /// Returns the key that signs.
    pub fn signing(&self) -> &RingKey {
        &self.signing
    }

    /// Returns the keys that only verify.
    pub fn others(&self) -> &[RingKey] {
        &self.others
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("signing", &self.signing).field("others", &self.others).finish()
    }
}

impl RingKey {
    fn new(slot: u8, secret: &[u8; SECRET_LEN]) -> Self {
        Self { slot, derivation: hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(secret) }
    }

    fn parse(line: &str) -> Result<Self, LineError> {
        let (slot, encoded) = line.split_once(':').ok_or(LineError::Shape)?;
        let slot = slot.trim_end();
        // `u8::from_str` would accept a sign.
        if !slot.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(LineError::Slot);
        }
        let slot = slot.parse().map_err(|_| LineError::Slot)?;
        let mut secret = Wiped([0; SECRET_LEN]);
        match STANDARD_PAD_INDIFFERENT.decode_slice(encoded.trim_start(), &mut secret.0) {
            Ok(SECRET_LEN) => Ok(Self::new(slot, &secret.0)),
            _ => Err(LineError::Key),
        }
    }

    /// Returns the slot, which tags name in the clear.
    pub fn slot(&self) -> u8 {
        self.slot
    }

    /// Returns the HMAC-SHA256 sub-key for a purpose, ready for use.
    pub fn hmac(&self, purpose: Purpose) -> hmac::Key {
        let info = [purpose.info()];
        // HKDF refuses only outputs above 255 hashes (RFC 5869, 2.3); this one is one hash long.
        self.derivation.expand(&info, hmac::HMAC_SHA256).expect("one hash is never too long").into()
    }
}

impl fmt::Debug for RingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingKey").field("slot", &self.slot).finish_non_exhaustive()
    }
}

impl Purpose {
    /// The HKDF info (RFC 5869, 3.2). Part of the formats: a change makes the tags and cookies of other balancers invalid.
    fn info(self) -> &'static [u8] {
        match self {
            Self::TagMac => b"limpet tag 1 mac",
            Self::TagSeal => b"limpet tag 1 seal",
            Self::CookieMac => b"limpet cookie 1 mac",
            Self::CookieSeal => b"limpet cookie 1 seal",
        }
    }
}

/// Makes a key line with a random key, without a line end.
pub fn generate_line(slot: u8) -> String {
    format!("{slot}:{}", STANDARD.encode(random_secret().0))
}

/// Bytes that are overwritten when dropped.
struct Wiped<T: AsMut<[u8]>>(T);

impl<T: AsMut<[u8]>> Drop for Wiped<T> {
    fn drop(&mut self) {
        self.0.as_mut().fill(0);
        // Otherwise the compiler may leave out writes that nobody reads.
        black_box(self.0.as_mut());
    }
}

fn random_secret() -> Wiped<[u8; SECRET_LEN]> {
    let mut secret = Wiped([0; SECRET_LEN]);
    // AWS-LC ends the process itself when the system has no randomness, so that this cannot fail.
    rand::fill(&mut secret.0).expect("the system has randomness");
    secret
}
