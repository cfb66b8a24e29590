//! What Redis says of the entries of streams is read without harm, and messages are written the same ever after.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    limpet_bus::fuzzing::streams(bytes);
});
