//! Packets as socket.io-msgpack-parser 3.0.2 writes them, and what is none.
//!
//! The bytes were printed by that package (`new Encoder().encode(packet)`); `tests/reference_parsers.rs` asks it anew for
//! many more.

use proptest::prelude::*;

use super::*;
use crate::socketio::arguments::Arguments;

fn bytes(hex: &str) -> Bytes {
    let digit = |place: usize| u8::from_str_radix(&hex[place..place + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect::<Vec<_>>().into()
}

/// Writes what was read in one line.
fn read(bytes: &Bytes) -> String {
    let packet = match decode(bytes) {
        Ok(packet) => packet,
        Err(error) => return format!("error: {error}"),
    };
    let payload = packet.payload.unwrap_or_default();
    let attachments: Vec<_> = payload.attachments().iter().map(|bytes| format!(" {bytes:?}")).collect();
    format!("{:?} {} {:?} {}{}", packet.kind, packet.namespace, packet.id, payload.text(), attachments.concat())
}

/// Packets that both sides write the same, byte for byte.
const BOTH: [(&str, &str); 6] = [
    ("83a47479706500a46461746181a5746f6b656ea178a36e7370a12f", r#"Connect / None [{"token":"x"}]"#),
    ("82a47479706501a36e7370a22f61", "Disconnect /a None []"),
    (
        "84a47479706502a46461746198a16501d0dfcb3ff8000000000000a76772c3b6c39f65c3c081a16190a2696407a36e7370a12f",
        r#"Event / Some(7) ["e",1,-33,1.5,"größe",true,null,{"a":[]}]"#,
    ),
    (
        "83a47479706502a46461746193a165c40200ff81a162c400a36e7370a12f",
        r#"Event / None ["e",{"_placeholder":true,"num":0},{"b":{"_placeholder":true,"num":1}}] b"\0\xff" b"""#,
    ),
    ("84a47479706503a46461746191a26f6ba26964ce00011170a36e7370a22f61", r#"Ack /a Some(70000) ["ok"]"#),
    ("83a47479706504a46461746181a76d657373616765a26e6fa36e7370a22f61", r#"ConnectError /a None [{"message":"no"}]"#),
];

#[test]
fn packets_of_the_reference_there_and_back() {
    for (hex, expected) in BOTH {
        let bytes = bytes(hex);
        assert_eq!(read(&bytes), expected, "{hex}");
        let packet = decode(&bytes).unwrap();
        let mut written = Vec::new();
        encode(packet.kind, &packet.namespace, packet.id, packet.payload.as_ref(), &mut written);
        assert_eq!(written, bytes, "{expected}");
    }
}

#[test]
fn what_javascript_alone_has_becomes_json() {
    // {type: 0, nsp: "/a", data: undefined, options: {compress: true}}
    let connect = "84a47479706500a36e7370a22f61a464617461d40000a76f7074696f6e7381a8636f6d7072657373c3";
    assert_eq!(read(&bytes(connect)), "Connect /a None []");
    // ["e", ArrayBuffer [1, 2], new Date(1600000000123), undefined, {a: undefined, b: 1}]
    let event = "83a47479706502a46461746195a165c702000102d70000000174876e807bd4000082a161d40000a16201a36e7370a12f";
    let text = r#"["e",{"_placeholder":true,"num":0},"2020-09-13T12:26:40.123Z",null,{"b":1}]"#;
    assert_eq!(read(&bytes(event)), format!("Event / None {text} b\"\\x01\\x02\""));
}

/// Puts a value as the argument of an event.
fn event_with(value: &str) -> Bytes {
    bytes(&format!("83a47479706502a46461746192a165{value}a36e7370a12f"))
}

#[test]
fn every_form_of_a_value_is_read() {
    for (value, expected) in [
        ("ccff", "255"),
        ("cd0100", "256"),
        ("ce00010000", "65536"),
        ("cfffffffffffffffff", "18446744073709551615"),
        ("d38000000000000000", "-9223372036854775808"),
        ("ca3fc00000", "1.5"),
        ("cb7ff8000000000000", "null"),
        ("cbfff0000000000000", "null"),
        ("d901ff", "\"\u{fffd}\""),
        ("da000161", "\"a\""),
        ("db0000000161", "\"a\""),
        ("a122", "\"\\\"\""),
        ("dc000101", "[1]"),
        ("dd0000000101", "[1]"),
        ("de0001a16101", "{\"a\":1}"),
        ("df00000001a16101", "{\"a\":1}"),
        ("810102", "{\"1\":2}"),
        ("91d40000", "[null]"),
        ("81a161d40000", "{}"),
        // Moments as the specification writes them, which python-socketio sends.
        ("d6ff5f5e1000", "\"2020-09-13T12:26:40.000Z\""),
        ("d7ff1d53f0005f5e1000", "\"2020-09-13T12:26:40.123Z\""),
        ("c70cff000000007fffffffffffffff", "null"),
        ("c70cff1dcd6500ffffffffffffffff", "\"1969-12-31T23:59:59.500Z\""),
        ("c703ff000000", "null"),
        ("d7007fffffffffffffff", "null"),
    ] {
        assert_eq!(read(&event_with(value)), format!("Event / None [\"e\",{expected}]"), "{value}");
    }
    assert_eq!(read(&event_with("d50501ff")), r#"Event / None ["e",[5,{"_placeholder":true,"num":0}]] b"\x01\xff""#);
    assert_eq!(read(&event_with("c50001ff")), r#"Event / None ["e",{"_placeholder":true,"num":0}] b"\xff""#);
    assert_eq!(read(&event_with("c70000")), r#"Event / None ["e",{"_placeholder":true,"num":0}] b"""#);
}

#[test]
fn what_is_no_packet_is_an_error() {
    for (hex, expected) in [
        ("", "malformed msgpack"),
        ("c0", "malformed msgpack"),
        ("80", "an unknown packet type"),
        ("81a47479706500", "an invalid namespace"),
        ("82a47479706505a36e7370a12f", "an unknown packet type"),
        ("82a474797065ffa36e7370a12f", "an unknown packet type"),
        ("82a474797065a130a36e7370a12f", "an unknown packet type"),
        ("82a47479706500a36e737001", "an invalid namespace"),
        // Behind the end.
        ("82a47479706500a36e7370a12fc0", "malformed msgpack"),
        // Cut off.
        ("82a47479706500a36e7370a1", "an invalid namespace"),
        ("82a47479706500a3", "malformed msgpack"),
        // Data that the type does not have.
        ("83a47479706500a46461746190a36e7370a12f", "an invalid payload"),
        ("83a47479706501a46461746180a36e7370a12f", "an invalid payload"),
        ("82a47479706502a36e7370a12f", "an invalid payload"),
        ("83a47479706502a46461746190a36e7370a12f", "an invalid payload"),
        ("83a47479706502a46461746191c3a36e7370a12f", "an invalid payload"),
        ("83a47479706503a46461746180a36e7370a12f", "an invalid payload"),
        ("82a47479706504a36e7370a12f", "an invalid payload"),
        ("83a47479706502a46461746191a7636f6e6e656374a36e7370a12f", "a reserved event name"),
        // Ids: negative, text.
        ("84a47479706502a46461746191a165a26964ffa36e7370a12f", "an invalid id"),
        ("84a47479706502a46461746191a165a26964a131a36e7370a12f", "an invalid id"),
    ] {
        assert_eq!(read(&bytes(hex)), format!("error: {expected}"), "{hex}");
    }
    assert_eq!(read(&event_with("c1")), "error: malformed msgpack");
    assert_eq!(read(&event_with("81c001")), "error: malformed msgpack");
    // {"_placeholder": true, "num": 9} beside bytes.
    let forged = "9282ac5f706c616365686f6c646572c3a36e756d09c40161";
    assert_eq!(read(&event_with(forged)), "error: a placeholder without its attachment");
}

#[test]
fn announced_lengths_cost_nothing() {
    for value in ["dfffffffff", "ddffffffff", "dbffffffff", "c6ffffffff", "c9ffffffff00", "dfffffffffa161ddffffffff"] {
        let mut packet = event_with("").to_vec();
        packet.truncate(packet.len() - 6);
        packet.extend(bytes(value));
        assert_eq!(read(&packet.into()), "error: malformed msgpack", "{value}");
    }
}

#[test]
fn depth_and_number_are_limited() {
    let nested = |depth: usize| event_with(&format!("{}90", "91".repeat(depth)));
    assert!(read(&nested(MAX_DEPTH - 2)).starts_with("Event"));
    assert_eq!(read(&nested(MAX_DEPTH - 1)), "error: values nested too deeply");
    assert_eq!(read(&nested(1_000_000)), "error: values nested too deeply");
    // What is read can be asked for.
    let packet = nested(MAX_DEPTH - 2);
    assert!(decode(&packet).unwrap().payload.unwrap().get::<serde_json::Value>(1).is_ok());
    let many = |count: usize| event_with(&format!("dc{count:04x}{}", "c400".repeat(count)));
    assert!(read(&many(MAX_ATTACHMENTS)).starts_with("Event"));
    assert_eq!(read(&many(MAX_ATTACHMENTS + 1)), "error: too many attachments");
}

#[test]
fn long_attachments_share_the_bytes_of_the_message() {
    let whole = |len: u16| event_with(&format!("c5{len:04x}{}", "61".repeat(len.into())));
    for (len, shares) in [(4096, true), (4095, false), (1, false)] {
        let message = whole(len);
        let packet = decode(&message).unwrap();
        let payload = packet.payload.unwrap();
        let attachment = &payload.attachments()[0];
        assert_eq!(attachment.len(), usize::from(len));
        assert_eq!(message.as_ptr_range().contains(&attachment.as_ptr()), shares, "{len}");
    }
}

#[test]
fn depth_costs_no_stack_when_written() {
    let text = format!("[\"e\",{}{}]", "[".repeat(100_000), "]".repeat(100_000));
    let arguments = Arguments::from_parts(text, Vec::new()).unwrap();
    let mut out = Vec::new();
    encode(Kind::Event, "/", None, Some(&arguments), &mut out);
    assert_eq!(out.iter().filter(|byte| **byte == 0x91).count(), 99_999);
}

#[test]
fn placeholders_in_any_spelling_are_replaced_when_written() {
    let photo = vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")];
    for text in [
        r#"["e",{"_placeholder":true,"num":1}]"#,
        r#"[ "e" , { "num" : 1 , "_placeholder" : true } ]"#,
        r#"["e",{"\u005fplaceholder":true,"num":1}]"#,
    ] {
        let arguments = Arguments::from_parts(text, photo.clone()).unwrap();
        let mut out = Vec::new();
        encode(Kind::Event, "/", None, Some(&arguments), &mut out);
        assert_eq!(out, event_with("c40162"), "{text}");
    }
    // Without attachments it is an object like any other.
    let arguments = Arguments::from_parts(r#"["e",{"_placeholder":true,"num":1}]"#, Vec::new()).unwrap();
    let mut out = Vec::new();
    encode(Kind::Event, "/", None, Some(&arguments), &mut out);
    assert_eq!(out, event_with("82ac5f706c616365686f6c646572c3a36e756d01"));
}

/// Any JSON that JavaScript can have.
fn values() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..20)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Whole numbers have one form there: 1.0 comes back as 1.
fn is_same(read: &serde_json::Value, written: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (read, written) {
        (Number(read), Number(written)) => read == written || read.as_f64() == written.as_f64(),
        (Array(read), Array(written)) => {
            read.len() == written.len() && read.iter().zip(written).all(|(read, written)| is_same(read, written))
        }
        (Object(read), Object(written)) => {
            read.len() == written.len()
                && read.iter().zip(written).all(|(read, written)| read.0 == written.0 && is_same(read.1, written.1))
        }
        (read, written) => read == written,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in values(), bytes in prop::collection::vec(any::<Vec<u8>>(), 0..4), id in prop::option::of(0..=MAX_ID), namespace in any::<String>()) {
        let bytes: Vec<Bytes> = bytes.into_iter().map(Bytes::from).collect();
        let arguments = Arguments::event("e", &(&value, &bytes)).unwrap();
        let mut out = Vec::new();
        encode(Kind::Event, &namespace, id, Some(&arguments), &mut out);
        let out = Bytes::from(out);
        let packet = decode(&out).unwrap();
        prop_assert_eq!(&*packet.namespace, &namespace);
        prop_assert_eq!(packet.id, id);
        let read = packet.payload.unwrap();
        prop_assert_eq!(read.attachments(), &bytes[..]);
        prop_assert!(is_same(&read.get(1).unwrap(), &value), "{} instead of {}", read.text(), value);
    }

    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>(), hex in prop::sample::select(BOTH.map(|(hex, _)| hex).to_vec()), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let _ = decode(&bytes.into());
        let mut damaged = self::bytes(hex).to_vec();
        let place = at.index(damaged.len());
        damaged[place] = byte;
        let _ = decode(&damaged.clone().into());
        damaged.truncate(place);
        prop_assert!(decode(&damaged.into()).is_err());
    }
}
