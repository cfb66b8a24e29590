use proptest::prelude::*;

use super::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Writes a frame without any of the code under test.
fn frame(sender: Sender, first: u8, payload: &[u8]) -> Vec<u8> {
    let masked = if sender == Sender::Client { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        len @ 0..126 => out.push(masked | len as u8),
        len @ 126..65536 => {
            out.push(masked | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(masked | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    if sender == Sender::Client {
        out.extend(MASK);
        out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        out.extend(payload);
    }
    out
}

#[derive(Debug, Default, PartialEq)]
struct Sum {
    progress: Progress,
    error: Option<FrameError>,
    boundary: bool,
}

fn sum_of<'a>(sender: Sender, pieces: impl IntoIterator<Item = &'a [u8]>) -> Sum {
    let mut cursor = Cursor::new(sender);
    let mut sum = Sum::default();
    for piece in pieces {
        match cursor.handle_bytes(piece) {
            Ok(progress) => {
                sum.progress.messages += progress.messages;
                sum.progress.heartbeat = progress.heartbeat.or(sum.progress.heartbeat);
                sum.progress.close_code = sum.progress.close_code.or(progress.close_code);
            }
            // What comes before an error in the same bytes is not reported, so sums differ there.
            Err(error) => {
                return Sum { error: Some(error), boundary: cursor.at_boundary(), ..Sum::default() };
            }
        }
    }
    sum.boundary = cursor.at_boundary();
    sum
}

fn in_pieces(bytes: &[u8], mut cuts: Vec<usize>) -> Vec<&[u8]> {
    cuts.iter_mut().for_each(|cut| *cut %= bytes.len() + 1);
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

#[test]
fn counts_messages_at_their_last_frame() {
    for sender in [Sender::Client, Sender::Server] {
        let mut cursor = Cursor::new(sender);
        let mut feed = |first, payload: &[u8]| cursor.handle_bytes(&frame(sender, first, payload)).unwrap().messages;
        assert_eq!(feed(0x81, b"42[\"chat\"]"), 1);
        assert_eq!(feed(0x82, &[0; 126]), 1);
        assert_eq!(feed(0x82, &[0; 70_000]), 1);
        assert_eq!(feed(0x81, b""), 1);
        assert_eq!(feed(0x01, b"first"), 0);
        assert_eq!(feed(0x89, b"ping between fragments"), 0);
        assert_eq!(feed(0x00, b""), 0);
        assert_eq!(feed(0x80, b"last"), 1);
        assert_eq!(feed(0x8a, b""), 0);
        assert_eq!(feed(0xc1, b"deflated"), 1);
    }
}

#[test]
fn counts_several_frames_in_one_slice() {
    let bytes = [frame(Sender::Server, 0x81, b"4a"), frame(Sender::Server, 0x81, b"2"), vec![0x81]].concat();
    let mut cursor = Cursor::new(Sender::Server);
    let progress = cursor.handle_bytes(&bytes).unwrap();
    assert_eq!(progress, Progress { messages: 2, heartbeat: Some(Heartbeat::Ping), close_code: None });
    assert!(!cursor.at_boundary());
}

#[test]
fn sees_heartbeats() {
    use Heartbeat::{Ping, Pong};
    for sender in [Sender::Client, Sender::Server] {
        for (first, payload, expected) in [
            (0x81, &b"2"[..], Some(Ping)),
            (0x81, b"3", Some(Pong)),
            (0x81, b"4", None),
            (0x81, b"2probe", None),
            (0x81, b"", None),
            (0x82, b"2", None),
            (0x89, b"2", None),
            (0xc1, b"2", None),
            (0xa1, b"2", None),
            (0x01, b"2", None),
        ] {
            let progress = Cursor::new(sender).handle_bytes(&frame(sender, first, payload)).unwrap();
            assert_eq!(progress.heartbeat, expected, "{first:#x} {payload:?}");
        }
        let both = [frame(sender, 0x81, b"2"), frame(sender, 0x81, b"3")].concat();
        assert_eq!(Cursor::new(sender).handle_bytes(&both).unwrap().heartbeat, Some(Pong));
    }
}

#[test]
fn a_fragment_of_one_character_is_no_heartbeat() {
    let mut cursor = Cursor::new(Sender::Server);
    let bytes = [frame(Sender::Server, 0x01, b"4"), frame(Sender::Server, 0x80, b"2")].concat();
    assert_eq!(cursor.handle_bytes(&bytes), Ok(Progress { messages: 1, ..Progress::default() }));
}

#[test]
fn reads_close_codes() {
    for sender in [Sender::Client, Sender::Server] {
        for (payload, code) in [
            (&b""[..], 1005),
            (&[0x03, 0xe8], 1000),
            (b"\x03\xe9going away", 1001),
            (&[0xff, 0xff], 65535),
            (&[[0x0f, 0xa0].as_slice(), &[b'x'; 123]].concat(), 4000),
        ] {
            let mut cursor = Cursor::new(sender);
            let progress = cursor.handle_bytes(&frame(sender, 0x88, payload)).unwrap();
            assert_eq!(progress, Progress { close_code: Some(code), ..Progress::default() });
            assert!(cursor.at_boundary());
        }
    }
}

#[test]
fn knows_the_boundaries() {
    for sender in [Sender::Client, Sender::Server] {
        for payload in [&b"2"[..], b"", b"some text", &[7; 300]] {
            let bytes = frame(sender, 0x81, payload);
            let mut cursor = Cursor::new(sender);
            assert!(cursor.at_boundary());
            for (at, byte) in bytes.iter().enumerate() {
                cursor.handle_bytes(&[*byte]).unwrap();
                assert_eq!(cursor.at_boundary(), at + 1 == bytes.len(), "{at}");
            }
        }
    }
}

#[test]
fn refuses_what_the_protocol_forbids() {
    use FrameError::*;
    let server: &[(&[u8], FrameError)] = &[
        (&[0x83, 0x00], ReservedOpcode),
        (&[0x87, 0x00], ReservedOpcode),
        (&[0x8b, 0x00], ReservedOpcode),
        (&[0x8f, 0x00], ReservedOpcode),
        (&[0x81, 0x80, 0, 0, 0, 0], WrongMasking),
        (&[0x89, 126, 0, 126], OversizedControl),
        (&[0x88, 127], OversizedControl),
        (&[0x09, 0x00], FragmentedControl),
        (&[0x08, 0x00], FragmentedControl),
        (&[0x88, 0x01], TruncatedCloseCode),
        (&[0x82, 126, 0, 125], NonMinimalLength),
        (&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], NonMinimalLength),
        (&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], LengthOverflow),
        (&[0x80, 0x00], UnexpectedContinuation),
        (&[0x01, 0x00, 0x81, 0x00], InterleavedMessage),
        (&[0x02, 0x00, 0x80, 0x00, 0x00, 0x00], UnexpectedContinuation),
    ];
    for (bytes, error) in server {
        let mut cursor = Cursor::new(Sender::Server);
        assert_eq!(cursor.handle_bytes(bytes), Err(*error), "{bytes:x?}");
        assert!(!cursor.at_boundary());
        assert_eq!(cursor.handle_bytes(&[0x81, 0x00]), Err(*error), "an error is final");
    }
    assert_eq!(Cursor::new(Sender::Client).handle_bytes(&[0x81, 0x00]), Err(WrongMasking));
}

#[test]
fn accepts_the_edges() {
    for bytes in [
        &[0x82, 126, 0, 126][..],
        &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0],
        &[0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x89, 125],
        &[0xf1, 0x00],
    ] {
        assert!(Cursor::new(Sender::Server).handle_bytes(bytes).is_ok(), "{bytes:x?}");
    }
}

#[test]
fn gives_the_first_text() {
    let open = frame(Sender::Server, 0x81, br#"0{"sid":"x"}"#);
    assert_eq!(first_text(&open), Some(&br#"0{"sid":"x"}"#[..]));
    assert_eq!(first_text(&[open.as_slice(), b"\x81\x012"].concat()), Some(&br#"0{"sid":"x"}"#[..]));
    let long = frame(Sender::Server, 0x81, &[b'a'; 200]);
    assert_eq!(first_text(&long).map(<[u8]>::len), Some(200));
    for end in 0..open.len() {
        assert_eq!(first_text(&open[..end]), None);
    }
    for (sender, first) in
        [(Sender::Client, 0x81), (Sender::Server, 0x01), (Sender::Server, 0x82), (Sender::Server, 0xc1)]
    {
        assert_eq!(first_text(&frame(sender, first, b"0{}")), None, "{first:#x}");
    }
    assert_eq!(first_text(&[0x81, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0]), None);
}

fn sender() -> impl Strategy<Value = Sender> {
    prop_oneof![Just(Sender::Client), Just(Sender::Server)]
}

/// Mostly lawful frames, with some that break a rule.
fn stream() -> impl Strategy<Value = (Sender, Vec<u8>)> {
    let first = prop_oneof![
        8 => Just(0x81u8), 2 => Just(0x82), 2 => Just(0x89), 1 => Just(0x88), 1 => Just(0xc1),
        2 => Just(0x01), 2 => Just(0x00), 2 => Just(0x80), 1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        3 => Just(b"2".to_vec()),
        2 => Just(b"3".to_vec()),
        4 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(any::<u8>(), 120..135),
    ];
    (sender(), prop::collection::vec((first, payload), 0..8)).prop_map(|(sender, frames)| {
        (sender, frames.iter().flat_map(|(first, payload)| frame(sender, *first, payload)).collect())
    })
}

proptest! {
    #[test]
    fn pieces_equal_the_whole((sender, bytes) in stream(), cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        let whole = sum_of(sender, [bytes.as_slice()]);
        prop_assert_eq!(&sum_of(sender, in_pieces(&bytes, cuts)), &whole);
        prop_assert_eq!(&sum_of(sender, bytes.chunks(1)), &whole);
    }

    #[test]
    fn noise_in_pieces_equals_noise_at_once(
        sender in sender(),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let whole = sum_of(sender, [bytes.as_slice()]);
        prop_assert_eq!(&sum_of(sender, in_pieces(&bytes, cuts)), &whole);
        prop_assert_eq!(&sum_of(sender, bytes.chunks(1)), &whole);
        let _ = first_text(&bytes);
    }

    #[test]
    fn counts_what_was_written(sender in sender(), payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..10)) {
        let bytes: Vec<u8> = payloads.iter().flat_map(|payload| frame(sender, 0x82, payload)).collect();
        let sum = sum_of(sender, [bytes.as_slice()]);
        prop_assert_eq!(sum.progress.messages as usize, payloads.len());
        prop_assert!(sum.boundary);
    }
}
