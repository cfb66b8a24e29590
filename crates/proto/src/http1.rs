//! HTTP/1.1 heads and body framing (RFC 9112), as strict as a proxy must be.
//!
//! A proxy and its endpoint must never disagree about where a message ends, so whatever RFC 9112 leaves to
//! leniency is refused here: Content-Length together with Transfer-Encoding, repeated lengths, bare LF,
//! obs-fold, Transfer-Encoding in HTTP/1.0, any transfer coding other than `chunked`.
//!
//! - [`head`] finds the end of a head and says what is wrong with one.
//! - [`request_head`] and [`response_head`] parse one and take every decision that its headers hold.
//! - [`headers`] classifies names and reads comma-separated lists.
//! - [`cookie`] reads cookies and changes single ones.
//! - [`body`] follows the framing of a body and yields its payload.

pub mod body;
pub mod cookie;
pub mod head;
pub mod headers;
pub mod request_head;
pub mod response_head;

/// The protocol version of a message; every other version is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunked bodies, connections close by default.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// A request method, as far as a proxy must tell methods apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET: safe, and what polls, handshakes and upgrades use.
    Get,
    /// HEAD: its response has no body.
    Head,
    /// OPTIONS: CORS preflights.
    Options,
    /// POST.
    Post,
    /// Any other token.
    Other,
}

impl Method {
    /// Classifies a method token; methods are case-sensitive (RFC 9110 section 9.1).
    pub fn of(token: &str) -> Self {
        match token {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "POST" => Self::Post,
            _ => Self::Other,
        }
    }

    /// Returns whether a request of this method changes nothing at its endpoint (RFC 9110 section 9.2.1).
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options)
    }
}
