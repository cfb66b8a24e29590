use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::target::Flags;

/// What `@socket.io/redis-streams-adapter` 0.3.1 with @msgpack/msgpack 2.8 publishes, read off with Node.
const ASK: &str = "84a47479706503a46461746183a67061636b657483a47479706502a46461746193a171a178c40107a36e7370a12fa9726571756573\
    744964b030313233343536373839616263646566a46f70747383a5726f6f6d7392a16107a665786365707491a165a5666c61677383a774696d656f\
    7574cd03e8b465787065637453696e676c65526573706f6e7365c2a8636f6d7072657373c0a3756964b030303131323233336161626263636464a3\
    6e7370a12f";
const FETCH: &str = "84a47479706507a46461746182a46f70747383a5726f6f6d7390a665786365707490a5666c61677380a9726571756573744964a172\
    a3756964a175a36e7370a12f";
const FETCHED: &str = "84a47479706508a46461746182a9726571756573744964a172a7736f636b6574739184a26964a173a968616e647368616b6583a7\
    6865616465727380a474696d65a174a5717565727980a5726f6f6d7392a173a161a46461746181a16e01a3756964a175a36e7370a12f";
const EMIT: &str = "84a47479706509a46461746181a67061636b657493a4746f6c6481a161c0d6ff00000000a3756964a175a36e7370a12f";
const REPLY: &str = "84a4747970650aa46461746182a9726571756573744964a172a67061636b6574c40101a3756964a175a36e7370a12f";
const COUNT: &str =
    "84a4747970650ba46461746182a9726571756573744964a172ab636c69656e74436f756e7403a3756964a175a36e7370a12f";
const ACK: &str = "84a4747970650ca46461746182a9726571756573744964a172a67061636b6574c0a3756964a175a36e7370a12f";

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.chars().filter_map(|char| char.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<u8>>().into()
}

fn come(text: &str) -> Message {
    let (node, namespace, message) = read_whole(&hex(text)).unwrap();
    assert!(["u", "00112233aabbccdd"].contains(&node.as_str()) && namespace == "/");
    message
}

fn arguments(text: &str) -> Arguments {
    Arguments::from_parts(text.to_owned(), Vec::new()).unwrap()
}

fn room(name: &str) -> Targets {
    Targets { rooms: vec![name.into()], except: vec!["e".into()] }
}

