//! What comes on the channels of the classic adapter is read the same in both ways, and written the same ever after.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    limpet_bus::fuzzing::classic(bytes);
});
