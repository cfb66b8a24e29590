//! What comes on the channel of Python's servers is a message or an error, and written the same ever after.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    limpet_bus::fuzzing::python(bytes);
});
