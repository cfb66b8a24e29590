//! Bodies as the reference writes and reads them, and any packets there and back.

use proptest::prelude::*;

use super::*;
use crate::engineio::packet::PacketType;

fn all(version: Version, body: Body<'_>) -> Result<Vec<Packet<'static>>, PacketError> {
    read(version, body)?.map(|packet| packet.map(Packet::into_owned)).collect()
}

fn message(text: &str) -> Packet<'_> {
    Packet::text(PacketType::Message, text)
}

#[test]
fn bodies_of_the_reference() {
    let both = [message("€€€€"), Packet::binary(&[1, 2, 3, 4][..])];
    let table = [
        (Version::V4, true, Written::Text("4€€€€\u{1e}bAQIDBA==".into())),
        (Version::V3, false, Written::Text("5:4€€€€10:b4AQIDBA==".into())),
        (
            Version::V3,
            true,
            Written::Binary([&[0, 1, 3, 255, b'4'][..], "€€€€".as_bytes(), &[1, 5, 255, 4, 1, 2, 3, 4]].concat()),
        ),
    ];
    for (version, takes_binary, expected) in table {
        let body = write(version, &both, takes_binary);
        assert_eq!(body, expected);
        let body = match &body {
            Written::Text(text) => Body::Text(text),
            Written::Binary(bytes) => Body::Binary(bytes),
        };
        assert_eq!(all(version, body).as_deref(), Ok(&both[..]));
    }
}

#[test]
fn lengths_count_utf16_units() {
    // One character beyond the basic plane counts twice, as in JavaScript.
    assert_eq!(write(Version::V3, &[message("🐚")], false), Written::Text("3:4🐚".into()));
    assert_eq!(all(Version::V3, Body::Text("3:4🐚2:4a")), Ok(vec![message("🐚"), message("a")]));
    assert_eq!(all(Version::V3, Body::Text("2:4🐚")), Err(PacketError::Length), "half a character");
}

#[test]
fn an_empty_version_3_body_is_written_and_read() {
    assert_eq!(write(Version::V3, &[], true), Written::Text("0:".into()));
    assert_eq!(all(Version::V3, Body::Text("0:")), Ok(vec![]));
    assert_eq!(all(Version::V3, Body::Text("0:1:6")), Ok(vec![Packet::empty(PacketType::Noop)]));
}

#[test]
fn malformed_bodies_are_errors() {
    let text = [
        (Version::V4, "", PacketError::Empty),
        (Version::V4, "{", PacketError::UnknownType),
        (Version::V4, "4a\u{1e}", PacketError::Empty),
        (Version::V4, "4a\u{1e}\u{1e}4b", PacketError::Empty),
        (Version::V3, "", PacketError::Empty),
        (Version::V3, "!", PacketError::Length),
        (Version::V3, ":", PacketError::Length),
        (Version::V3, "5:4a", PacketError::Length),
        (Version::V3, "-1:4a", PacketError::Length),
        (Version::V3, "+1:4", PacketError::Length),
        (Version::V3, "99999999999999999999:4", PacketError::Length),
        (Version::V3, "1:99:", PacketError::UnknownType),
        (Version::V3, "2:4a1", PacketError::Length),
    ];
    for (version, body, error) in text {
        assert_eq!(all(version, Body::Text(body)), Err(error), "{body:?}");
    }
    let bytes: [(&[u8], PacketError); 9] = [
        (&[], PacketError::Empty),
        (&[0], PacketError::Length),
        (&[0, 255, b'4'], PacketError::Length),
        (&[0, 10, 255, b'4'], PacketError::Length),
        (&[0, 2, 255, b'4'], PacketError::Length),
        (&[1, 0, 255], PacketError::Empty),
        (&[1, 1, 255, b'4'], PacketError::UnknownType),
        (&[2, 1, 255, b'4'], PacketError::UnknownType),
        (&[0, 2, 255, b'4', 0xff], PacketError::Utf8),
    ];
    for (body, error) in bytes {
        assert_eq!(all(Version::V3, Body::Binary(body)), Err(error), "{body:?}");
    }
    assert_eq!(all(Version::V3, Body::Binary(&[0; 400])), Err(PacketError::Length));
    assert_eq!(all(Version::V4, Body::Binary(b"4a")), Err(PacketError::UnknownType));
}

#[test]
fn packets_before_an_error_count() {
    let mut packets = read(Version::V4, Body::Text("4a\u{1e}x\u{1e}4b")).unwrap();
    assert_eq!(packets.next(), Some(Ok(message("a"))));
    assert_eq!(packets.next(), Some(Err(PacketError::UnknownType)));
    assert_eq!(packets.next(), None);
}

fn any_packet() -> impl Strategy<Value = Packet<'static>> {
    prop_oneof![
        // The separator cannot be inside of text: JSON escapes it.
        "[^\u{1e}]{0,20}".prop_map(|text| Packet::text(PacketType::Message, text)),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Packet::binary),
        Just(Packet::text(PacketType::Ping, "probe")),
        Just(Packet::empty(PacketType::Close)),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(packets in proptest::collection::vec(any_packet(), 1..6), takes_binary: bool) {
        for version in [Version::V3, Version::V4] {
            let body = write(version, &packets, takes_binary);
            let body = match &body {
                Written::Text(text) => Body::Text(text),
                Written::Binary(bytes) => Body::Binary(bytes),
            };
            let read = all(version, body);
            prop_assert_eq!(read.as_ref(), Ok(&packets));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        for version in [Version::V3, Version::V4] {
            let _ = all(version, Body::Binary(&bytes));
            let _ = all(version, Body::Text(&String::from_utf8_lossy(&bytes)));
        }
    }
}
