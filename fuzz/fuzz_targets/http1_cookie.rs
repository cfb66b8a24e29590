//! Cookies that stay keep their bytes, and those that are removed are gone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet_proto::http1::cookie::{Change, change, pairs, set_pair};

fuzz_target!(|bytes: &[u8]| {
    let mut out = Vec::new();
    change(bytes, |_| Change::Keep, &mut out);
    assert_eq!(out, bytes);
    for removed in pairs(bytes).chain(set_pair(bytes)) {
        assert_eq!(&bytes[removed.value_range.clone()], removed.value);
        out.clear();
        change(bytes, |pair| if pair.name == removed.name { Change::Remove } else { Change::Keep }, &mut out);
        assert!(pairs(&out).all(|pair| pair.name != removed.name));
        out.clear();
        change(bytes, |pair| Change::CutFront(pair.name.len()), &mut out);
        assert!(out.len() <= bytes.len());
    }
});