#[test]
fn what_node_asks_is_read() {
    let Message::Broadcast { arguments, targets, flags, request: Some(request) } = come(ASK) else { panic!() };
    assert_eq!(arguments.text(), r#"["q","x",{"_placeholder":true,"num":0}]"#);
    assert_eq!(arguments.attachments(), [&[7][..]]);
    assert_eq!(targets, Targets { rooms: vec!["a".into(), "7".into()], except: vec!["e".into()] });
    assert_eq!((flags.timeout, flags.compress, &*request), (Some(Duration::from_secs(1)), true, "0123456789abcdef"));
    assert!(
        matches!(come(FETCH), Message::Fetch { targets, request } if targets == Targets::all() && &*request == "r")
    );
    let Message::ServerSideEmit { arguments, request: None } = come(EMIT) else { panic!() };
    assert_eq!(arguments.text(), r#"["told",{"a":null},"1970-01-01T00:00:00.000Z"]"#);
}

#[test]
fn what_node_answers_is_read() {
    let Message::Fetched { sockets, .. } = come(FETCHED) else { panic!() };
    assert_eq!((&*sockets[0].id, sockets[0].rooms.len(), &sockets[0].data), ("s", 2, &json!({ "n": 1 })));
    let Message::ServerSideReply { arguments, .. } = come(REPLY) else { panic!() };
    assert_eq!(
        (arguments.text(), arguments.attachments()),
        (r#"[{"_placeholder":true,"num":0}]"#, &[Bytes::from_static(&[1])][..])
    );
    assert!(matches!(come(COUNT), Message::BroadcastCount { clients: 3, .. }));
    let Message::BroadcastAck { arguments, .. } = come(ACK) else { panic!() };
    assert_eq!(arguments.text(), "[null]");
}

/// The data of each message in a stream, member for member as Node's adapter and its emitter write it.
#[test]
fn what_is_written_is_what_node_writes() {
    let flags = Flags { volatile: true, compress: false, timeout: Some(Duration::from_secs(2)), ..Flags::default() };
    let table: [(Message, u64, Value); 9] = [
        (
            Message::Broadcast {
                arguments: arguments(r#"["hi",1]"#),
                targets: Targets::all(),
                flags: Flags::default(),
                request: None,
            },
            3,
            json!({ "opts": { "rooms": [], "except": [], "flags": {} }, "packet": { "type": 2, "data": ["hi", 1] } }),
        ),
        (
            Message::Broadcast {
                arguments: arguments(r#"["hi"]"#),
                targets: room("r"),
                flags,
                request: Some("q".into()),
            },
            3,
            json!({
                "opts": { "rooms": ["r"], "except": ["e"], "flags": { "volatile": true, "compress": false, "timeout": 2000 } },
                "packet": { "type": 2, "data": ["hi"] }, "requestId": "q",
            }),
        ),
        (
            Message::Join { targets: room("r"), rooms: vec!["s".into()] },
            4,
            json!({ "opts": { "rooms": ["r"], "except": ["e"] }, "rooms": ["s"] }),
        ),
        (
            Message::Leave { targets: Targets::all(), rooms: vec!["s".into(), "t".into()] },
            5,
            json!({ "opts": { "rooms": [], "except": [] }, "rooms": ["s", "t"] }),
        ),
        (
            Message::Disconnect { targets: room("r"), close: true },
            6,
            json!({ "opts": { "rooms": ["r"], "except": ["e"] }, "close": true }),
        ),
        // For Node it is a request to disconnect one socket and what is below it.
        (
            Message::Fence { id: "s".into(), epoch: 3 },
            6,
            json!({ "opts": { "rooms": ["s"], "except": [] }, "close": true, "epoch": 3 }),
        ),
        (
            Message::Fetch { targets: room("r"), request: "q".into() },
            7,
            json!({ "opts": { "rooms": ["r"], "except": ["e"] }, "requestId": "q" }),
        ),
        (
            Message::ServerSideEmit { arguments: arguments(r#"["told",null]"#), request: None },
            9,
            json!({ "packet": ["told", null] }),
        ),
        (
            Message::BroadcastAck { request: "q".into(), arguments: arguments(r#"[{"a":1}]"#) },
            12,
            json!({ "requestId": "q", "packet": { "a": 1 } }),
        ),
    ];
    for (message, kind, expected) in table {
        let written = write(&message).unwrap().unwrap();
        assert_eq!(written.kind, kind);
        assert_eq!(serde_json::from_str::<Value>(&written.data).unwrap(), expected);
        assert!(written.binary_data().is_none());
    }
}

#[test]
fn what_is_written_is_read() {
    let bytes = Arguments::event("b", &(Bytes::from_static(&[0, 255]), "x")).unwrap();
    let messages = [
        Message::Broadcast { arguments: bytes.clone(), targets: room("r"), flags: Flags::default(), request: None },
        Message::Join { targets: room("r"), rooms: vec!["s".into()] },
        Message::Leave { targets: room("r"), rooms: vec!["s".into()] },
        Message::Disconnect { targets: Targets::all(), close: false },
        Message::Fence { id: "s".into(), epoch: u64::MAX },
        Message::Fetch { targets: room("r"), request: "q".into() },
        Message::Fetched { request: "q".into(), sockets: Vec::new() },
        Message::AllRooms { request: "q".into() },
        Message::Rooms { request: "q".into(), rooms: vec!["größe".into()] },
        Message::ServerSideEmit { arguments: bytes, request: Some("q".into()) },
        Message::ServerSideReply { request: "q".into(), arguments: arguments("[1]") },
        Message::BroadcastCount { request: "q".into(), clients: 7 },
        Message::BroadcastAck { request: "q".into(), arguments: arguments("[null]") },
    ];
    for message in messages {
        let written = write(&message).unwrap().unwrap();
        let node = NodeId::from("n");
        for whole in [written.to_msgpack(&node, "/x"), written.to_json_or_msgpack(&node, "/x")] {
            let (from, namespace, read) = read_whole(&whole.unwrap().into()).unwrap();
            assert_eq!((from, &*namespace), (node.clone(), "/x"));
            assert_eq!(format!("{read:?}"), format!("{message:?}"));
        }
    }
    for nothing in [Message::Hello, Message::Heartbeat, Message::Bye] {
        assert!(write(&nothing).unwrap().is_none());
    }
}

#[test]
fn what_is_no_message_is_an_error() {
    for hostile in ["", "{}", "[]", "{\"uid\":1}", "null", r#"{"uid":"u","nsp":"/","type":3}"#, "\u{80}\u{4}\u{95}"] {
        assert!(read_whole(&Bytes::copy_from_slice(hostile.as_bytes())).is_err(), "{hostile}");
    }
    let fields =
        r#"{"opts":{},"packet":{"type":2,"data":["a"]},"requestId":"r","rooms":[],"sockets":[],"clientCount":1}"#;
    for kind in [0, 1, 2, 13, 14, 31, 34, u64::MAX] {
        assert!(read(kind, fields, Vec::new()).is_err(), "{kind}");
    }
    for kind in 3..=12 {
        assert!(read(kind, "{", Vec::new()).is_err() && read(kind, "[]", Vec::new()).is_err(), "{kind}");
    }
}
