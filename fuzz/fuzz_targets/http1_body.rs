//! A body reads the same however its bytes are cut, and what is written of it reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet_proto::http1::body::{Body, BodyError, Framing, LAST_CHUNK, write_chunk};

fn read<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Result<(Vec<u8>, bool), BodyError> {
    let mut body = Body::new(Framing::Chunked);
    let mut payload = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() && !body.is_done() {
            let step = body.handle_bytes(piece)?;
            payload.extend_from_slice(step.payload);
            piece = &piece[step.consumed..];
        }
    }
    Ok((payload, body.is_done()))
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(std::iter::once(bytes));
    assert_eq!(read(bytes.chunks(1)), whole);
    assert_eq!(read(bytes.chunks(7)), whole);
    if let Ok((payload, true)) = whole {
        let mut written = Vec::new();
        payload.chunks(5).for_each(|piece| write_chunk(piece, &mut written));
        written.extend_from_slice(LAST_CHUNK);
        assert_eq!(read(std::iter::once(written.as_slice())), Ok((payload, true)));
    }
});
