//! The signed value of a cookie: opaque, and valid for one cookie of one upstream only.
//!
//! ```text
//! value  = base64url( slot:1 ‖ sealed:17 ‖ mac:9 )                   36 characters, always
//! said   = endpoint id:6 ‖ first use:4 ‖ last use:4 ‖ chance:3
//! mac    = HMAC-SHA256(k_mac,  slot ‖ said ‖ place)[..9]
//! sealed = said xor HMAC-SHA256(k_seal, mac ‖ place)[..17]
//! place  = length of the cookie's name:1 ‖ name ‖ upstream's name
//! ```
//!
//! The construction is that of a sid's [tag](crate::affinity::tag): the MAC is the nonce of the seal. The chance bytes
//! keep two clients of one endpoint from getting the same value in the same second. 27 bytes are exactly 36 base64
//! characters, so that each value has one spelling.

use aws_lc_rs::{constant_time, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::affinity::key::{KeyRing, Purpose, RingKey};
use crate::affinity::tag::first_bytes;
use crate::upstream::endpoint::EndpointId;

/// The length of a value in characters.
pub const VALUE_LEN: usize = 36;

const SAID_LEN: usize = 17;
const MAC_LEN: usize = 9;
const RAW_LEN: usize = 1 + SAID_LEN + MAC_LEN;

/// The keys of the cookies, ready for use.
#[derive(Debug)]
pub struct CookieKeys {
    signing: CookieKey,
    others: Box<[CookieKey]>,
}

/// The cookie that a value belongs to; a value that was made for another one is worth nothing.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The name of the cookie, at most 255 bytes of which count.
    pub name: &'a str,
    /// The name of the upstream.
    pub upstream: &'a str,
}

/// What a value says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// When the client was bound, in seconds since 1970.
    pub first: u32,
    /// When the client was last seen, in seconds since 1970.
    pub last: u32,
}

impl CookieKeys {
    /// Derives the keys of the cookies from a key ring.
    pub fn new(ring: &KeyRing) -> Self {
        Self { signing: CookieKey::new(ring.signing()), others: ring.others().iter().map(CookieKey::new).collect() }
    }

    /// Makes a value: 36 characters of `A-Z a-z 0-9 - _`.
    pub fn seal(&self, place: Place<'_>, said: Said) -> String {
        let mut plain = [0; SAID_LEN];
        plain[..6].copy_from_slice(&said.endpoint.0);
        plain[6..10].copy_from_slice(&said.first.to_be_bytes());
        plain[10..14].copy_from_slice(&said.last.to_be_bytes());
        // AWS-LC ends the process itself when the system has no randomness; equal chance bytes would harm nobody.
        let _ = rand::fill(&mut plain[14..]);
        let key = &self.signing;
        let mac = key.mac(place, &plain);
        let mut raw = [key.slot; RAW_LEN];
        raw[1..=SAID_LEN].copy_from_slice(&key.mask(place, mac, plain));
        raw[1 + SAID_LEN..].copy_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(raw)
    }

    /// Reads a value, and whether another key than the signing one made it. `None` if it was not made for this place by
    /// one of these keys.
    pub fn open(&self, place: Place<'_>, value: &[u8]) -> Option<(Said, bool)> {
        if value.len() != VALUE_LEN {
            return None;
        }
        let mut raw = [0; RAW_LEN];
        let decoded = URL_SAFE_NO_PAD.decode_slice(value, &mut raw).ok()?;
        let (&[slot], rest) = raw.split_first_chunk()?;
        let (&sealed, mac) = rest.split_first_chunk::<SAID_LEN>()?;
        let &mac = mac.first_chunk::<MAC_LEN>()?;
        let old = slot != self.signing.slot;
        let key = if old { self.others.iter().find(|key| key.slot == slot)? } else { &self.signing };
        let plain = key.mask(place, mac, sealed);
        constant_time::verify_slices_are_equal(&key.mac(place, &plain), &mac).ok().filter(|()| decoded == RAW_LEN)?;
        let (&endpoint, times) = plain.split_first_chunk()?;
        let (&first, rest) = times.split_first_chunk()?;
        let &last = rest.first_chunk()?;
        let said =
            Said { endpoint: EndpointId(endpoint), first: u32::from_be_bytes(first), last: u32::from_be_bytes(last) };
        Some((said, old))
    }
}

