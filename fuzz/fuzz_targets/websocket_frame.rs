//! Bytes fed one by one and in two halves give what they give at once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet_proto::websocket::frame::{Cursor, FrameError, Progress, Sender, first_text};

fuzz_target!(|bytes: &[u8]| {
    let _ = first_text(bytes);
    for sender in [Sender::Client, Sender::Server] {
        let at_once = sum(sender, [bytes]);
        assert_eq!(at_once, sum(sender, bytes.chunks(1)));
        assert_eq!(at_once, sum(sender, bytes.chunks(bytes.len().div_ceil(2).max(1))));
    }
});

fn sum<'a>(sender: Sender, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(Progress, bool), FrameError> {
    let mut cursor = Cursor::new(sender);
    let mut sum = Progress::default();
    for piece in pieces {
        let progress = cursor.handle_bytes(piece)?;
        sum.messages += progress.messages;
        sum.heartbeat = progress.heartbeat.or(sum.heartbeat);
        sum.close_code = sum.close_code.or(progress.close_code);
    }
    Ok((sum, cursor.at_boundary()))
}
