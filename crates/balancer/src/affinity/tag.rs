//! The tag that a balancer appends to a sid, so that any balancer with the key knows the endpoint without a table.
//!
//! ```text
//! tagged sid = sid ‖ base64url( slot:1 ‖ sealed:6 ‖ mac:8 )          20 characters, always
//! mac        = HMAC-SHA256(k_mac,  slot ‖ id ‖ sid)[..8]
//! sealed     = id xor HMAC-SHA256(k_seal, mac ‖ sid)[..6]
//! ```
//!
//! - The MAC covers slot, id and sid, so that no tag can be made, changed or moved to another sid without the key.
//!   The parts before the sid have fixed lengths, so that two different inputs never look alike to the HMAC.
//! - The MAC is also the nonce of the seal (a synthetic IV, as in RFC 5297). It depends on the id, so that one sid with
//!   two endpoints gets two unrelated key streams: comparing tags tells only whether they are equal. Tagging draws no
//!   randomness, and tagging the same sid again gives the same tag.
//! - Clients cannot tell endpoints apart by their tags: for every sid the seal is another one.
//! - 64 bits of MAC are enough since a guess can only be tried on a balancer: at a million requests per second the
//!   first hit is expected after 300,000 years, and would win one request to a wrong endpoint, which knows no such
//!   sid. With 64 bits two MACs for one sid are never equal in practice; if they were, one tag would show how two ids
//!   of this upstream differ.
//! - 15 bytes are exactly 20 base64 characters: there is no padding and there are no unused bits, so that each tag has
//!   one spelling.
//!
//! [`TagKeys::open`] runs on every polling request. It does not allocate, and costs two HMACs over precomputed keys.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::cookie::sealed::CookieKeys;
use super::key::{KeyRing, Purpose, RingKey};
use crate::upstream::endpoint::EndpointId;

#[cfg(test)]
mod tests;

/// The length of the suffix in characters.
pub const SUFFIX_LEN: usize = 20;

const ID_LEN: usize = 6;
const MAC_LEN: usize = 8;
const TAG_LEN: usize = 1 + ID_LEN + MAC_LEN;

/// The keys of the tags, ready for use. Shared by all workers; a reload makes new ones.
#[derive(Debug)]
pub struct TagKeys {
    signing: TagKey,
    others: Box<[TagKey]>,
    cookies: CookieKeys,
}

impl TagKeys {
    /// Derives the keys of the tags from a key ring.
    pub fn new(ring: &KeyRing) -> Self {
        Self {
            signing: TagKey::new(ring.signing()),
            others: ring.others().iter().map(TagKey::new).collect(),
            cookies: CookieKeys::new(ring),
        }
    }

    /// Returns the keys of the cookies, which are made and replaced together with those of the tags.
    pub fn cookies(&self) -> &CookieKeys {
        &self.cookies
    }

    /// Returns what to append to a sid: 20 characters of `A-Z a-z 0-9 - _`.
    pub fn suffix(&self, sid: &str, endpoint: EndpointId) -> [u8; SUFFIX_LEN] {
        let key = &self.signing;
        let mac = key.mac(sid, endpoint);
        let mut tag = [key.slot; TAG_LEN];
        let (sealed, tail) = tag[1..].split_at_mut(ID_LEN);
        sealed.copy_from_slice(&key.seal(sid, mac, endpoint.0));
        tail.copy_from_slice(&mac);
        let mut suffix = [0; SUFFIX_LEN];
        let written = URL_SAFE_NO_PAD.encode_slice(tag, &mut suffix);
        debug_assert!(matches!(written, Ok(SUFFIX_LEN)), "15 bytes are 20 characters");
        suffix
    }

    /// Splits a tagged sid into the endpoint's own sid and the endpoint. Returns `None` if it has no valid tag: too
    /// short, not base64url, an unknown slot, or a MAC that does not fit. Takes time in proportion to the length, which
    /// the caller bounds.
    pub fn open<'a>(&self, tagged: &'a str) -> Option<(&'a str, EndpointId)> {
        let (sid, suffix) = tagged.split_at_checked(tagged.len().checked_sub(SUFFIX_LEN)?)?;
        if sid.is_empty() {
            return None;
        }
        let mut tag = [0; TAG_LEN];
        let decoded = URL_SAFE_NO_PAD.decode_slice(suffix, &mut tag).ok()?;
        let (&[slot], rest) = tag.split_first_chunk()?;
        let (&sealed, mac) = rest.split_first_chunk::<ID_LEN>()?;
        let &mac = mac.first_chunk::<MAC_LEN>()?;
        let key = self.key(slot).filter(|_| decoded == TAG_LEN)?;
        let endpoint = EndpointId(key.seal(sid, mac, sealed));
        constant_time::verify_slices_are_equal(&key.mac(sid, endpoint), &mac).ok()?;
        Some((sid, endpoint))
    }

    fn key(&self, slot: u8) -> Option<&TagKey> {
        if self.signing.slot == slot {
            return Some(&self.signing);
        }
        self.others.iter().find(|key| key.slot == slot)
    }
}

#[derive(Debug)]
struct TagKey {
    slot: u8,
    mac: hmac::Key,
    seal: hmac::Key,
}

impl TagKey {
    fn new(key: &RingKey) -> Self {
        Self { slot: key.slot(), mac: key.hmac(Purpose::TagMac), seal: key.hmac(Purpose::TagSeal) }
    }

    fn mac(&self, sid: &str, endpoint: EndpointId) -> [u8; MAC_LEN] {
        first_bytes(&self.mac, &[&[self.slot], &endpoint.0, sid.as_bytes()])
    }

    /// Seals an endpoint identity, or opens it: both are the same exclusive or.
    fn seal(&self, sid: &str, mac: [u8; MAC_LEN], mut id: [u8; ID_LEN]) -> [u8; ID_LEN] {
        let stream: [u8; ID_LEN] = first_bytes(&self.seal, &[&mac, sid.as_bytes()]);
        id.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
        id
    }
}

/// Returns the first bytes, at most 32, of an HMAC over the parts.
pub(super) fn first_bytes<const N: usize>(key: &hmac::Key, parts: &[&[u8]]) -> [u8; N] {
    let mut mac = hmac::Context::with_key(key);
    parts.iter().for_each(|part| mac.update(part));
    let mac = mac.sign();
    let mut first = [0; N];
    first.iter_mut().zip(mac.as_ref()).for_each(|(to, from)| *to = *from);
    first
}
