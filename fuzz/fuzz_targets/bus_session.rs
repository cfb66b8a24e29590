//! What is kept of a session is one or an error, and written the same ever after.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    limpet_bus::fuzzing::session(bytes);
});