#[derive(Debug)]
struct CookieKey {
    slot: u8,
    mac: hmac::Key,
    seal: hmac::Key,
}

impl CookieKey {
    fn new(key: &RingKey) -> Self {
        Self { slot: key.slot(), mac: key.hmac(Purpose::CookieMac), seal: key.hmac(Purpose::CookieSeal) }
    }

    fn mac(&self, place: Place<'_>, plain: &[u8; SAID_LEN]) -> [u8; MAC_LEN] {
        let name = place.name.as_bytes();
        first_bytes(&self.mac, &[&[self.slot], plain, &[name.len() as u8], name, place.upstream.as_bytes()])
    }

    /// Seals, or opens: both are the same exclusive or.
    fn mask(&self, place: Place<'_>, mac: [u8; MAC_LEN], mut said: [u8; SAID_LEN]) -> [u8; SAID_LEN] {
        let name = place.name.as_bytes();
        let parts: [&[u8]; 4] = [&mac, &[name.len() as u8], name, place.upstream.as_bytes()];
        let stream: [u8; SAID_LEN] = first_bytes(&self.seal, &parts);
        said.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::affinity::key::generate_line;

    const PLACE: Place<'_> = Place { name: "SERVERID", upstream: "app" };
    const SAID: Said = Said { endpoint: EndpointId([1, 2, 3, 4, 5, 6]), first: 1_700_000_000, last: 1_700_000_400 };

    fn keys(lines: &[&str]) -> CookieKeys {
        CookieKeys::new(&KeyRing::parse(&lines.join("\n"), "test").unwrap())
    }

    #[test]
    fn a_value_says_what_was_sealed_and_looks_different_each_time() {
        let keys = keys(&[&generate_line(7)]);
        let (one, two) = (keys.seal(PLACE, SAID), keys.seal(PLACE, SAID));
        assert_eq!(one.len(), VALUE_LEN);
        assert!(limpet_proto::http1::cookie::is_value(one.as_bytes()));
        assert_ne!(one, two);
        for value in [one, two] {
            assert_eq!(keys.open(PLACE, value.as_bytes()), Some((SAID, false)));
        }
    }

    #[test]
    fn no_other_byte_and_no_other_place_is_believed() {
        let keys = keys(&[&generate_line(7)]);
        let value = keys.seal(PLACE, SAID);
        for at in 0..value.len() {
            for byte in [b'A', b'z', b'_', b'~', 0xff] {
                let mut forged = value.clone().into_bytes();
                if forged[at] != byte {
                    forged[at] = byte;
                    assert_eq!(keys.open(PLACE, &forged), None, "{at}");
                }
            }
        }
        for place in [
            Place { name: "SERVERI", upstream: "Dapp" },
            Place { name: "SERVERID", upstream: "app2" },
            Place { name: "serverid", upstream: "app" },
        ] {
            assert_eq!(keys.open(place, value.as_bytes()), None, "{place:?}");
        }
        for wrong in [&value[1..], "", &format!("{value}A")] {
            assert_eq!(keys.open(PLACE, wrong.as_bytes()), None);
        }
        assert_eq!(self::keys(&[&generate_line(7)]).open(PLACE, value.as_bytes()), None);
    }

    #[test]
    fn keys_rotate_as_those_of_tags_do() {
        let (old, new) = (generate_line(1), generate_line(2));
        let value = keys(&[&old]).seal(PLACE, SAID);
        assert_eq!(keys(&[&old, &new]).open(PLACE, value.as_bytes()), Some((SAID, false)));
        assert_eq!(keys(&[&new, &old]).open(PLACE, value.as_bytes()), Some((SAID, true)));
        assert_eq!(keys(&[&new]).open(PLACE, value.as_bytes()), None);
    }
}
