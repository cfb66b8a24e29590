//! The examples of the RFC, every breach, and any messages in any pieces.

use proptest::prelude::*;

use super::*;
use crate::websocket::close::close_frame;

const MAX: usize = 1000;

/// Feeds bytes in pieces of this size and returns every message and the error, if one came.
fn decode(sender: Sender, compressed: bool, bytes: &[u8], piece: usize) -> (Vec<Message>, Option<MessageError>) {
    let mut decoder = Decoder::new(sender, MAX, compressed);
    let mut messages = Vec::new();
    for mut input in bytes.chunks(piece.max(1)) {
        loop {
            match decoder.handle_bytes(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(input.is_empty(), "everything is taken when nothing comes");
    }
    (messages, None)
}

fn from_server(bytes: &[u8]) -> (Vec<Message>, Option<MessageError>) {
    let whole = decode(Sender::Server, false, bytes, usize::MAX);
    assert_eq!(decode(Sender::Server, false, bytes, 1), whole);
    whole
}

#[test]
fn examples_of_the_rfc() {
    let hello = || vec![Message::Text("Hello".into())];
    assert_eq!(from_server(b"\x81\x05Hello"), (hello(), None));
    let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(decode(Sender::Client, false, masked, 3), (hello(), None));
    assert_eq!(from_server(b"\x01\x03Hel\x80\x02lo"), (hello(), None));
    assert_eq!(from_server(b"\x89\x05Hello"), (vec![Message::Ping(b"Hello".to_vec())], None));
    assert_eq!(from_server(b"\x8a\x00"), (vec![Message::Pong(vec![])], None));
}

#[test]
fn control_frames_may_lie_within_a_message() {
    let (messages, error) = from_server(b"\x02\x01a\x89\x01p\x00\x01b\x80\x00");
    assert_eq!((messages, error), (vec![Message::Ping(b"p".to_vec()), Message::Binary(b"ab".to_vec())], None));
}

#[test]
fn nothing_follows_a_close() {
    let close = close_frame(CloseCode::GOING_AWAY, "bye", None);
    let bytes = [close.as_bytes(), b"\x81\x05Hello"].concat();
    assert_eq!(from_server(&bytes), (vec![Message::Close(CloseCode::GOING_AWAY, "bye".into())], None));
    assert_eq!(from_server(b"\x88\x00"), (vec![Message::Close(CloseCode::NO_STATUS, String::new())], None));
}

#[test]
fn every_breach_has_its_code() {
    let large = [&b"\x82\x7e\x03\xe9"[..], &[0; 1001]].concat();
    let grown = [&b"\x02\x7e\x03\xe8"[..], &[0; 1000], b"\x80\x01x"].concat();
    let table: [(&[u8], u16); 14] = [
        (b"\x83\x00", 1002),
        (b"\x81\x80\0\0\0\0", 1002),
        (b"\x80\x00", 1002),
        (b"\x01\x00\x81\x00", 1002),
        (b"\x09\x00", 1002),
        (b"\x89\x7e\x00\x7e", 1002),
        (b"\x88\x01a", 1002),
        (b"\x88\x02\x03\xee", 1002),
        (b"\xc1\x00", 1002),
        (b"\xa1\x00", 1002),
        (b"\x81\x02\xc3\x28", 1007),
        (b"\x88\x03\x03\xe8\xff", 1007),
        (&large, 1009),
        (&grown, 1009),
    ];
    for (bytes, code) in table {
        let (messages, error) = from_server(bytes);
        assert_eq!((messages, error.map(|error| error.close_code().0)), (vec![], Some(code)), "{bytes:x?}");
    }
    let announced =
        Decoder::new(Sender::Server, MAX, false).handle_bytes(&mut &b"\x82\x7f\0\0\xff\xff\xff\xff\xff\xff"[..]);
    assert_eq!(announced, Err(MessageError::TooBig), "a length alone is enough");
}

#[test]
fn text_may_be_split_within_a_character() {
    assert_eq!(from_server("\u{1}\u{1}".as_bytes()).1, None);
    assert_eq!(from_server(b"\x01\x01\xc3\x80\x01\xa9"), (vec![Message::Text("é".into())], None));
}

#[test]
fn compressed_messages_come_where_they_were_negotiated() {
    let bytes = b"\x41\x02ab\x80\x01c\xc9\x00";
    let (messages, error) = decode(Sender::Server, true, bytes, 2);
    assert_eq!(messages, vec![Message::Compressed { text: true, bytes: b"abc".to_vec() }]);
    assert_eq!(error, Some(MessageError::Extension), "a control frame is never compressed");
    assert_eq!(decode(Sender::Server, true, b"\x01\x00\xc0\x00", 1).1, Some(MessageError::Extension));
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        payloads in proptest::collection::vec((0..4_u8, proptest::collection::vec(any::<u8>(), 0..300)), 1..5),
        mask: Option<[u8; 4]>,
        piece in 1_usize..40,
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (form, mut payload) in payloads {
            let (form, message) = match form {
                0 => {
                    let text = String::from_utf8_lossy(&payload).into_owned();
                    payload = text.clone().into_bytes();
                    (Form::Text, Message::Text(text))
                }
                1 => (Form::Binary, Message::Binary(payload.clone())),
                form => {
                    payload.truncate(125);
                    match form {
                        2 => (Form::Ping, Message::Ping(payload.clone())),
                        _ => (Form::Pong, Message::Pong(payload.clone())),
                    }
                }
            };
            write(form, false, &payload, mask, &mut bytes);
            expected.push(message);
        }
        let sender = if mask.is_some() { Sender::Client } else { Sender::Server };
        prop_assert_eq!(decode(sender, false, &bytes, piece), (expected, None));
    }

    #[test]
    fn any_bytes_in_any_pieces(bytes in proptest::collection::vec(any::<u8>(), 0..60), piece in 1_usize..20) {
        for sender in [Sender::Client, Sender::Server] {
            prop_assert_eq!(decode(sender, true, &bytes, piece), decode(sender, true, &bytes, usize::MAX));
        }
    }
}
