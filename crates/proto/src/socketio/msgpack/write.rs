//! Decides which msgpack JSON becomes: the shortest form of each value, as notepack.io writes it.
//!
//! The JSON is known to be well-formed. It is walked once, without recursion, so depth costs nothing but memory.

use bytes::Bytes;

use crate::socketio::packet::{PLACEHOLDER, placeholder, string};

/// A whole number below this is the same as a number of JavaScript.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A list or object whose members are being written.
struct Open {
    /// Where its head is in the output: one byte, until it is known how many members there are.
    at: usize,
    /// How many values it has, the names of members among them.
    count: usize,
    is_object: bool,
}

/// Appends a JSON value.
pub(super) fn json(json: &str, attachments: &[Bytes], out: &mut Vec<u8>) {
    let mut open: Vec<Open> = Vec::new();
    let mut rest = json.as_bytes();
    let mut at = 0;
    let mut is_plain = false;
    while let Some(&byte) = rest.first() {
        let len = match byte {
            b'[' | b'{' => 1,
            b']' | b'}' => {
                if let Some(open) = open.pop() {
                    finish(&open, out);
                }
                1
            }
            b'"' => {
                let (len, escapes) = string_len(rest);
                is_plain = !escapes;
                len
            }
            b'-' | b'0'..=b'9' | b'a'..=b'z' => rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len()),
            _ => 1,
        };
        let token = json.get(at..at + len).unwrap_or_default();
        let mut taken = len;
        if !matches!(byte, b']' | b'}' | b',' | b':' | b' ' | b'\n' | b'\r' | b'\t') {
            if let Some(parent) = open.last_mut() {
                parent.count += 1;
            }
            match byte {
                b'[' => open.push(Open { at: out.len(), count: 0, is_object: false }),
                b'{' => match attachment(json.get(at..).unwrap_or_default(), attachments) {
                    Some((bytes, len)) => {
                        binary(bytes, out);
                        taken = len;
                    }
                    None => open.push(Open { at: out.len(), count: 0, is_object: true }),
                },
                b'"' if is_plain => text(token.get(1..len - 1).unwrap_or_default(), out),
                b'"' => text(&string(token).unwrap_or_default(), out),
                b't' => out.push(0xc3),
                b'f' => out.push(0xc2),
                b'n' => out.push(0xc0),
                _ => number(token, out),
            }
            if matches!(byte, b'[' | b'{') && taken == len {
                out.push(0);
            }
        }
        at += taken;
        rest = json.as_bytes().get(at..).unwrap_or_default();
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

/// Returns the length of the string that the text begins with, with its quotes, and whether anything in it is escaped.
fn string_len(text: &[u8]) -> (usize, bool) {
    let (mut at, mut escapes) = (1, false);
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if text.get(at) == Some(&b'"') {
            return (at + 1, escapes);
        }
        escapes = true;
        at += 2;
    }
    (text.len(), true)
}

/// Returns the bytes whose place the object at the beginning of the text is, and how long it is.
fn attachment<'a>(text: &str, attachments: &'a [Bytes]) -> Option<(&'a Bytes, usize)> {
    if attachments.is_empty() {
        return None;
    }
    let len = memchr::memchr(b'}', text.as_bytes())? + 1;
    let object = text.get(..len)?;
    if !object.contains(PLACEHOLDER) && !object.contains('\\') {
        return None;
    }
    let bytes = attachments.get(placeholder(&serde_json::from_str(object).ok()?)??)?;
    Some((bytes, len))
}

/// Writes the head of a list or object, now that its members are there.
fn finish(open: &Open, out: &mut Vec<u8>) {
    let count = if open.is_object { open.count / 2 } else { open.count };
    let (short, long) = if open.is_object { (0x80, 0xde) } else { (0x90, 0xdc) };
    match (u8::try_from(count), u16::try_from(count)) {
        (Ok(count @ 0..16), _) => out[open.at] = short | count,
        (_, Ok(count)) => {
            out[open.at] = long;
            drop(out.splice(open.at + 1..open.at + 1, count.to_be_bytes()));
        }
        _ => {
            out[open.at] = long + 1;
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            drop(out.splice(open.at + 1..open.at + 1, count.to_be_bytes()));
        }
    }
}

/// Appends the head of a list of so many values.
pub(super) fn list(count: usize, out: &mut Vec<u8>) {
    let at = out.len();
    out.push(0);
    finish(&Open { at, count, is_object: false }, out);
}

/// Appends the head of an object of so many members.
pub(super) fn object(count: usize, out: &mut Vec<u8>) {
    let at = out.len();
    out.push(0);
    finish(&Open { at, count: count * 2, is_object: true }, out);
}

/// Appends text.
pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    let len = text.len();
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ 0..32), _) => out.push(0xa0 | len),
        (Ok(len), _) => out.extend([0xd9, len]),
        (_, Ok(len)) => {
            out.push(0xda);
            out.extend(len.to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            out.extend(u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

fn binary(bytes: &Bytes, out: &mut Vec<u8>) {
    let len = bytes.len();
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len), _) => out.extend([0xc4, len]),
        (_, Ok(len)) => {
            out.push(0xc5);
            out.extend(len.to_be_bytes());
        }
        _ => {
            out.push(0xc6);
            out.extend(u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

fn number(token: &str, out: &mut Vec<u8>) {
    if let Ok(number) = token.parse::<i128>()
        && (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&number)
    {
        return integer(number, out);
    }
    let number: f64 = token.parse().unwrap_or_default();
    if number.fract() == 0.0 && number.abs() < EXACT {
        // It is whole, and an i64 holds it.
        return integer((number as i64).into(), out);
    }
    out.push(0xcb);
    out.extend(number.to_be_bytes());
}

/// Appends an integer, which an i64 or a u64 must hold.
pub(super) fn integer(number: i128, out: &mut Vec<u8>) {
    if let Ok(number) = u64::try_from(number) {
        match (u8::try_from(number), u16::try_from(number), u32::try_from(number)) {
            (Ok(number @ 0..128), ..) => out.push(number),
            (Ok(number), ..) => out.extend([0xcc, number]),
            (_, Ok(number), _) => {
                out.push(0xcd);
                out.extend(number.to_be_bytes());
            }
            (.., Ok(number)) => {
                out.push(0xce);
                out.extend(number.to_be_bytes());
            }
            _ => {
                out.push(0xcf);
                out.extend(number.to_be_bytes());
            }
        }
        return;
    }
    match (i8::try_from(number), i16::try_from(number), i32::try_from(number)) {
        (Ok(number @ -32..0), ..) => out.extend(number.to_be_bytes()),
        (Ok(number), ..) => {
            out.push(0xd0);
            out.extend(number.to_be_bytes());
        }
        (_, Ok(number), _) => {
            out.push(0xd1);
            out.extend(number.to_be_bytes());
        }
        (.., Ok(number)) => {
            out.push(0xd2);
            out.extend(number.to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend(i64::try_from(number).unwrap_or(i64::MIN).to_be_bytes());
        }
    }
}
