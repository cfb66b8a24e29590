//! Decides what JSON a msgpack value is.
//!
//! A length that is announced costs nothing: only bytes that are there are taken, and each value takes at least one.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use rmp::Marker;

use super::date::iso;
use super::{MAX_ATTACHMENTS, MAX_DEPTH};
use crate::socketio::packet::PacketError;

/// How long bytes have to be to share those of the message. A few bytes that somebody keeps would keep all that was read with
/// them.
const MIN_SHARED: usize = 4096;

/// The extension under which notepack.io 2 writes dates, undefined and the bytes of an ArrayBuffer.
const NOTEPACK: i8 = 0;

/// The extension that the specification of msgpack gives to moments.
const TIMESTAMP: i8 = -1;

/// Values as JSON, with their bytes beside.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) text: String,
    pub(super) attachments: Vec<Bytes>,
}

/// What a value begins with.
#[derive(Debug, Clone, Copy)]
enum Head {
    Nil,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(usize),
    Bytes(usize),
    List(usize),
    Map(usize),
    Extension(i8, usize),
}

pub(super) struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Reads the head of a list; returns how many values it announces.
    pub(super) fn list_head(&mut self) -> Result<usize, PacketError> {
        match self.head()? {
            Head::List(len) => Ok(len),
            _ => Err(PacketError::Msgpack),
        }
    }

    /// Reads whether something is so.
    pub(super) fn flag(&mut self) -> Result<bool, PacketError> {
        match self.head()? {
            Head::Bool(value) => Ok(value),
            _ => Err(PacketError::Msgpack),
        }
    }

    /// Reads the head of a map; returns how many members it announces.
    pub(super) fn map(&mut self) -> Result<usize, PacketError> {
        match self.head()? {
            Head::Map(len) => Ok(len),
            _ => Err(PacketError::Msgpack),
        }
    }

    /// Reads an integer; undefined is none.
    pub(super) fn integer(&mut self) -> Result<Option<i128>, PacketError> {
        match self.head()? {
            Head::Integer(number) => Ok(Some(number)),
            Head::Extension(NOTEPACK, 1) => self.take(1).map(|_| None),
            _ => Err(PacketError::Id),
        }
    }

    /// Reads text. What is no UTF-8 in it is replaced: JavaScript lets halves of characters through.
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, PacketError> {
        match self.head()? {
            Head::Text(len) => self.take(len).map(lossy),
            _ => Err(PacketError::Msgpack),
        }
    }

    /// Reads a value that lies so deep, and all that is in it. Nothing is written for undefined.
    pub(super) fn value_in(&mut self, depth: usize, out: &mut Values) -> Result<(), PacketError> {
        self.nested(out, MAX_DEPTH.saturating_sub(depth))
    }

    /// Reads a value and all that is in it. Nothing is written for undefined.
    pub(super) fn value(&mut self, out: &mut Values) -> Result<(), PacketError> {
        self.nested(out, MAX_DEPTH)
    }

    fn nested(&mut self, out: &mut Values, depth: usize) -> Result<(), PacketError> {
        match self.head()? {
            Head::Nil => out.text.push_str("null"),
            Head::Bool(true) => out.text.push_str("true"),
            Head::Bool(false) => out.text.push_str("false"),
            Head::Integer(number) => out.push_integer(number),
            Head::Float(number) => out.push_json(&number),
            Head::Text(len) => out.push_text(&lossy(self.take(len)?)),
            Head::Bytes(len) => self.attach(len, out)?,
            Head::List(len) => self.list(len, out, depth.checked_sub(1).ok_or(PacketError::TooDeep)?)?,
            Head::Map(len) => self.object(len, out, depth.checked_sub(1).ok_or(PacketError::TooDeep)?)?,
            Head::Extension(kind, len) => self.extension(kind, len, out, depth)?,
        }
        Ok(())
    }

    fn list(&mut self, len: usize, out: &mut Values, depth: usize) -> Result<(), PacketError> {
        out.text.push('[');
        for index in 0..len {
            if index > 0 {
                out.text.push(',');
            }
            let before = out.text.len();
            self.nested(out, depth)?;
            if out.text.len() == before {
                out.text.push_str("null");
            }
        }
        out.text.push(']');
        Ok(())
    }

    fn object(&mut self, len: usize, out: &mut Values, depth: usize) -> Result<(), PacketError> {
        out.text.push('{');
        let empty = out.text.len();
        for _ in 0..len {
            let before = out.text.len();
            if before > empty {
                out.text.push(',');
            }
            match self.head()? {
                Head::Text(len) => out.push_text(&lossy(self.take(len)?)),
                Head::Integer(number) => out.push_text(&number.to_string()),
                _ => return Err(PacketError::Msgpack),
            }
            out.text.push(':');
            let behind = out.text.len();
            self.nested(out, depth)?;
            if out.text.len() == behind {
                out.text.truncate(before);
            }
        }
        out.text.push('}');
        Ok(())
    }

    fn extension(&mut self, kind: i8, len: usize, out: &mut Values, depth: usize) -> Result<(), PacketError> {
        let data = self.peek(len)?;
        let is_fixed = self.bytes.get(self.at.wrapping_sub(2)).is_some_and(|marker| (0xd4..=0xd8).contains(marker));
        let ms = match (kind, data) {
            // An ArrayBuffer always has its length written out, so the two are told apart.
            (NOTEPACK, &[_]) if is_fixed => {
                self.at += len;
                return Ok(());
            }
            (NOTEPACK, data) if is_fixed && len == 8 => data.try_into().map(i64::from_be_bytes).ok(),
            (NOTEPACK, _) => return self.attach(len, out),
            (TIMESTAMP, data) => timestamp(data),
            _ => {
                // What nobody knows is the number of the extension and its bytes, as notepack.io reads it.
                depth.checked_sub(1).ok_or(PacketError::TooDeep)?;
                out.text.push_str(&format!("[{kind},"));
                self.attach(len, out)?;
                out.text.push(']');
                return Ok(());
            }
        };
        self.at += len;
        match ms.and_then(iso) {
            Some(text) => out.push_json(&text),
            None => out.text.push_str("null"),
        }
        Ok(())
    }

    fn attach(&mut self, len: usize, out: &mut Values) -> Result<(), PacketError> {
        self.peek(len)?;
        if out.attachments.len() >= MAX_ATTACHMENTS {
            return Err(PacketError::TooManyAttachments);
        }
        out.text.push_str(&format!(r#"{{"_placeholder":true,"num":{}}}"#, out.attachments.len()));
        let bytes = match len < MIN_SHARED {
            true => Bytes::copy_from_slice(self.peek(len)?),
            false => self.bytes.slice(self.at..self.at + len),
        };
        out.attachments.push(bytes);
        self.at += len;
        Ok(())
    }

    fn head(&mut self) -> Result<Head, PacketError> {
        let [marker] = self.array()?;
        Ok(match Marker::from_u8(marker) {
            Marker::Null => Head::Nil,
            Marker::True => Head::Bool(true),
            Marker::False => Head::Bool(false),
            Marker::FixPos(number) => Head::Integer(number.into()),
            Marker::FixNeg(number) => Head::Integer(number.into()),
            Marker::U8 => Head::Integer(u8::from_be_bytes(self.array()?).into()),
            Marker::U16 => Head::Integer(u16::from_be_bytes(self.array()?).into()),
            Marker::U32 => Head::Integer(u32::from_be_bytes(self.array()?).into()),
            Marker::U64 => Head::Integer(u64::from_be_bytes(self.array()?).into()),
            Marker::I8 => Head::Integer(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => Head::Integer(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => Head::Integer(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => Head::Integer(i64::from_be_bytes(self.array()?).into()),
            Marker::F32 => Head::Float(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Head::Float(f64::from_be_bytes(self.array()?)),
            Marker::FixStr(len) => Head::Text(len.into()),
            Marker::Str8 => Head::Text(self.len_u8()?),
            Marker::Str16 => Head::Text(self.len_u16()?),
            Marker::Str32 => Head::Text(self.len_u32()?),
            Marker::Bin8 => Head::Bytes(self.len_u8()?),
            Marker::Bin16 => Head::Bytes(self.len_u16()?),
            Marker::Bin32 => Head::Bytes(self.len_u32()?),
            Marker::FixArray(len) => Head::List(len.into()),
            Marker::Array16 => Head::List(self.len_u16()?),
            Marker::Array32 => Head::List(self.len_u32()?),
            Marker::FixMap(len) => Head::Map(len.into()),
            Marker::Map16 => Head::Map(self.len_u16()?),
            Marker::Map32 => Head::Map(self.len_u32()?),
            Marker::FixExt1 => self.extension_head(1)?,
            Marker::FixExt2 => self.extension_head(2)?,
            Marker::FixExt4 => self.extension_head(4)?,
            Marker::FixExt8 => self.extension_head(8)?,
            Marker::FixExt16 => self.extension_head(16)?,
            Marker::Ext8 => {
                let len = self.len_u8()?;
                self.extension_head(len)?
            }
            Marker::Ext16 => {
                let len = self.len_u16()?;
                self.extension_head(len)?
            }
            Marker::Ext32 => {
                let len = self.len_u32()?;
                self.extension_head(len)?
            }
            Marker::Reserved => return Err(PacketError::Msgpack),
        })
    }

    fn extension_head(&mut self, len: usize) -> Result<Head, PacketError> {
        Ok(Head::Extension(i8::from_be_bytes(self.array()?), len))
    }

    fn len_u8(&mut self) -> Result<usize, PacketError> {
        Ok(u8::from_be_bytes(self.array()?).into())
    }

    fn len_u16(&mut self) -> Result<usize, PacketError> {
        Ok(u16::from_be_bytes(self.array()?).into())
    }

    fn len_u32(&mut self) -> Result<usize, PacketError> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| PacketError::Msgpack)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PacketError> {
        self.take(N)?.try_into().map_err(|_| PacketError::Msgpack)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], PacketError> {
        let taken = self.peek(len)?;
        self.at += len;
        Ok(taken)
    }

    fn peek(&self, len: usize) -> Result<&'a [u8], PacketError> {
        let end = self.at.checked_add(len).ok_or(PacketError::Msgpack)?;
        self.bytes.get(self.at..end).ok_or(PacketError::Msgpack)
    }
}

/// Returns bytes as text, in which what is no UTF-8 is replaced. Most are, and that is quicker to see.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

impl Values {
    /// Has room for what so many bytes become.
    pub(super) fn for_bytes(len: usize) -> Self {
        Self { text: String::with_capacity(len + len / 4), attachments: Vec::new() }
    }

    fn push_text(&mut self, text: &str) {
        if text.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
            return self.push_json(text);
        }
        self.text.reserve(text.len() + 2);
        self.text.push('"');
        self.text.push_str(text);
        self.text.push('"');
    }

    fn push_integer(&mut self, number: i128) {
        // Writing to a text does not fail. Short numbers are quicker to write.
        let _ = match i64::try_from(number) {
            Ok(number) => write!(self.text, "{number}"),
            Err(_) => write!(self.text, "{number}"),
        };
    }

    /// Appends text or a number.
    fn push_json<T: serde::Serialize + ?Sized>(&mut self, value: &T) {
        // Neither can fail; a number that JSON does not know becomes null.
        self.text.push_str(&serde_json::to_string(value).unwrap_or_default());
    }
}

/// Returns the milliseconds of a moment in one of the three forms of the specification.
fn timestamp(data: &[u8]) -> Option<i64> {
    let (seconds, nanos) = match data.len() {
        4 => (i64::from(u32::from_be_bytes(data.try_into().ok()?)), 0),
        8 => {
            let both = u64::from_be_bytes(data.try_into().ok()?);
            // 30 bits of nanoseconds before 34 bits of seconds.
            (i64::try_from(both & ((1 << 34) - 1)).ok()?, i64::try_from(both >> 34).ok()?)
        }
        12 => {
            let (nanos, seconds) = data.split_at(4);
            let nanos = u32::from_be_bytes(nanos.try_into().ok()?);
            (i64::from_be_bytes(seconds.try_into().ok()?), i64::from(nanos))
        }
        _ => return None,
    };
    seconds.checked_mul(1000)?.checked_add(nanos / 1_000_000)
}
