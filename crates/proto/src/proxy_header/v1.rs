//! Decides when a version 1 line is whole and well-formed (section 2.1).

use memchr::memchr;

use super::{Header, MAX_V1_BYTES, Origin, Progress, ProxyError, Version, origin};

const GREETING: &[u8] = b"PROXY ";
const UNKNOWN: &[u8] = b"UNKNOWN";
const TCP4: &[u8] = b"TCP4 ";
const TCP6: &[u8] = b"TCP6 ";

pub(super) fn parse(bytes: &[u8]) -> Result<Progress, ProxyError> {
    let window = bytes.get(..MAX_V1_BYTES).unwrap_or(bytes);
    let line = match memchr(b'\n', window) {
        Some(end) => window.get(..=end).unwrap_or_default(),
        None => window,
    };
    let rest = match strip(line, GREETING) {
        Match::Whole(rest) => rest,
        Match::Part => return Ok(Progress::Incomplete),
        Match::Other => return Err(ProxyError::NoHeader),
    };
    let known = check_family(rest)?;
    let content = match line.strip_suffix(b"\n") {
        Some(content) => content.strip_suffix(b"\r").ok_or(ProxyError::Addresses)?,
        None if line.len() == MAX_V1_BYTES => return Err(ProxyError::TooLong),
        // A line may be cut between its two end characters.
        None => line.strip_suffix(b"\r").unwrap_or(line),
    };
    if known {
        check_addresses(content)?;
    }
    if !line.ends_with(b"\n") {
        return Ok(Progress::Incomplete);
    }
    if known {
        check_ports(content)?;
    }
    let origin = if known { origin(line)? } else { Origin::Unknown };
    let header = Header { version: Version::V1, origin, elements: Box::default() };
    Ok(Progress::Complete { consumed: line.len(), header })
}

/// Says whether addresses follow; what follows UNKNOWN is to be ignored.
fn check_family(rest: &[u8]) -> Result<bool, ProxyError> {
    match strip(rest, UNKNOWN) {
        Match::Whole([] | [b' ' | b'\r', ..]) | Match::Part => return Ok(false),
        Match::Whole(_) => return Err(ProxyError::UnknownFamily),
        Match::Other => {}
    }
    match (strip(rest, TCP4), strip(rest, TCP6)) {
        (Match::Other, Match::Other) => Err(ProxyError::UnknownFamily),
        _ => Ok(true),
    }
}

/// Refuses bytes that occur in no address or port, so that a wrong line is not waited for.
fn check_addresses(content: &[u8]) -> Result<(), ProxyError> {
    let rest = content.get(GREETING.len() + TCP4.len()..).unwrap_or_default();
    let fits = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':' | b' ');
    if rest.iter().all(fits) { Ok(()) } else { Err(ProxyError::Addresses) }
}

/// Refuses leading zeros, which the specification forbids and the parser of numbers accepts.
fn check_ports(content: &[u8]) -> Result<(), ProxyError> {
    let lax = |port: &[u8]| port.len() > 1 && port.starts_with(b"0");
    if content.rsplit(|byte| *byte == b' ').take(2).any(lax) { Err(ProxyError::Addresses) } else { Ok(()) }
}

enum Match<'a> {
    /// The word, and what stands behind it.
    Whole(&'a [u8]),
    /// The beginning of the word and nothing else.
    Part,
    Other,
}

fn strip<'a>(bytes: &'a [u8], word: &[u8]) -> Match<'a> {
    match bytes.strip_prefix(word) {
        Some(rest) => Match::Whole(rest),
        None if word.starts_with(bytes) => Match::Part,
        None => Match::Other,
    }
}
