//! Just enough of RFC 6455 section 5.2: masked text out, unfragmented frames in.

use anyhow::bail;

/// Any key does; servers cannot tell.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A masked text frame.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    let length = payload.len();
    let mut frame = match length {
        0..126 => vec![0x81, 0x80 | length as u8],
        126..65536 => [&[0x81, 0x80 | 126], (length as u16).to_be_bytes().as_slice()].concat(),
        _ => [&[0x81, 0x80 | 127], (length as u64).to_be_bytes().as_slice()].concat(),
    };
    frame.extend_from_slice(&MASK);
    frame.extend(payload.bytes().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Takes the first frame of a server off the input and gives its payload. `None` when the frame is not complete.
///
/// # Errors
///
/// Fails on what is not an unmasked, unfragmented text frame: a Close frame, for example.
pub(super) fn take<'a>(input: &mut &'a [u8]) -> anyhow::Result<Option<&'a [u8]>> {
    let [first, second, rest @ ..] = *input else {
        return Ok(None);
    };
    if *first != 0x81 || *second & 0x80 != 0 {
        bail!("a frame that begins with {first:#x} {second:#x}");
    }
    let (length, rest) = match (*second, rest) {
        (126, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        (126 | 127, _) if rest.len() < 8 => return Ok(None),
        (127, _) => bail!("a frame that is larger than any that was asked for"),
        (length, rest) => (usize::from(length), rest),
    };
    let Some((payload, rest)) = rest.split_at_checked(length) else {
        return Ok(None);
    };
    *input = rest;
    Ok(Some(payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_what_it_sends() {
        assert_eq!(text("40"), [0x81, 0x82, 0x37, 0xfa, 0x21, 0x3d, 0x34 ^ 0x37, 0x30 ^ 0xfa]);
        assert_eq!(text(&"a".repeat(200)).len(), 2 + 2 + 4 + 200);
    }

    #[test]
    fn takes_whole_frames_only() {
        let long = [&[0x81, 126, 0, 200], [b'x'; 200].as_slice()].concat();
        let all = [&[0x81, 2, b'4', b'0'], long.as_slice()].concat();
        for end in 0..all.len() {
            let mut input = &all[..end];
            let first = take(&mut input).unwrap();
            assert_eq!(first, (end >= 4).then_some(b"40".as_slice()), "{end}");
            assert_eq!(take(&mut input).unwrap(), None, "{end}");
        }
        let mut input = all.as_slice();
        assert_eq!(take(&mut input).unwrap(), Some(b"40".as_slice()));
        assert_eq!(take(&mut input).unwrap().map(<[u8]>::len), Some(200));
        assert!(input.is_empty());
        assert!(take(&mut [0x88, 2, 3, 232].as_slice()).is_err());
    }
}
