//! Decides how the values of a frame are looked at: one after the other, lists before what is in them.

use bytes::Bytes;

use super::{Item, Kind};

/// A whole answer or push.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    bytes: Bytes,
    items: &'a [Item],
}

/// A value. What is in a list are the values behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A short text, as `OK`.
    Text(&'a [u8]),
    /// Any bytes.
    Bulk(&'a [u8]),
    /// Why a command was not done: a word in capitals, and more for people.
    Error(&'a [u8]),
    /// A whole number in decimal digits.
    Integer(&'a [u8]),
    /// Nothing.
    Nil,
    /// A number of another kind, or whether something is so.
    Other(&'a [u8]),
    /// So many values follow: those of a list or a set; names and values in turn of a map.
    List(usize),
    /// So many values follow, for which nobody has asked.
    Push(usize),
}

/// The values of a frame in their order.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    bytes: &'a [u8],
    items: std::slice::Iter<'a, Item>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(bytes: Bytes, items: &'a [Item]) -> Self {
        Self { bytes, items }
    }

    /// Returns the frame as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns its values; the first one is the whole.
    pub fn values(&self) -> Values<'_> {
        Values { bytes: &self.bytes, items: self.items.iter() }
    }

    /// Returns the first value: the whole, if it is no list.
    pub fn first(&self) -> Option<Value<'_>> {
        self.values().next()
    }

    /// Returns bytes that are a part of this frame, as a part of it. Others are copied.
    pub fn share(&self, part: &[u8]) -> Bytes {
        let offset = (part.as_ptr() as usize).wrapping_sub(self.bytes.as_ptr() as usize);
        match self.bytes.get(offset..offset.wrapping_add(part.len())) {
            Some(own) if own.as_ptr() == part.as_ptr() => self.bytes.slice(offset..offset + part.len()),
            _ => Bytes::copy_from_slice(part),
        }
    }
}

impl<'a> Values<'a> {
    /// Returns the next value if it consists of bytes.
    pub fn bulk(&mut self) -> Option<&'a [u8]> {
        match self.next()? {
            Value::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Returns where in the frame the bytes of the next value lie, if it consists of bytes.
    #[inline]
    pub fn place(&mut self) -> Option<std::ops::Range<u32>> {
        let Item { kind, start, len } = *self.items.next()?;
        (kind == Kind::Bulk).then_some(start..start + len)
    }

    /// Returns how many values the next one has, which is a list.
    pub fn list(&mut self) -> Option<usize> {
        match self.next()? {
            Value::List(count) => Some(count),
            _ => None,
        }
    }

    /// Passes over a value and all that is in it.
    pub fn skip_value(&mut self) {
        let mut left = 1_usize;
        while left > 0
            && let Some(value) = self.next()
        {
            left -= 1;
            if let Value::List(count) | Value::Push(count) = value {
                left = left.saturating_add(count);
            }
        }
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        let Item { kind, start, len } = *self.items.next()?;
        let (start, len) = (start as usize, len as usize);
        let text = || self.bytes.get(start..start + len).unwrap_or_default();
        Some(match kind {
            Kind::Text => Value::Text(text()),
            Kind::Bulk => Value::Bulk(text()),
            Kind::Error => Value::Error(text()),
            Kind::Integer => Value::Integer(text()),
            Kind::Nil => Value::Nil,
            Kind::Other => Value::Other(text()),
            Kind::List => Value::List(len),
            Kind::Push => Value::Push(len),
        })
    }
}
