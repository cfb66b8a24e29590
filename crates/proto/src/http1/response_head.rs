//! Parses a response head and takes every decision that its bytes hold.

use super::body::Framing;
use super::head::{self, HeadError};
use super::headers::{self, ConnectionOptions, Known};
use super::request_head::{Lines, Slots};
use super::{Method, Version};

/// A valid response head.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'h, 'b> {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase as it arrived.
    pub reason: &'b str,
    /// The version of the message.
    pub version: Version,
    /// The header lines.
    pub lines: Lines<'h, 'b>,
    /// How the body ends.
    pub framing: Framing,
    /// What the Connection headers say.
    pub connection: ConnectionOptions,
    /// The seconds of `Keep-Alive: timeout=`.
    pub keep_alive_timeout: Option<u64>,
}

impl<'h, 'b> ResponseHead<'h, 'b> {
    /// Parses a whole head, as [`head::find_end`] delimits it, of the response to a request of this method.
    ///
    /// # Errors
    /// [`HeadError`] says what is wrong; nothing after such a head can be trusted.
    pub fn parse(bytes: &'b [u8], method: Method, slots: &'h mut Slots<'b>) -> Result<Self, HeadError> {
        let config = httparse::ParserConfig::default();
        let mut response = httparse::Response::new(&mut []);
        let parsed = config.parse_response_with_uninit_headers(&mut response, bytes, &mut slots.headers);
        let (status, minor) = match (parsed.map_err(head::from_httparse)?, response.code, response.version) {
            (httparse::Status::Complete(length), Some(status), Some(minor)) if length == bytes.len() => (status, minor),
            _ => return Err(HeadError::FirstLine),
        };
        let reason = response.reason.unwrap_or_default();
        let headers: &'h [httparse::Header<'b>] = response.headers;
        let version = if minor == 1 { Version::Http11 } else { Version::Http10 };

        let (mut length, mut chunked) = (None, false);
        let mut connection = ConnectionOptions::default();
        let mut keep_alive_timeout = None;
        for (kind, header) in slots.kinds.iter_mut().zip(headers) {
            *kind = Known::of(header.name);
            match kind {
                Known::ContentLength if length.replace(head::content_length(header.value)?).is_some() => {
                    return Err(HeadError::ContentLength);
                }
                Known::TransferEncoding => {
                    if chunked || version == Version::Http10 || !header.value.eq_ignore_ascii_case(b"chunked") {
                        return Err(HeadError::TransferEncoding);
                    }
                    chunked = true;
                }
                Known::Connection => connection.add(header.value),
                Known::KeepAlive => keep_alive_timeout = headers::keep_alive_timeout(header.value),
                _ => {}
            }
        }
        let framing = framing(method, status, length, chunked)?;
        let lines = Lines { bytes, headers, kinds: &slots.kinds[..headers.len()] };
        Ok(Self { status, reason, version, lines, framing, connection, keep_alive_timeout })
    }

    /// Returns whether the endpoint accepts further requests on its connection after this response.
    pub fn keeps_alive(&self) -> bool {
        let agreed = match self.version {
            Version::Http11 => !self.connection.close,
            Version::Http10 => self.connection.keep_alive && !self.connection.close,
        };
        agreed && self.framing != Framing::UntilClose
    }

    /// Returns whether this is an interim response, after which the real one follows (RFC 9110 section 15.2).
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

/// Decides how a response body ends (RFC 9112 section 6.3).
fn framing(method: Method, status: u16, length: Option<u64>, chunked: bool) -> Result<Framing, HeadError> {
    if length.is_some() && chunked {
        return Err(HeadError::LengthAndEncoding);
    }
    if method == Method::Head || matches!(status, 100..=199 | 204 | 304) {
        return Ok(Framing::Empty);
    }
    Ok(match (length, chunked) {
        (_, true) => Framing::Chunked,
        (Some(0), _) => Framing::Empty,
        (Some(length), _) => Framing::Length(length),
        (None, _) => Framing::UntilClose,
    })
}

#[cfg(test)]
mod tests;
