use proptest::prelude::*;

use super::*;

/// Reads all payload; the rest behind the body is returned too.
fn read(framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>, bool), BodyError> {
    let mut body = Body::new(framing);
    let (mut payload, mut rest) = (Vec::new(), Vec::new());
    for mut piece in pieces.iter().copied() {
        while !piece.is_empty() && !body.is_done() {
            let step = body.handle_bytes(piece)?;
            payload.extend_from_slice(step.payload);
            piece = &piece[step.consumed..];
        }
        rest.extend_from_slice(piece);
    }
    Ok((payload, rest, body.is_done()))
}

#[test]
fn a_length_ends_the_body_and_leaves_the_next_request() {
    assert_eq!(read(Framing::Length(3), &[b"abcGET"]), Ok((b"abc".to_vec(), b"GET".to_vec(), true)));
    assert_eq!(read(Framing::Empty, &[b"GET"]), Ok((vec![], b"GET".to_vec(), true)));
    assert_eq!(read(Framing::Length(9), &[b"abc"]), Ok((b"abc".to_vec(), vec![], false)));
}

#[test]
fn chunks_extensions_and_trailers() {
    let body: &[u8] = b"3;a=\"b;c\"\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\nnext";
    assert_eq!(read(Framing::Chunked, &[body]), Ok((b"abc0123456789".to_vec(), b"next".to_vec(), true)));
}

#[test]
fn malformed_chunks_are_refused() {
    for (bytes, error) in [
        (&b"\r\n"[..], BodyError::ChunkSize),
        (b"g\r\n", BodyError::ChunkSize),
        (b"+3\r\nabc\r\n", BodyError::ChunkSize),
        (b"0x3\r\nabc\r\n", BodyError::ChunkSize),
        (b"3 \r\nabc\r\n", BodyError::ChunkSize),
        (b"3\nabc\r\n", BodyError::ChunkSize),
        (b"3\rXabc", BodyError::ChunkSize),
        (b"3;a\nabc", BodyError::ChunkSize),
        (b"1000000000000000\r\n", BodyError::ChunkSize),
        (b"3\r\nabcd", BodyError::ChunkEnd),
        (b"3\r\nabc\n", BodyError::ChunkEnd),
        (b"0\r\n folded\r\n\r\n", BodyError::Trailer),
        (b"0\r\nX: y\n\r\n", BodyError::Trailer),
        (b"0\r\nGET / HTTP/1.1\r\n\r\n", BodyError::Trailer),
        (b"0\r\nX\r\n\r\n", BodyError::Trailer),
        (b"0\r\n: y\r\n\r\n", BodyError::Trailer),
        (b"0\r\nX: \0\r\n\r\n", BodyError::Trailer),
    ] {
        assert_eq!(read(Framing::Chunked, &[bytes]), Err(error), "{:?}", bytes.escape_ascii().to_string());
    }
}

#[test]
fn endless_extensions_and_trailers_are_refused() {
    let extension = [b"3;".to_vec(), vec![b'a'; 8 * 1024]].concat();
    assert_eq!(read(Framing::Chunked, &[&extension]), Err(BodyError::ChunkSize));
    let trailers = [b"0\r\n".to_vec(), b"a: b\r\n".repeat(8 * 1024)].concat();
    assert_eq!(read(Framing::Chunked, &[&trailers]), Err(BodyError::Trailer));
}

#[test]
fn written_chunks_read_back() {
    for length in [0, 1, 9, 15, 16, 255, 256, 4096, 70_000] {
        let payload = vec![b'x'; length];
        let mut out = Vec::new();
        write_chunk(&payload, &mut out);
        out.extend_from_slice(LAST_CHUNK);
        assert_eq!(read(Framing::Chunked, &[&out]), Ok((payload, vec![], true)), "{length}");
    }
}

proptest! {
    #[test]
    fn any_split_reads_the_same(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
    ) {
        let mut bytes = Vec::new();
        for payload in &payloads {
            write_chunk(payload, &mut bytes);
        }
        bytes.extend_from_slice(b"0\r\nA: b\r\n\r\nrest");
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read(Framing::Chunked, &pieces), read(Framing::Chunked, &[&bytes]));
        prop_assert_eq!(read(Framing::Chunked, &[&bytes]), Ok((payloads.concat(), b"rest".to_vec(), true)));
    }

    #[test]
    fn arbitrary_bytes_end_alike_however_they_are_cut(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(read(Framing::Chunked, &single), read(Framing::Chunked, &[&bytes]));
    }
}
