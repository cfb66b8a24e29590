use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::{SUFFIX_LEN, TagKeys};
use crate::affinity::key::KeyRing;
use crate::upstream::endpoint::EndpointId;

const SID: &str = "lv_VI97HAXpY6yYWAAAC";
const ENDPOINT: EndpointId = EndpointId([1, 2, 3, 4, 5, 6]);

fn keys(lines: &[(u8, u8)]) -> TagKeys {
    let lines: Vec<_> = lines.iter().map(|(slot, byte)| format!("{slot}:{}", STANDARD.encode([*byte; 32]))).collect();
    TagKeys::new(&KeyRing::parse(&lines.join("\n"), "test").unwrap())
}

fn tagged(keys: &TagKeys, sid: &str, endpoint: EndpointId) -> String {
    format!("{sid}{}", str::from_utf8(&keys.suffix(sid, endpoint)).unwrap())
}

/// Holds the format still: a change would end the polling sessions of everybody who upgrades. The expected tags come
/// from a second implementation of the module's formulas.
#[test]
fn the_format_stays() {
    let secret: [u8; 32] = std::array::from_fn(|at| at as u8);
    let ring = KeyRing::parse(&format!("7:{}", STANDARD.encode(secret)), "test").unwrap();
    let keys = TagKeys::new(&ring);
    assert_eq!(tagged(&keys, SID, ENDPOINT), "lv_VI97HAXpY6yYWAAACB7qHV_EMNVciAWT7vJB4");
    assert_eq!(tagged(&keys, "a", EndpointId([0xff; 6])), "aB3DIqIy22XHEa6lS2khT");
}

#[test]
fn a_tag_leads_to_its_endpoint() {
    let keys = keys(&[(0, 1)]);
    for sid in ["a", SID, &"x".repeat(128)] {
        for endpoint in [ENDPOINT, EndpointId([0; 6]), EndpointId([0xff; 6])] {
            assert_eq!(keys.open(&tagged(&keys, sid, endpoint)), Some((sid, endpoint)));
        }
    }
}

#[test]
fn every_changed_character_fails() {
    let keys = keys(&[(0, 1), (1, 2)]);
    let good = tagged(&keys, SID, ENDPOINT);
    for at in 0..good.len() {
        for with in (0x20_u8..0x7f).filter(|with| *with != good.as_bytes()[at]) {
            let mut bad = good.clone().into_bytes();
            bad[at] = with;
            assert_eq!(keys.open(str::from_utf8(&bad).unwrap()), None, "{at} {with}");
        }
    }
}

#[test]
fn a_tag_fails_on_another_sid() {
    let keys = keys(&[(0, 1)]);
    let good = tagged(&keys, SID, ENDPOINT);
    let suffix = &good[SID.len()..];
    assert_eq!(keys.open(&format!("mv_VI97HAXpY6yYWAAAC{suffix}")), None);
    assert_eq!(keys.open(&format!("{SID}{SID}{suffix}")), None);
}

#[test]
fn cut_extended_and_empty_ones_fail() {
    let keys = keys(&[(0, 1)]);
    let good = tagged(&keys, SID, ENDPOINT);
    for end in 0..good.len() {
        assert_eq!(keys.open(&good[..end]), None);
        assert_eq!(keys.open(&good[good.len() - end..]), None);
    }
    for more in ["A", "=", "==", "AAAA", &good] {
        assert_eq!(keys.open(&format!("{good}{more}")), None);
        assert_eq!(keys.open(&format!("{more}{good}")), None);
    }
    assert_eq!(keys.open(&tagged(&keys, "", ENDPOINT)), None);
    // The cut falls into a character.
    assert_eq!(keys.open(&format!("{SID}é{}", "A".repeat(SUFFIX_LEN - 1))), None);
}

#[test]
fn a_foreign_key_fails() {
    let good = tagged(&keys(&[(0, 1)]), SID, ENDPOINT);
    assert_eq!(keys(&[(0, 2)]).open(&good), None, "the same slot");
    assert_eq!(keys(&[(1, 1)]).open(&good), None, "an unknown slot");
}

#[test]
fn the_old_key_verifies_and_the_new_one_signs() {
    let (old, rotated, new) = (keys(&[(0, 1)]), keys(&[(1, 2), (0, 1)]), keys(&[(1, 2)]));
    assert_eq!(rotated.open(&tagged(&old, SID, ENDPOINT)), Some((SID, ENDPOINT)));
    let fresh = tagged(&rotated, SID, ENDPOINT);
    assert_eq!(rotated.open(&fresh), Some((SID, ENDPOINT)));
    assert_eq!(new.open(&fresh), Some((SID, ENDPOINT)));
    assert_eq!(old.open(&fresh), None);
}

/// Whoever compares tags must not see which of them lead to the same endpoint, nor how two endpoints differ.
#[test]
fn sealed_ids_look_unrelated() {
    let keys = keys(&[(0, 1)]);
    let sealed = |sid: &str, endpoint| {
        let tag = URL_SAFE_NO_PAD.decode(keys.suffix(sid, endpoint)).unwrap();
        <[u8; 6]>::try_from(&tag[1..7]).unwrap()
    };
    let of_one_endpoint: HashSet<_> = (0..1_000).map(|sid| sealed(&sid.to_string(), ENDPOINT)).collect();
    assert_eq!(of_one_endpoint.len(), 1_000);
    let differences: HashSet<_> = (0..=255_u8)
        .map(|last| {
            let (one, two) = (sealed(SID, EndpointId([0; 6])), sealed(SID, EndpointId([0, 0, 0, 0, 1, last])));
            std::array::from_fn::<u8, 6, _>(|at| one[at] ^ two[at])
        })
        .collect();
    assert!(differences.iter().all(|difference| difference[..4] != [0; 4]), "a key stream was used twice");
}

proptest! {
    #[test]
    fn any_text_is_taken(text in "\\PC*", end in "[A-Za-z0-9_-]{20}") {
        let keys = keys(&[(0, 1)]);
        let _ = keys.open(&text);
        // With the right slot a random tag is still no tag.
        let forged = URL_SAFE_NO_PAD.decode(&end).map(|mut tag| {
            tag[0] = 0;
            URL_SAFE_NO_PAD.encode(tag)
        });
        let forged = format!("{text}{}", forged.unwrap());
        prop_assert_eq!(keys.open(&forged), None);
    }

    #[test]
    fn any_sid_and_endpoint_come_back(sid in "[A-Za-z0-9_.~-]{1,128}", id in any::<[u8; 6]>(), slot: u8, byte: u8) {
        let keys = keys(&[(slot, byte)]);
        let tagged = tagged(&keys, &sid, EndpointId(id));
        prop_assert_eq!(tagged.len(), sid.len() + SUFFIX_LEN);
        prop_assert!(tagged.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.~".contains(&byte)));
        prop_assert_eq!(keys.open(&tagged), Some((sid.as_str(), EndpointId(id))));
    }
}
