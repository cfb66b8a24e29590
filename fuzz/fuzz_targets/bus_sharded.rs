//! What comes on the channels of the sharded adapter is a message or an error, and written the same ever after.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    limpet_bus::fuzzing::sharded(bytes);
});
