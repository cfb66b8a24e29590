//! Whatever a client calls compressed stays within the limit; what we compress is inflated to what it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet_proto::websocket::deflate::{Deflate, Deflater, Inflater};

const MAX_BYTES: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    for forgets in [false, true] {
        let mut inflater = Inflater::new(forgets);
        // Several messages in one window.
        for message in bytes.chunks(bytes.len().div_ceil(3).max(1)) {
            match inflater.inflate(message, MAX_BYTES) {
                Ok(inflated) => assert!(inflated.len() <= MAX_BYTES),
                Err(_) => break,
            }
        }
        let mut deflater = Deflater::new(forgets);
        let mut inflater = Inflater::new(forgets);
        for message in bytes.chunks(bytes.len().div_ceil(3).max(1)) {
            let deflated = deflater.deflate(message).expect("the library compresses");
            assert_eq!(inflater.inflate(&deflated, bytes.len()).expect("it is ours"), message);
        }
    }
    if let Some(agreed) = std::str::from_utf8(bytes).ok().and_then(Deflate::accept) {
        assert_eq!(Deflate::accept(&agreed.header()), Some(agreed));
    }
});
