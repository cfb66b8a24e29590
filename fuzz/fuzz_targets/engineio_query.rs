//! The sid that is found lies where the parser says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet_proto::engineio::query;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(query)) = query::parse(bytes) else { return };
    assert_eq!(query.sid.map(str::as_bytes), query.sid_range.map(|range| &bytes[range]));
    assert_ne!(query.sid, Some(""));
});
