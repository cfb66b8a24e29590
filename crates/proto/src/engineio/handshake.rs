//! Decides which sid a server's first words give, and where in them a suffix for the sid belongs.
//!
//! The first words are the body of the first polling response or the first WebSocket message. Anything that is not
//! surely an open packet with a valid sid gives `None`: the bytes then pass unchanged.

mod jsonp;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::sid::{Redacted, is_sid};

/// Separates packets of a version 4 payload.
const SEPARATOR: u8 = 0x1e;

/// Begins a string packet of a version 3 binary payload.
const BINARY_STRING: u8 = 0x00;

/// Ends the length of a packet of a version 3 binary payload.
const BINARY_LENGTH_END: u8 = 0xff;

/// Most digits of a version 3 length that are read; an open packet has a length of two or three digits.
const MAX_LENGTH_DIGITS: usize = 7;

/// Longest interval or timeout that is believed.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// What the reference server uses, for servers that do not say.
const DEFAULT_PING_INTERVAL_MS: f64 = 25_000.0;
const DEFAULT_PING_TIMEOUT_MS: f64 = 20_000.0;

/// Names how the open packet is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// `0{…}`, with further packets behind a byte 0x1e. A WebSocket message of version 3 looks the same.
    V4,
    /// The version 4 form in a JSONP call.
    V4Jsonp,
    /// `97:0{…}2:40`; lengths count UTF-16 units.
    V3Text,
    /// The version 3 text form in a JSONP call.
    V3Jsonp,
    /// A byte 0x00, the digits of the length as bytes 0 to 9, a byte 0xff and the packet.
    V3Binary,
}

impl Framing {
    /// Says whether the packet may become longer, which a length prefix forbids.
    pub fn allows_suffix(self) -> bool {
        matches!(self, Self::V4 | Self::V4Jsonp)
    }
}

/// Holds what an open packet says.
#[derive(Clone, PartialEq, Eq)]
pub struct Open<'a> {
    /// The session id; [`is_sid`] holds for it.
    pub sid: Cow<'a, str>,
    /// Where the sid ends in the body, in bytes: a suffix goes there.
    pub sid_end: usize,
    /// How often there is a ping, at most one day; 25 s if the server does not say.
    pub ping_interval: Duration,
    /// How long the answer may take, at most one day; 20 s if the server does not say.
    pub ping_timeout: Duration,
    /// How the packet is wrapped.
    pub framing: Framing,
}

impl fmt::Debug for Open<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("sid", &Redacted(&self.sid))
            .field("sid_end", &self.sid_end)
            .field("ping_interval", &self.ping_interval)
            .field("ping_timeout", &self.ping_timeout)
            .field("framing", &self.framing)
            .finish()
    }
}

/// Reads the open packet at the start of a whole body or message.
///
/// A sid that is written with JSON escapes is not accepted, since a suffix could not be placed with certainty.
pub fn parse(body: &[u8]) -> Option<Open<'_>> {
    let Some(script) = jsonp::Script::parse(body) else {
        return parse_payload(body);
    };
    let open = parse_payload(script.text.as_bytes())?;
    let framing = match open.framing {
        Framing::V4 => Framing::V4Jsonp,
        Framing::V3Text => Framing::V3Jsonp,
        Framing::V3Binary | Framing::V4Jsonp | Framing::V3Jsonp => return None,
    };
    let sid_end = script.body_offset(body, open.sid_end)?;
    Some(Open { sid: Cow::Owned(open.sid.into_owned()), sid_end, framing, ..open })
}

/// Gives the body with `suffix` behind the sid.
///
/// `None` if the framing has a length prefix, if the longer sid would not be a valid one, or if `open` is not of this
/// body.
pub fn insert_suffix(body: &[u8], open: &Open<'_>, suffix: &str) -> Option<Vec<u8>> {
    let (before, behind) = body.split_at_checked(open.sid_end)?;
    if !open.framing.allows_suffix() || !is_sid(&[&open.sid, suffix].concat()) {
        return None;
    }
    Some([before, suffix.as_bytes(), behind].concat())
}

/// The JSON of an open packet. Fields of no interest are skipped without being kept.
#[derive(Deserialize)]
struct OpenData<'a> {
    sid: &'a str,
    #[serde(rename = "pingInterval", default = "default_ping_interval")]
    ping_interval_ms: f64,
    #[serde(rename = "pingTimeout", default = "default_ping_timeout")]
    ping_timeout_ms: f64,
}

fn default_ping_interval() -> f64 {
    DEFAULT_PING_INTERVAL_MS
}

fn default_ping_timeout() -> f64 {
    DEFAULT_PING_TIMEOUT_MS
}

fn parse_payload(payload: &[u8]) -> Option<Open<'_>> {
    match payload.first()? {
        b'0' => {
            let (open, packet_end) = parse_packet(payload, 0, Framing::V4)?;
            matches!(payload.get(packet_end), None | Some(&SEPARATOR)).then_some(open)
        }
        b'1'..=b'9' => {
            let (len, start) = read_length(payload, 0, b'0', b':')?;
            let (open, end) = parse_packet(payload, start, Framing::V3Text)?;
            let packet = std::str::from_utf8(payload.get(start..end)?).ok()?;
            (packet.encode_utf16().count() == len).then_some(open)
        }
        &BINARY_STRING => {
            let (len, start) = read_length(payload, 1, 0, BINARY_LENGTH_END)?;
            let (open, end) = parse_packet(payload, start, Framing::V3Binary)?;
            (end - start == len).then_some(open)
        }
        _ => None,
    }
}

/// Reads decimal digits from `start` on up to `end_mark`; gives the number and where the packet begins.
fn read_length(payload: &[u8], start: usize, zero: u8, end_mark: u8) -> Option<(usize, usize)> {
    let mut len = 0;
    for (at, &byte) in payload.iter().enumerate().skip(start).take(MAX_LENGTH_DIGITS + 1) {
        if byte == end_mark {
            return Some((len, at + 1));
        }
        let digit = byte.checked_sub(zero).filter(|digit| *digit < 10)?;
        len = len * 10 + usize::from(digit);
    }
    None
}

/// Reads the open packet at `start`; gives it and where it ends.
fn parse_packet(payload: &[u8], start: usize, framing: Framing) -> Option<(Open<'_>, usize)> {
    let json = payload.get(start..)?.strip_prefix(b"0")?;
    // Without this an array of the fields in order would pass as well.
    json.first().filter(|first| **first == b'{')?;
    let mut values = serde_json::Deserializer::from_slice(json).into_iter::<OpenData<'_>>();
    let data = values.next()?.ok()?;
    if !is_sid(data.sid) {
        return None;
    }
    let open = Open {
        sid: Cow::Borrowed(data.sid),
        sid_end: end_within(payload, data.sid)?,
        ping_interval: duration(data.ping_interval_ms)?,
        ping_timeout: duration(data.ping_timeout_ms)?,
        framing,
    };
    Some((open, start + 1 + values.byte_offset()))
}

/// Gives where `part`, which was borrowed from `whole`, ends in it.
fn end_within(whole: &[u8], part: &str) -> Option<usize> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (whole.get(start..end)? == part.as_bytes()).then_some(end)
}

fn duration(millis: f64) -> Option<Duration> {
    (millis >= 0.0).then(|| Duration::from_millis(millis as u64).min(MAX_DURATION))
}
