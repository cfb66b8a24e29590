use super::*;
use crate::envelope::{RequestId, SocketInfo};

/// What `@socket.io/redis-adapter` 8.3 with notepack 3.0.1 publishes, read off with Node.
const BROADCAST: &str = "93a661626364656683a47479706502a46461746196a2686901cb3ff8000000000000c0c402010281a164d6ff00000000a36e73\
    70a12f83a5726f6f6d7391a172a665786365707490a5666c61677381a8766f6c6174696c65c3";
const ASKED: &str = "85a3756964a6616263646566a9726571756573744964a6313233343536a47479706507a67061636b657483a47479706502a464617461\
    92a171a178a36e7370a62f6f74686572a46f70747383a5726f6f6d7390a665786365707491a165a5666c61677382a774696d656f7574cd03e8b4657870\
    65637453696e676c65526573706f6e7365c2";
const ACK: &str = "83a47479706509a9726571756573744964a6313233343536a67061636b657492a2616e81a161c3";
const EMITTER: &str =
    "93a7656d697474657283a47479706502a46461746191a26869a36e7370a12f83a5726f6f6d7390a5666c61677380a665786365707490";
const UNDEFINED: &str =
    "93a17883a47479706502a46461746193a26869c080a36e7370a12f83a5726f6f6d739107a5666c61677380a665786365707490";

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.chars().filter_map(|char| char.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<u8>>().into()
}

fn come(place: Place<'_>, namespace: &str, bytes: &Bytes) -> (Option<String>, Message) {
    match read(place, namespace, bytes).unwrap() {
        Received::Message(node, message) => (node.map(String::from), message),
        other => panic!("{other:?}"),
    }
}

fn event(text: &str) -> Arguments {
    Arguments::from_parts(text.to_owned(), Vec::new()).unwrap()
}

