//! A sid that is found lies where the parser says, and a suffix put behind it is found again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet_proto::engineio::{error, handshake, sid};

fuzz_target!(|body: &[u8]| {
    let _ = error::is_unknown_session(400, body);
    let Some(open) = handshake::parse(body) else { return };
    assert!(sid::is_sid(&open.sid));
    assert!(open.sid_end <= body.len());
    let Some(tagged) = handshake::insert_suffix(body, &open, ".t") else {
        return;
    };
    let again = handshake::parse(&tagged).expect("a longer sid is still a sid");
    assert_eq!(again.sid, format!("{}.t", open.sid));
    assert_eq!(again.sid_end, open.sid_end + 2);
});
