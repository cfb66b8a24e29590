//! Messages are the same however their bytes are cut, and none is longer than is taken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet_proto::websocket::frame::Sender;
use limpet_proto::websocket::message::{Decoder, Message, MessageError};

const MOST: usize = 300;

fuzz_target!(|bytes: &[u8]| {
    for sender in [Sender::Client, Sender::Server] {
        for compressed in [false, true] {
            let at_once = read(sender, compressed, [bytes]);
            assert_eq!(read(sender, compressed, bytes.chunks(1)), at_once);
            assert_eq!(read(sender, compressed, bytes.chunks(7)), at_once);
        }
    }
});

fn read<'a>(
    sender: Sender,
    compressed: bool,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Message>, Option<MessageError>) {
    let mut decoder = Decoder::new(sender, MOST, compressed);
    let mut messages = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            match decoder.handle_bytes(&mut piece) {
                Ok(Some(message)) => {
                    let length = match &message {
                        Message::Text(text) | Message::Close(_, text) => text.len(),
                        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
                        Message::Compressed { bytes, .. } => bytes.len(),
                    };
                    assert!(length <= MOST);
                    messages.push(message);
                }
                Ok(None) => {}
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}
