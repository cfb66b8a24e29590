//! Bytes fed one by one and in two halves give the messages that they give at once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet_proto::websocket::frame::Sender;
use limpet_proto::websocket::message::{Decoder, Message, MessageError};

fuzz_target!(|bytes: &[u8]| {
    for sender in [Sender::Client, Sender::Server] {
        for takes_compressed in [false, true] {
            let read = |pieces: &mut dyn Iterator<Item = &[u8]>| messages(sender, takes_compressed, pieces);
            let at_once = read(&mut [bytes].into_iter());
            assert_eq!(at_once, read(&mut bytes.chunks(1)));
            assert_eq!(at_once, read(&mut bytes.chunks(bytes.len().div_ceil(2).max(1))));
        }
    }
});

fn messages(
    sender: Sender,
    takes_compressed: bool,
    pieces: &mut dyn Iterator<Item = &[u8]>,
) -> (Vec<Message>, Option<MessageError>) {
    let mut decoder = Decoder::new(sender, 4096, takes_compressed);
    let mut messages = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            match decoder.handle_bytes(&mut piece) {
                Ok(message) => messages.extend(message),
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}
