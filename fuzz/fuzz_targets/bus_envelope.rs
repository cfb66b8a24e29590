//! What an adapter carried as bytes is an envelope or an error, and written the same ever after.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use limpet_bus::Envelope;

fuzz_target!(|bytes: &[u8]| {
    let Ok(envelope) = Envelope::from_bytes(&Bytes::copy_from_slice(bytes)) else { return };
    let once = envelope.to_bytes();
    let again = Envelope::from_bytes(&Bytes::from(once.clone())).expect("what is written is read");
    assert_eq!(once, again.to_bytes());
});
