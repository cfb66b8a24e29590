//! A packet that is read can be asked for its values, and is written so that it is written the same ever after.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use limpet_proto::socketio::msgpack::{decode, encode};

fuzz_target!(|bytes: &[u8]| {
    let bytes = Bytes::copy_from_slice(bytes);
    let Some(once) = written(&bytes) else { return };
    // The shortest forms are written: 1.0 becomes 1. After that nothing changes.
    let twice = written(&once).expect("what is written is read");
    assert_eq!(once, twice);
});

fn written(bytes: &Bytes) -> Option<Bytes> {
    let packet = decode(bytes).ok()?;
    if let Some(payload) = &packet.payload {
        assert!(serde_json::from_str::<serde_json::Value>(payload.text()).is_ok(), "no JSON: {}", payload.text());
    }
    let mut out = Vec::new();
    encode(packet.kind, &packet.namespace, packet.id, packet.payload.as_ref(), &mut out);
    Some(out.into())
}
