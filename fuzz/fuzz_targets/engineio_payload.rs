//! The packets of a body are written as a body with the same packets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet_proto::engineio::Version;
use limpet_proto::engineio::packet::Packet;
use limpet_proto::engineio::payload::{Body, Written, read, write};

fuzz_target!(|bytes: &[u8]| {
    for version in [Version::V3, Version::V4] {
        check(version, Body::Binary(bytes));
        if let Ok(text) = str::from_utf8(bytes) {
            check(version, Body::Text(text));
        }
    }
});

fn all<'a>(version: Version, body: Body<'a>) -> Option<Vec<Packet<'a>>> {
    read(version, body).ok()?.collect::<Result<_, _>>().ok()
}

fn check(version: Version, body: Body<'_>) {
    let Some(packets) = all(version, body).filter(|packets| !packets.is_empty()) else { return };
    for takes_binary in [true, false] {
        let written = write(version, &packets, takes_binary);
        let again = match &written {
            Written::Text(text) => all(version, Body::Text(text)),
            Written::Binary(bytes) => all(version, Body::Binary(bytes)),
        };
        assert_eq!(again.as_ref(), Some(&packets), "{written:?}");
    }
}
