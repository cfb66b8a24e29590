//! Finds where a head ends and names what can be wrong with one.

use memchr::memchr_iter;

/// The most header lines a head may have; more are refused with 431 (requests) or 502 (responses).
pub const MAX_HEADERS: usize = 100;

/// The longest request target in bytes; longer ones are refused with 414.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// A line ends in LF without CR (RFC 9112 section 2.2 allows to accept it; two parsers then disagree).
    #[error("a line ends without CR")]
    BareLf,
    /// The request line or status line is malformed.
    #[error("the first line is malformed")]
    FirstLine,
    /// The method is not a token.
    #[error("the method is not a token")]
    Method,
    /// CONNECT is not served.
    #[error("CONNECT is not served")]
    Connect,
    /// The request target is neither a path, an http URL nor `*`.
    #[error("the request target is malformed")]
    Target,
    /// The request target is longer than [`MAX_TARGET_BYTES`].
    #[error("the request target is longer than {MAX_TARGET_BYTES} bytes")]
    TargetTooLong,
    /// The version is neither HTTP/1.0 nor HTTP/1.1.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// A header line is malformed, folded, or holds a forbidden byte.
    #[error("a header line is malformed")]
    Header,
    /// More than [`MAX_HEADERS`] header lines.
    #[error("more than {MAX_HEADERS} header lines")]
    TooManyHeaders,
    /// HTTP/1.1 without Host, a repeated Host, or a Host that is no authority (RFC 9112 section 3.2).
    #[error("the Host header is missing, repeated or malformed")]
    Host,
    /// Content-Length is repeated, a list, or not a decimal number below 2^63.
    #[error("Content-Length is repeated or not a number")]
    ContentLength,
    /// Content-Length and Transfer-Encoding together (RFC 9112 section 6.3: request smuggling).
    #[error("Content-Length and Transfer-Encoding together")]
    LengthAndEncoding,
    /// Transfer-Encoding is repeated, or anything but `chunked`.
    #[error("the only accepted Transfer-Encoding is chunked, once")]
    TransferEncoding,
    /// Transfer-Encoding in HTTP/1.0, which does not know it (RFC 9112 section 6.1).
    #[error("Transfer-Encoding in HTTP/1.0")]
    EncodingInOldVersion,
    /// The Connection header names a header that is not the sender's to drop, such as Content-Length.
    #[error("Connection names a header that must not be dropped")]
    ConnectionOption,
    /// A WebSocket upgrade that carries a body.
    #[error("an upgrade must not have a body")]
    UpgradeWithBody,
}

impl HeadError {
    /// Returns the status and the reason phrase that a request with such a head is answered with.
    pub fn status(self) -> (u16, &'static str) {
        match self {
            Self::TargetTooLong => (414, "URI Too Long"),
            Self::TooManyHeaders => HEAD_TOO_LARGE,
            Self::Version => (505, "HTTP Version Not Supported"),
            Self::Connect => (405, "Method Not Allowed"),
            Self::TransferEncoding => (501, "Not Implemented"),
            _ => (400, "Bad Request"),
        }
    }
}

/// The status and the reason phrase for a request whose head has too many bytes or lines.
pub const HEAD_TOO_LARGE: (u16, &str) = (431, "Request Header Fields Too Large");

/// Looks for the end of the head that begins at `bytes[0]`; `from` is how far an earlier call has looked.
///
/// Returns the head's length including its empty line, or `None` when more bytes are needed.
///
/// # Errors
/// [`HeadError::BareLf`] as soon as a line ends in LF alone.
pub fn find_end(bytes: &[u8], from: usize) -> Result<Option<usize>, HeadError> {
    if from == 0 && is_one_head(bytes) { Ok(Some(bytes.len())) } else { search(bytes, from.min(bytes.len())) }
}

fn search(bytes: &[u8], from: usize) -> Result<Option<usize>, HeadError> {
    for at in memchr_iter(b'\n', &bytes[from..]).map(|at| at + from) {
        match bytes[..at] {
            [.., b'\r', b'\n', b'\r'] | [b'\r'] => return Ok(Some(at + 1)),
            [.., b'\r'] => {}
            _ => return Err(HeadError::BareLf),
        }
    }
    Ok(None)
}

