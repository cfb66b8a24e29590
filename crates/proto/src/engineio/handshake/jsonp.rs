//! Decides what text a JSONP call carries and where a part of the text lies in the script.

use serde_json::Deserializer;

/// Holds the argument of `___eio[0]("…");`.
pub(super) struct Script {
    /// The argument without its escapes.
    pub(super) text: String,
    /// Where the first character behind the opening quote lies in the script.
    literal_start: usize,
}

impl Script {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let index = body.strip_prefix(b"___eio[")?;
        let digits = index.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let literal = index.get(digits..)?.strip_prefix(b"](")?;
        literal.first().filter(|first| **first == b'"')?;
        let mut values = Deserializer::from_slice(literal).into_iter::<String>();
        let text = values.next()?.ok()?;
        let behind = literal.get(values.byte_offset()..)?.trim_ascii_end();
        matches!(behind, b")" | b");").then(|| Self { text, literal_start: body.len() - literal.len() + 1 })
    }

    /// Gives the place in `body`, the script that was parsed, that belongs to a place in the text; both in bytes.
    pub(super) fn body_offset(&self, body: &[u8], text_offset: usize) -> Option<usize> {
        let mut at = self.literal_start;
        let mut text_len = 0;
        while text_len < text_offset {
            let (raw, made) = match body.get(at..)? {
                [b'\\', b'u', digits @ ..] => escaped_unit(digits)?,
                [b'\\', ..] => (2, 1),
                _ => (1, 1),
            };
            at += raw;
            text_len += made;
        }
        (text_len == text_offset).then_some(at)
    }
}

/// Gives how many bytes a `\u` escape takes in the script and makes in the text.
fn escaped_unit(digits: &[u8]) -> Option<(usize, usize)> {
    let digits = std::str::from_utf8(digits.get(..4)?).ok()?;
    Some(match u16::from_str_radix(digits, 16).ok()? {
        0..0x80 => (6, 1),
        0x80..0x800 => (6, 2),
        // The text was decoded, so the other half follows.
        0xd800..0xdc00 => (12, 4),
        _ => (6, 3),
    })
}