#[test]
fn a_broadcast_of_node_is_read() {
    let (node, message) = come(Place::Broadcast(Some("r")), "/", &hex(BROADCAST));
    assert_eq!(node.as_deref(), Some("abcdef"));
    let Message::Broadcast { arguments, targets, flags, request: None } = message else { panic!("{message:?}") };
    assert_eq!(arguments.text(), r#"["hi",1,1.5,null,{"_placeholder":true,"num":0},{"d":"1970-01-01T00:00:00.000Z"}]"#);
    assert_eq!(arguments.attachments(), [Bytes::from_static(&[1, 2])]);
    assert_eq!(targets, Targets::room("r"));
    assert!(flags.volatile && flags.compress);
}

#[test]
fn an_emitter_and_what_is_undefined_are_read() {
    let (node, message) = come(Place::Broadcast(None), "/", &hex(EMITTER));
    assert_eq!(node.as_deref(), Some("emitter"));
    assert!(
        matches!(message, Message::Broadcast { arguments, targets, .. } if arguments.text() == r#"["hi"]"# && targets == Targets::all())
    );
    let (_, message) = come(Place::Broadcast(None), "/", &hex(UNDEFINED));
    let Message::Broadcast { arguments, targets, .. } = message else { panic!("{message:?}") };
    assert_eq!(arguments.text(), r#"["hi",null,{}]"#);
    assert_eq!(targets, Targets::room("7"), "a room that is a number has its digits as name");
}

#[test]
fn a_broadcast_that_asks_and_its_answer_are_read() {
    let (node, message) = come(Place::Request, "/other", &hex(ASKED));
    assert_eq!(node.as_deref(), Some("abcdef"));
    let Message::Broadcast { arguments, targets, flags, request: Some(request) } = message else {
        panic!("{message:?}")
    };
    assert_eq!((arguments.text(), &*request), (r#"["q","x"]"#, "123456"));
    assert_eq!(targets, Targets { rooms: vec![], except: vec!["e".into()] });
    assert_eq!(flags.timeout, Some(Duration::from_secs(1)));
    let (node, message) = come(Place::Response, "/other", &hex(ACK));
    assert_eq!(node, None);
    assert!(matches!(message, Message::BroadcastAck { arguments, .. } if arguments.text() == r#"[["an",{"a":true}]]"#));
}

#[test]
fn requests_in_json_are_read() {
    let table = [
        (r#"{"uid":"a","type":2,"opts":{"rooms":["x"],"except":[]},"rooms":["y","z"]}"#, "Join"),
        (r#"{"type":2,"requestId":"1","sid":"s","room":"y"}"#, "Join"),
        (r#"{"uid":"a","type":3,"opts":{"rooms":["x"],"except":[]},"rooms":["y"]}"#, "Leave"),
        (
            r#"{"type":4,"opts":{"rooms":[],"except":[]},"close":true}"#,
            "Disconnect { targets: Targets { rooms: [], except: [] }, close: true }",
        ),
        (r#"{"uid":"a","requestId":"1","type":5,"opts":{"rooms":["x"],"except":[]}}"#, "Fetch"),
        (r#"{"uid":"a","type":6,"data":["told",1]}"#, "ServerSideEmit"),
        (r#"{"uid":"a","requestId":"1","type":1}"#, "AllRooms"),
    ];
    for (text, wanted) in table {
        let (_, message) = come(Place::Request, "/", &Bytes::from(text));
        assert!(format!("{message:?}").starts_with(wanted), "{message:?}");
    }
    let ids = read(Place::Request, "/", &Bytes::from_static(br#"{"uid":"a","requestId":"1","type":0,"rooms":["x"]}"#))
        .unwrap();
    assert!(matches!(ids, Received::Ids(_, targets, _) if targets == Targets::room("x")));
}

#[test]
fn what_is_written_is_read() {
    let channels = Channels::new("socket.io", "/chat");
    let node = NodeId::from("ours");
    let other = NodeId::from("other");
    let (targets, request) = (Targets { rooms: vec!["r".into()], except: vec!["e".into()] }, RequestId::from("id"));
    let socket = SocketInfo { id: "s".into(), handshake: json!({"x": 1}), rooms: vec!["s".into()], data: json!(null) };
    let flags = Flags { volatile: true, compress: false, ..Flags::default() };
    let messages = [
        Message::Broadcast { arguments: event(r#"["a",[1]]"#), targets: targets.clone(), flags, request: None },
        Message::Broadcast {
            arguments: event(r#"["a"]"#),
            targets: targets.clone(),
            flags,
            request: Some(request.clone()),
        },
        Message::Join { targets: targets.clone(), rooms: vec!["n".into()] },
        Message::Leave { targets: targets.clone(), rooms: vec!["n".into()] },
        Message::Disconnect { targets: targets.clone(), close: true },
        Message::Fetch { targets, request: request.clone() },
        Message::AllRooms { request: request.clone() },
        Message::ServerSideEmit { arguments: event(r#"["a",1]"#), request: Some(request.clone()) },
        Message::Fetched { request: request.clone(), sockets: vec![socket] },
        Message::Rooms { request: request.clone(), rooms: vec!["r".into()] },
        Message::ServerSideReply { request: request.clone(), arguments: event("[1]") },
        Message::BroadcastCount { request: request.clone(), clients: 3 },
        Message::BroadcastAck { request, arguments: event("[true]") },
    ];
    for message in messages {
        for specific in [false, true] {
            let (channel, bytes) = channels.write(&node, Some(&other), specific, &message).unwrap().unwrap();
            let place = channels.place(&channel).unwrap_or_else(|| panic!("{channel}"));
            let (_, read) = come(place, "/chat", &bytes.into());
            assert_eq!(format!("{read:?}"), format!("{message:?}"));
        }
    }
}

#[test]
fn channels_are_those_of_node() {
    let channels = Channels::new("socket.io", "/a*[b]");
    assert_eq!(channels.pattern(), r"socket.io#/a\*\[b\]#*");
    let plain = ["socket.io-request#/a*[b]#", "socket.io-response#/a*[b]#", "socket.io-response#/a*[b]#n#"];
    assert_eq!(channels.plain(&"n".into()), plain);
    assert_eq!(channels.place("socket.io#/a*[b]#"), Some(Place::Broadcast(None)));
    assert_eq!(channels.place("socket.io#/a*[b]#a#b#"), Some(Place::Broadcast(Some("a#b"))));
    assert_eq!(channels.place("socket.io#/a*[b]#x"), None);
    assert_eq!(channels.place("socket.io#/#"), None);
}

#[test]
fn what_is_hostile_is_an_error() {
    let table: [(Place<'_>, Vec<u8>); 13] = [
        (Place::Broadcast(None), b"".to_vec()),
        (Place::Broadcast(None), b"garbage".to_vec()),
        // Lists that promise 2^32 - 1 items, and lists within lists.
        (Place::Broadcast(None), hex("ddffffffff").to_vec()),
        (Place::Broadcast(None), vec![0x91; 100_000]),
        (Place::Broadcast(None), b"\x80\x04\x95(cos\nsystem\n".to_vec()),
        (Place::Broadcast(None), [&hex(EMITTER)[..], &[0]].concat()),
        (Place::Request, b"{".to_vec()),
        (Place::Request, br#"{"type":99}"#.to_vec()),
        (Place::Request, br#"{"type":5,"opts":{}}"#.to_vec()),
        (Place::Request, br#"{"type":2,"rooms":[]}"#.to_vec()),
        (Place::Request, br#"{"type":6,"data":[]}"#.to_vec()),
        (Place::Response, br#"{"sockets":[]}"#.to_vec()),
        (Place::Response, br#"{"requestId":"1","type":8,"clientCount":-1}"#.to_vec()),
    ];
    for (place, bytes) in table {
        let bytes = Bytes::from(bytes);
        assert!(read(place, "/", &bytes).is_err(), "{:?}", bytes.slice(..bytes.len().min(40)));
    }
    // Of another namespace, though on this channel.
    assert!(read(Place::Broadcast(None), "/other", &hex(EMITTER)).is_err());
}
