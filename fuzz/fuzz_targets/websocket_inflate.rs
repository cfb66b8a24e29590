//! No message becomes larger than is taken, and what was deflated is inflated to itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet_proto::websocket::deflate::{Deflate, Deflater, Inflater};

const MOST: usize = 64 * 1024;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = str::from_utf8(bytes)
        && let Some(agreed) = Deflate::accept(header)
    {
        assert_eq!(Deflate::accept(&agreed.header()), Some(agreed));
    }
    for forgets in [false, true] {
        let mut inflater = Inflater::new(forgets);
        // The first byte says where one message ends and the next begins.
        let (first, rest) = bytes.split_at(bytes.first().map_or(0, |at| usize::from(*at)).min(bytes.len()));
        for message in [first, rest] {
            match inflater.inflate(message, MOST) {
                Ok(inflated) => assert!(inflated.len() <= MOST),
                Err(_) => break,
            }
        }
        let (mut deflater, mut inflater) = (Deflater::new(forgets), Inflater::new(forgets));
        for message in [first, rest] {
            let deflated = deflater.deflate(message).expect("it deflates");
            assert_eq!(inflater.inflate(&deflated, bytes.len()).as_deref(), Ok(message));
        }
    }
});
