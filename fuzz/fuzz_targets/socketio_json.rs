//! Whatever messages a session brings, packets that are read are written so that they read the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use limpet_proto::socketio::decoder::{Decoded, Decoder};
use limpet_proto::socketio::parser::Parser;

/// Parts messages, as it does packets in a polling body; what begins with a zero is bytes.
const SEPARATOR: u8 = 0x1e;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::new(Parser::Json, 10);
    for message in bytes.split(|byte| *byte == SEPARATOR) {
        let bytes = Bytes::copy_from_slice(message);
        let text = String::from_utf8_lossy(message);
        let decoded =
            if message.first() == Some(&0) { decoder.handle_binary(&bytes) } else { decoder.handle_text(&text) };
        match decoded {
            Ok(Some(packet)) => check(&packet),
            Ok(None) => {}
            Err(_) => return,
        }
    }
});

fn check(packet: &Decoded<'_>) {
    let mut decoder = Decoder::new(Parser::Json, 10);
    let messages = Parser::Json.encode(packet.kind, &packet.namespace, packet.id, packet.payload.as_ref());
    let (last, first) = messages.split_last().expect("a packet has a message");
    for message in first {
        let payload = Bytes::copy_from_slice(message.payload());
        let decoded = match message.is_binary() {
            true => decoder.handle_binary(&payload).expect("it was read before").is_none(),
            false => {
                let text = std::str::from_utf8(&payload[1..]).expect("it is text");
                decoder.handle_text(text).expect("it was read before").is_none()
            }
        };
        assert!(decoded, "a packet before its last message");
    }
    let payload = Bytes::copy_from_slice(last.payload());
    let text = if last.is_binary() { "" } else { std::str::from_utf8(&payload[1..]).expect("it is text") };
    let again = if last.is_binary() { decoder.handle_binary(&payload) } else { decoder.handle_text(text) };
    assert_eq!(again.expect("it was read before").as_ref(), Some(packet));
}
