//! Decides how a message of a known shape is read and written part by part, without the JSON of the whole: most of what a
//! bus carries are broadcasts, and of one only the arguments are wanted as JSON.

use std::borrow::Cow;

use bytes::Bytes;

use super::read::{Reader, Values};
use super::{check_placeholders, write};
use crate::socketio::arguments::Arguments;
use crate::socketio::packet::PacketError;

/// Reads parts, each in its place.
///
/// Each function fails with [`PacketError`] when something else stands there.
pub struct Parts<'a> {
    reader: Reader<'a>,
    len: usize,
}

impl<'a> Parts<'a> {
    /// Begins to read.
    pub fn new(bytes: &'a Bytes) -> Self {
        Self { reader: Reader::new(bytes), len: bytes.len() }
    }

    /// Whether everything was read.
    pub fn is_at_end(&self) -> bool {
        self.reader.is_at_end()
    }

    /// Reads the head of a list: how many values follow.
    ///
    /// # Errors
    /// See [`Parts`].
    pub fn list(&mut self) -> Result<usize, PacketError> {
        self.reader.list_head()
    }

    /// Reads the head of a map: how many names and values follow.
    ///
    /// # Errors
    /// See [`Parts`].
    pub fn map(&mut self) -> Result<usize, PacketError> {
        self.reader.map()
    }

    /// Reads text. What is no UTF-8 in it is replaced.
    ///
    /// # Errors
    /// See [`Parts`].
    pub fn text(&mut self) -> Result<Cow<'a, str>, PacketError> {
        self.reader.text()
    }

    /// Reads a whole number that is not negative.
    ///
    /// # Errors
    /// See [`Parts`].
    pub fn number(&mut self) -> Result<u64, PacketError> {
        let number = self.reader.integer()?.ok_or(PacketError::Msgpack)?;
        u64::try_from(number).map_err(|_| PacketError::Msgpack)
    }

    /// Reads whether something is so.
    ///
    /// # Errors
    /// See [`Parts`].
    pub fn flag(&mut self) -> Result<bool, PacketError> {
        self.reader.flag()
    }

    /// Reads a list of arguments that lies in so many lists and maps. Its long attachments share the bytes.
    ///
    /// # Errors
    /// See [`Parts`].
    pub fn arguments(&mut self, depth: usize) -> Result<Arguments, PacketError> {
        let mut values = Values::for_bytes(self.len);
        self.reader.value_in(depth, &mut values)?;
        check_placeholders(&values)?;
        if !values.text.starts_with('[') {
            return Err(PacketError::Msgpack);
        }
        Ok(Arguments::trusted(values.text, values.attachments))
    }
}

/// Appends the head of a list of so many values.
pub fn write_list(count: usize, out: &mut Vec<u8>) {
    write::list(count, out);
}

/// Appends the head of a map of so many members.
pub fn write_map(count: usize, out: &mut Vec<u8>) {
    write::object(count, out);
}

/// Appends text.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    write::text(text, out);
}

/// Appends a whole number.
pub fn write_number(number: u64, out: &mut Vec<u8>) {
    write::integer(number.into(), out);
}

/// Appends whether something is so.
pub fn write_flag(flag: bool, out: &mut Vec<u8>) {
    out.push(if flag { 0xc3 } else { 0xc2 });
}

/// Appends arguments as a list, with bytes in their places.
pub fn write_arguments(arguments: &Arguments, out: &mut Vec<u8>) {
    write::json(arguments.text(), arguments.attachments(), out);
}
