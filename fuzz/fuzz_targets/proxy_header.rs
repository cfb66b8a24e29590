//! A header is whole at its last byte and not before, and what follows does not change it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet_proto::proxy_header::{MAX_V2_BYTES, Progress, parse};

fuzz_target!(|bytes: &[u8]| {
    match parse(bytes) {
        Ok(Progress::Complete { consumed, header }) => {
            assert!(consumed <= bytes.len().min(MAX_V2_BYTES));
            for end in 0..consumed {
                assert_eq!(parse(&bytes[..end]), Ok(Progress::Incomplete), "{end}");
            }
            assert!(header.elements().map(|(_, value)| value.len() + 3).sum::<usize>() <= consumed);
            assert_eq!(parse(&bytes[..consumed]), Ok(Progress::Complete { consumed, header }));
        }
        Ok(Progress::Incomplete) => assert!(bytes.len() < MAX_V2_BYTES),
        Err(_) => {}
    }
});
