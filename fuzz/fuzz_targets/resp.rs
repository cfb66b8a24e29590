//! What Redis says is read the same in any portions, and its values lie within the bytes of its frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet_proto::resp::{Reader, RespError, Value};

fuzz_target!(|bytes: &[u8]| {
    let Some((&portion, bytes)) = bytes.split_first() else { return };
    let at_once = read(bytes, usize::MAX);
    assert_eq!(at_once, read(bytes, 1));
    assert_eq!(at_once, read(bytes, usize::from(portion).max(1)));
});

fn read(bytes: &[u8], portion: usize) -> (Vec<Vec<u8>>, Option<RespError>) {
    let (mut reader, mut frames) = (Reader::new(4096), Vec::new());
    for portion in bytes.chunks(portion) {
        reader.buffer().extend_from_slice(portion);
        loop {
            match reader.poll_frame() {
                Ok(true) => {
                    let frame = reader.frame();
                    for value in frame.values() {
                        if let Value::Bulk(part @ [_, ..]) = value {
                            assert_eq!(frame.share(part).as_ptr(), part.as_ptr());
                        }
                    }
                    let mut values = frame.values();
                    values.skip_value();
                    assert_eq!(values.next(), None, "a frame is one value");
                    frames.push(frame.bytes().to_vec());
                }
                Ok(false) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}
