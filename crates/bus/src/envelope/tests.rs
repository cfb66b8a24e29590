use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn arguments() -> Arguments {
    let text = r#"["photo",{"a":{"_placeholder":true,"num":0}}]"#;
    Arguments::from_parts(text.to_owned(), vec![Bytes::from_static(b"\0\x01\xff")]).unwrap()
}

fn all() -> Vec<Message> {
    let targets = Targets { rooms: vec!["r".into()], except: vec!["e".into(), "ü\"".into()] };
    let flags = Flags { volatile: true, compress: false, timeout: Some(Duration::from_millis(1500)), local: false };
    let request: RequestId = "0123".into();
    let socket = SocketInfo {
        id: "id".into(),
        handshake: json!({ "query": { "a": "b" } }),
        rooms: vec!["id".into(), "r".into()],
        data: json!({ "name": "x", "n": 1.5 }),
    };
    vec![
        Message::Broadcast { arguments: arguments(), targets: targets.clone(), flags, request: Some(request.clone()) },
        Message::Broadcast { arguments: arguments(), targets: Targets::all(), flags: Flags::default(), request: None },
        Message::Join { targets: targets.clone(), rooms: vec!["new".into()] },
        Message::Leave { targets: targets.clone(), rooms: vec!["new".into()] },
        Message::Disconnect { targets: targets.clone(), close: true },
        Message::Fetch { targets, request: request.clone() },
        Message::Fetched { request: request.clone(), sockets: vec![socket] },
        Message::ServerSideEmit { arguments: arguments(), request: None },
        Message::ServerSideReply { request: request.clone(), arguments: arguments() },
        Message::BroadcastCount { request: request.clone(), clients: 7 },
        Message::BroadcastAck { request, arguments: arguments() },
        Message::Fence { id: "id".into(), epoch: 3 },
        Message::Hello,
        Message::Heartbeat,
        Message::Bye,
    ]
}

fn envelope(message: Message) -> Envelope {
    Envelope { node: "node 1".into(), namespace: "/chat".into(), offset: None, message }
}

#[test]
fn every_message_is_read_as_it_was_written() {
    for message in all() {
        let envelope = envelope(message);
        let read = Envelope::from_bytes(&envelope.to_bytes().into()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{envelope:?}"));
    }
}

#[test]
fn what_is_cut_off_is_malformed() {
    for message in all() {
        let bytes = Bytes::from(envelope(message).to_bytes());
        for end in 1..bytes.len() {
            // A whole head without its attachments reads as one whose placeholders name nothing.
            let read = Envelope::from_bytes(&bytes.slice(..end));
            assert!(read.is_err() || end >= 4 + usize::from(bytes[3]));
        }
    }
}

proptest! {
    #[test]
    fn garbage_is_no_message(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Envelope::from_bytes(&bytes.into()).is_err());
    }
}