/// Returns whether `bytes` are one whole head and nothing else, as most requests arrive; no for some heads that are.
///
/// One pass without branches, which the compiler makes vector code of, costs less than a search for each line's end.
fn is_one_head(bytes: &[u8]) -> bool {
    let Some(lines @ [first, second, ..]) = bytes.strip_suffix(b"\r\n") else { return false };
    // Every line ends in CR LF, and none but the last is empty.
    let is_odd = |((before, cr), lf): ((&u8, &u8), &u8)| (*lf == b'\n') & ((*cr != b'\r') | (*before == b'\n'));
    let windows = lines.iter().zip(&lines[1..]).zip(&lines[2..]);
    lines.ends_with(b"\r\n")
        && !matches!((first, second), (b'\n', _) | (_, b'\n'))
        && !windows.fold(false, |odd, window| odd | is_odd(window))
}

/// Returns whether `bytes`, the beginning of an incomplete head, can still become a request.
///
/// Catches TLS hellos, HTTP/2 prefaces of other protocols and binary noise before a whole head has to arrive. One CR alone may
/// become an empty line before the request line (RFC 9112 section 2.2).
pub fn may_begin_request(bytes: &[u8]) -> bool {
    const LONGEST_METHOD: usize = 24;
    let method = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    bytes == b"\r"
        || method.len() <= LONGEST_METHOD
            && method.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_'))
}

/// Maps the errors of the line parser to ours.
pub(super) fn from_httparse(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue | httparse::Error::NewLine => HeadError::Header,
        httparse::Error::TooManyHeaders => HeadError::TooManyHeaders,
        httparse::Error::Version => HeadError::Version,
        httparse::Error::Token | httparse::Error::Status => HeadError::FirstLine,
    }
}

/// Reads a Content-Length value: digits only, below 2^63 (RFC 9112 section 6.2).
pub(super) fn content_length(value: &[u8]) -> Result<u64, HeadError> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::ContentLength);
    }
    // At most 19 digits, which fit 64 bits.
    let length = value.iter().fold(0_u64, |length, digit| length * 10 + u64::from(digit - b'0'));
    if length > i64::MAX as u64 { Err(HeadError::ContentLength) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_from_any_earlier_position() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
        for from in 0..27 {
            assert_eq!(find_end(bytes, from), Ok(Some(27)), "from {from}");
        }
        for cut in 0..27 {
            assert_eq!(find_end(&bytes[..cut], 0), Ok(None), "cut {cut}");
        }
    }

    #[test]
    fn a_lone_head_is_found_as_any_other() {
        for length in 0..=9_u32 {
            for number in 0..3_usize.pow(length) {
                let text: Vec<u8> = (0..length).map(|at| b"a\r\n"[number / 3_usize.pow(at) % 3]).collect();
                assert_eq!(find_end(&text, 0), search(&text, 0), "{text:?}");
            }
        }
        assert!(is_one_head(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    }

    #[test]
    fn bare_lf_is_refused_at_once() {
        assert_eq!(find_end(b"GET / HTTP/1.1\nHost", 0), Err(HeadError::BareLf));
        assert_eq!(find_end(b"\n", 0), Err(HeadError::BareLf));
        assert_eq!(find_end(b"GET / HTTP/1.1\r\nA: b\r\n\n", 0), Err(HeadError::BareLf));
    }

    #[test]
    fn other_protocols_are_seen_at_their_first_bytes() {
        assert!(may_begin_request(b"GE"));
        assert!(may_begin_request(b"M-SEARCH /"));
        assert!(may_begin_request(b"\r"));
        assert!(!may_begin_request(b"\rG"));
        assert!(!may_begin_request(b"\x16\x03\x01\x02"));
        assert!(!may_begin_request(&[b'A'; 64]));
    }

    #[test]
    fn lengths_are_plain_decimal() {
        assert_eq!(content_length(b"0"), Ok(0));
        assert_eq!(content_length(b"9223372036854775807"), Ok(i64::MAX as u64));
        for bad in ["", "+1", "-1", "1 ", "0x1", "1,1", "9223372036854775808", "99999999999999999999"] {
            assert_eq!(content_length(bad.as_bytes()), Err(HeadError::ContentLength), "{bad}");
        }
    }
}
