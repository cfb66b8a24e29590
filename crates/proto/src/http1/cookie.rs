//! Reads cookies, and changes single ones without touching what stands beside them (RFC 6265).
//!
//! Pairs end at semicolons and at nothing else, as browsers write them and as endpoints read them: quotation marks and
//! commas are part of a value. Names are compared exactly. Nothing here decodes, and nothing is UTF-8.

#[cfg(test)]
mod tests;

use std::ops::Range;

/// One `name=value` of a Cookie header, or the first one of a Set-Cookie header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The name, without blanks around it.
    pub name: &'a [u8],
    /// The value, without blanks around it.
    pub value: &'a [u8],
    /// Where the value lies in the header's value, in bytes.
    pub value_range: Range<usize>,
}

/// What becomes of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stays as it is.
    Keep,
    /// It goes.
    Remove,
    /// It stays without so many bytes at the front of its value.
    CutFront(usize),
}

/// Returns the pairs of a Cookie header's value, in their order. What has no `=` is none.
pub fn pairs(header: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    segments(header).filter_map(|segment| pair(header, segment))
}

/// Returns the name and value that a Set-Cookie header's value sets (RFC 6265 section 5.2). `None` when there is no `=`.
pub fn set_pair(header: &[u8]) -> Option<Pair<'_>> {
    pair(header, segments(header).next()?)
}

/// Copies a Cookie header's value to `out` with some pairs changed; everything else keeps its bytes. Returns whether
/// anything is left: when not, the header should go as a whole.
pub fn change(header: &[u8], mut of: impl FnMut(&Pair<'_>) -> Change, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let mut kept = 0_usize;
    let mut removed = false;
    for segment in segments(header) {
        let text = header.get(segment.clone()).unwrap_or_default();
        let pair = pair(header, segment.clone());
        let change = pair.as_ref().map_or(Change::Keep, &mut of);
        if change == Change::Remove {
            removed = true;
            continue;
        }
        match kept {
            // The blank belongs to the semicolon before it.
            0 if removed => {}
            0 => out.extend_from_slice(leading_blanks(text)),
            _ => {
                out.push(b';');
                out.extend_from_slice(leading_blanks(text));
            }
        }
        kept += 1;
        let text_start = segment.start + leading_blanks(text).len();
        match (change, pair) {
            (Change::CutFront(count), Some(pair)) => {
                let cut_to = pair.value_range.start.saturating_add(count).min(pair.value_range.end);
                out.extend_from_slice(header.get(text_start..pair.value_range.start).unwrap_or_default());
                out.extend_from_slice(header.get(cut_to..segment.end).unwrap_or_default());
            }
            _ => out.extend_from_slice(header.get(text_start..segment.end).unwrap_or_default()),
        }
    }
    out.get(start..).is_some_and(|left| !left.trim_ascii().is_empty())
}

/// Returns whether the text may stand as a cookie's value without quotation marks (RFC 6265 section 4.1.1), so that it
/// can neither end the value nor the header.
pub fn is_value(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e))
}

/// Returns whether the text may be the name of a cookie: a token (RFC 9110 section 5.6.2).
pub fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Returns where the parts between semicolons lie.
fn segments(header: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let rest = header.get(start..)?;
        let end = memchr::memchr(b';', rest).map(|at| start + at);
        next = end.map(|end| end + 1);
        Some(start..end.unwrap_or(header.len()))
    })
}

fn pair(header: &[u8], segment: Range<usize>) -> Option<Pair<'_>> {
    let text = header.get(segment.clone())?;
    let equals = memchr::memchr(b'=', text)?;
    let (name, value) = (text.get(..equals)?.trim_ascii(), text.get(equals + 1..)?);
    let start = segment.start + equals + 1 + leading_blanks(value).len();
    let value = value.trim_ascii();
    // A value of blanks alone is empty, and lies at its end.
    let start = start.min(segment.end - value.len());
    Some(Pair { name, value, value_range: start..start + value.len() })
}

fn leading_blanks(text: &[u8]) -> &[u8] {
    text.get(..text.len() - text.trim_ascii_start().len()).unwrap_or_default()
}
