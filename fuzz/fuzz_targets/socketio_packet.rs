//! What a packet says lies within its bounds, and its head is written as one that reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet_proto::socketio::packet::{Body, Kind, Packet, write_head};

const MAX_ATTACHMENTS: usize = 10;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(packet) = Packet::parse(text, MAX_ATTACHMENTS) else { return };
    assert!(packet.attachments <= MAX_ATTACHMENTS && packet.namespace.starts_with('/'));
    let _ = packet.body.event_name();
    let (kind, payload) = match &packet.body {
        Body::Event(list) => (Kind::Event, list),
        Body::Ack(list) => (Kind::Ack, list),
        _ => return,
    };
    let mut again = String::new();
    write_head(kind, packet.namespace, packet.id, packet.attachments, &mut again);
    let payload: Vec<&str> = payload.iter().map(|value| value.get()).collect();
    again.push_str(&format!("[{}]", payload.join(",")));
    let read = Packet::parse(&again, MAX_ATTACHMENTS).expect("what is written reads");
    assert_eq!((read.namespace, read.id, read.attachments), (packet.namespace, packet.id, packet.attachments));
    match &read.body {
        Body::Event(list) | Body::Ack(list) => assert!(list.iter().map(|value| value.get()).eq(payload)),
        other => panic!("{other:?}"),
    }
});
