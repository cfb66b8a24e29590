//! Offers, the examples of RFC 7692, bombs, and any messages there and back.

use proptest::prelude::*;

use super::*;

#[test]
fn the_first_offer_that_can_be_met_is_taken() {
    let accepted = |header: &str| Deflate::accept(header).map(Deflate::header);
    for header in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "x, permessage-deflate;client_max_window_bits=12",
    ] {
        assert_eq!(accepted(header).as_deref(), Some("permessage-deflate; server_no_context_takeover"), "{header}");
    }
    assert_eq!(
        accepted("permessage-deflate; server_max_window_bits=10, permessage-deflate; client_no_context_takeover")
            .as_deref(),
        Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    );
    for header in [
        "",
        "permessage-foo",
        "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=08",
        "permessage-deflate; unknown",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
    ] {
        assert_eq!(accepted(header), None, "{header}");
    }
}

#[test]
fn examples_of_the_rfc() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let mut keeping = Inflater::new(false);
    assert_eq!(keeping.inflate(&hello, 100), Ok(b"Hello".to_vec()));
    assert_eq!(keeping.inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00], 100), Ok(b"Hello".to_vec()), "from the window");
    assert_eq!(
        keeping.inflate(&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00], 100),
        Ok(b"Hello".to_vec()),
        "a block without compression"
    );
    let last_block = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(Inflater::new(true).inflate(&last_block, 100), Ok(b"Hello".to_vec()), "a last block");
}

#[test]
fn an_empty_message_is_one_byte() {
    for forgets in [false, true] {
        let (mut deflater, mut inflater) = (Deflater::new(forgets), Inflater::new(forgets));
        for message in [&b""[..], b"Hello", b"", b"", b"Hello"] {
            let deflated = deflater.deflate(message).unwrap();
            assert_eq!(deflated == [0], message.is_empty());
            assert_eq!(inflater.inflate(&deflated, 5).as_deref(), Ok(message));
        }
    }
}

#[test]
fn a_small_message_does_not_become_a_large_one() {
    let bomb = Deflater::new(true).deflate(&vec![0; 10_000_000]).unwrap();
    assert!(bomb.len() < 200_000, "{}", bomb.len());
    assert_eq!(Inflater::new(true).inflate(&bomb, 1_000_000), Err(InflateError::TooBig));
    assert_eq!(Inflater::new(true).inflate(&bomb, 10_000_000).map(|bytes| bytes.len()), Ok(10_000_000));
    assert_eq!(Inflater::new(true).inflate(&bomb, 9_999_999), Err(InflateError::TooBig));
}

proptest! {
    #[test]
    fn what_is_deflated_is_inflated(
        messages in proptest::collection::vec(proptest::collection::vec(0..9_u8, 0..30_000), 1..4),
        forgets: bool,
    ) {
        let (mut deflater, mut inflater) = (Deflater::new(forgets), Inflater::new(forgets));
        for message in messages {
            let deflated = deflater.deflate(&message).unwrap();
            prop_assert_eq!(inflater.inflate(&deflated, message.len()), Ok(message));
        }
    }

    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(out) = Inflater::new(true).inflate(&bytes, 5000) {
            prop_assert!(out.len() <= 5000);
        }
    }
}
