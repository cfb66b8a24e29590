//! Decides whether a query string makes a request an Engine.IO one, and reads what routing needs from it.
//!
//! This runs on every request, so it allocates nothing. Names and the values of `transport` and `EIO` are compared in
//! their percent-decoded form, as servers do: otherwise `s%69d=` could name one session here and another one there.

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use memchr::memchr;

use super::sid::Redacted;
use super::{Transport, Version};

/// Longest name or value that is compared in decoded form: `websocket`, `transport`.
const LONGEST_WORD: usize = 9;

/// Holds what the query string of an Engine.IO request says.
#[derive(Clone, PartialEq, Eq)]
pub struct Query<'a> {
    /// The version; without `EIO` it is [`Version::V3`].
    pub version: Version,
    /// The transport asked for.
    pub transport: Transport,
    /// The sid as it stands in the query, not decoded and not checked to be a valid one; never empty.
    pub sid: Option<&'a str>,
    /// Where the sid lies in the query string, in bytes.
    pub sid_range: Option<Range<usize>>,
    /// Whether the answer must be a script, because there is a `j` parameter.
    pub jsonp: bool,
    /// Whether the client cannot take binary data, because `b64` is not empty.
    pub base64: bool,
}

impl fmt::Debug for Query<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("version", &self.version)
            .field("transport", &self.transport)
            .field("sid", &self.sid.map(Redacted))
            .field("jsonp", &self.jsonp)
            .field("base64", &self.base64)
            .finish()
    }
}

/// Says why an Engine.IO request cannot be routed. Each deserves a 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// There are two `sid` parameters, and servers differ in which one they take.
    #[error("repeated sid parameter")]
    RepeatedSid,
    /// There are two `transport` parameters.
    #[error("repeated transport parameter")]
    RepeatedTransport,
    /// There are two `EIO` parameters.
    #[error("repeated EIO parameter")]
    RepeatedVersion,
    /// The sid is not UTF-8.
    #[error("sid is not text")]
    SidNotText,
}

/// Reads a query string, given without its question mark.
///
/// A request is an Engine.IO one when there is a `transport`, and an `EIO` or a `sid` that is not empty. For others it
/// gives `Ok(None)` and has no opinion on the rest.
///
/// # Errors
/// An Engine.IO request with a repeated parameter or a sid that is not UTF-8.
pub fn parse(query: &[u8]) -> Result<Option<Query<'_>>, QueryError> {
    let mut found = Found::default();
    let mut start = 0;
    while let Some(rest) = query.get(start..).filter(|rest| !rest.is_empty()) {
        let len = memchr(b'&', rest).unwrap_or(rest.len());
        let parameter = rest.get(..len).unwrap_or_default();
        found.handle_parameter(parameter, start);
        start += len + 1;
    }
    found.into_query(query)
}

/// Collects the parameters that matter; what they mean is decided at the end, since any order is possible.
#[derive(Default)]
struct Found {
    transport: Seen<Transport>,
    version: Seen<Version>,
    sid: Seen<Range<usize>>,
    jsonp: bool,
    base64: bool,
}

impl Found {
    /// Takes one `name=value`, whose first byte is at `start` of the query string.
    fn handle_parameter(&mut self, parameter: &[u8], start: usize) {
        let name_len = memchr(b'=', parameter).unwrap_or(parameter.len());
        let (name, value) = parameter.split_at(name_len);
        let value = value.strip_prefix(b"=").unwrap_or_default();
        let mut room = [0; LONGEST_WORD];
        match decode(name, &mut room) {
            b"transport" => self.transport.put(transport(value)),
            b"EIO" => self.version.put(version(value)),
            b"sid" => {
                let end = start + parameter.len();
                self.sid.put(end - value.len()..end);
            }
            b"j" => self.jsonp = true,
            b"b64" => self.base64 |= !value.is_empty(),
            _ => {}
        }
    }

    fn into_query(self, query: &[u8]) -> Result<Option<Query<'_>>, QueryError> {
        let Some(transport) = self.transport.first else {
            return Ok(None);
        };
        let sid_range = self.sid.first.filter(|range| !range.is_empty());
        // Of two sids the second may be the one that is not empty.
        if self.version.first.is_none() && sid_range.is_none() && !self.sid.repeated {
            return Ok(None);
        }
        if self.sid.repeated {
            return Err(QueryError::RepeatedSid);
        }
        if self.transport.repeated {
            return Err(QueryError::RepeatedTransport);
        }
        if self.version.repeated {
            return Err(QueryError::RepeatedVersion);
        }
        let sid = match sid_range.clone().and_then(|range| query.get(range)) {
            Some(raw) => Some(std::str::from_utf8(raw).map_err(|_| QueryError::SidNotText)?),
            None => None,
        };
        let version = self.version.first.unwrap_or(Version::V3);
        Ok(Some(Query { version, transport, sid, sid_range, jsonp: self.jsonp, base64: self.base64 }))
    }
}

/// Keeps the first value of a parameter and whether there was another one.
struct Seen<T> {
    first: Option<T>,
    repeated: bool,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self { first: None, repeated: false }
    }
}

impl<T> Seen<T> {
    fn put(&mut self, value: T) {
        match self.first {
            None => self.first = Some(value),
            Some(_) => self.repeated = true,
        }
    }
}

fn transport(value: &[u8]) -> Transport {
    match decode(value, &mut [0; LONGEST_WORD]) {
        b"polling" => Transport::Polling,
        b"websocket" => Transport::Websocket,
        _ => Transport::Other,
    }
}

fn version(value: &[u8]) -> Version {
    match decode(value, &mut [0; LONGEST_WORD]) {
        b"4" => Version::V4,
        _ => Version::V3,
    }
}

/// Decodes percent escapes into `room`. Text that does not fit decoded is no word we know and is given back as it is,
/// and so is text without escapes. Broken escapes stay as they are.
fn decode<'a>(text: &'a [u8], room: &'a mut [u8; LONGEST_WORD]) -> &'a [u8] {
    if text.len() > 3 * LONGEST_WORD || memchr(b'%', text).is_none() {
        return text;
    }
    let mut rest = text;
    let mut len = 0;
    while let Some((&first, behind_first)) = rest.split_first() {
        let Some(slot) = room.get_mut(len) else { return text };
        len += 1;
        (*slot, rest) = match behind_first {
            [high, low, behind @ ..] if first == b'%' => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, behind),
                _ => (first, behind_first),
            },
            _ => (first, behind_first),
        };
    }
    room.get(..len).unwrap_or_default()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
