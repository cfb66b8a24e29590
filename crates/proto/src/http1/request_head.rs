//! Parses a request head and takes every decision that its bytes hold.

use std::mem::MaybeUninit;

use super::body::Framing;
use super::head::{self, HeadError, MAX_HEADERS, MAX_TARGET_BYTES};
use super::headers::{self, ConnectionOptions, Known};
use super::{Method, Version};

/// Storage for the header lines of one head, on the caller's stack.
#[derive(Debug)]
pub struct Slots<'b> {
    pub(super) headers: [MaybeUninit<httparse::Header<'b>>; MAX_HEADERS],
    pub(super) kinds: [Known; MAX_HEADERS],
}

impl Slots<'_> {
    /// Makes empty storage.
    pub fn new() -> Self {
        Self { headers: [const { MaybeUninit::uninit() }; MAX_HEADERS], kinds: [Known::Other; MAX_HEADERS] }
    }
}

impl Default for Slots<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// The header lines of a head, in their order and spelling.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'h, 'b> {
    pub(super) bytes: &'b [u8],
    pub(super) headers: &'h [httparse::Header<'b>],
    pub(super) kinds: &'h [Known],
}

impl<'b> Lines<'_, 'b> {
    /// Returns the value of the first header of this kind.
    pub fn find(&self, kind: Known) -> Option<&'b [u8]> {
        self.kinds.iter().position(|known| *known == kind).map(|at| self.headers[at].value)
    }

    /// Returns the values of all headers of this kind.
    pub fn all(&self, kind: Known) -> impl DoubleEndedIterator<Item = &'b [u8]> {
        self.kinds.iter().zip(self.headers).filter(move |(known, _)| **known == kind).map(|(_, header)| header.value)
    }

    /// Returns the values of all headers of this name, ignoring case.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// Returns the length of the whole head in bytes.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Copies the lines as they are, without those that `drop` names and those that the Connection headers name.
    pub fn copy_without(&self, connection: ConnectionOptions, drop: impl Fn(Known) -> bool, out: &mut Vec<u8>) {
        let end = self.bytes.len() - 2;
        let start_of = |at: usize| match self.headers.get(at) {
            Some(header) => header.name.as_ptr() as usize - self.bytes.as_ptr() as usize,
            None => end,
        };
        let mut keep_from = start_of(0);
        for (at, (header, kind)) in self.headers.iter().zip(self.kinds).enumerate() {
            let dropped = drop(*kind)
                || (connection.names_headers && *kind != Known::Connection && self.is_named_by_connection(header.name));
            if dropped {
                out.extend_from_slice(&self.bytes[keep_from..start_of(at)]);
                keep_from = start_of(at + 1);
            }
        }
        out.extend_from_slice(&self.bytes[keep_from..end]);
    }

    fn is_named_by_connection(&self, name: &str) -> bool {
        self.all(Known::Connection).flat_map(headers::list).any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// What the first line of a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'b> {
    /// Path and query as they arrived, beginning with `/`, or `*`.
    pub path_and_query: &'b str,
    /// The authority of an absolute-form target; it replaces Host (RFC 9112 section 3.2.2).
    pub authority: Option<&'b str>,
}

impl<'b> Target<'b> {
    /// Returns the path without the query.
    pub fn path(&self) -> &'b str {
        self.split().0
    }

    /// Returns the query without its question mark.
    pub fn query(&self) -> Option<&'b str> {
        self.split().1
    }

    fn split(&self) -> (&'b str, Option<&'b str>) {
        match memchr::memchr(b'?', self.path_and_query.as_bytes()) {
            Some(at) => (&self.path_and_query[..at], Some(&self.path_and_query[at + 1..])),
            None => (self.path_and_query, None),
        }
    }
}

/// A valid request head.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'h, 'b> {
    /// The method, classified.
    pub method: Method,
    /// The method as it arrived.
    pub method_token: &'b str,
    /// What is asked for.
    pub target: Target<'b>,
    /// The version of the message.
    pub version: Version,
    /// The header lines.
    pub lines: Lines<'h, 'b>,
    /// How the body ends.
    pub framing: Framing,
    /// What the Connection headers say.
    pub connection: ConnectionOptions,
    /// Whether the request asks for the WebSocket protocol: GET, HTTP/1.1, `Connection: upgrade` and `Upgrade: websocket`.
    ///
    /// `Connection: upgrade` without Upgrade, as nginx sends it on every request, asks for nothing.
    pub upgrade: bool,
    /// Whether the client waits for a 100 before it sends its body.
    pub expects_continue: bool,
}

impl<'h, 'b> RequestHead<'h, 'b> {
    /// Parses a whole head, from its first byte to its empty line, as [`head::find_end`] delimits it.
    ///
    /// # Errors
    /// [`HeadError`] says what is wrong; nothing after such a head can be trusted.
    pub fn parse(bytes: &'b [u8], slots: &'h mut Slots<'b>) -> Result<Self, HeadError> {
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(bytes, &mut slots.headers).map_err(head::from_httparse);
        let (method_token, path, minor) = match (parsed, request.method, request.path, request.version) {
            (Ok(httparse::Status::Complete(length)), Some(method), Some(path), Some(minor))
                if length == bytes.len() =>
            {
                (method, path, minor)
            }
            (Ok(_), ..) => return Err(HeadError::FirstLine),
            (Err(error), ..) => return Err(first_line_error(error, bytes)),
        };
        let headers: &'h [httparse::Header<'b>] = request.headers;
        let version = if minor == 1 { Version::Http11 } else { Version::Http10 };
        if method_token == "CONNECT" {
            return Err(HeadError::Connect);
        }
        if path.len() > MAX_TARGET_BYTES {
            return Err(HeadError::TargetTooLong);
        }
        let target = target(path, method_token)?;

        let mut facts = Facts::default();
        for (kind, header) in slots.kinds.iter_mut().zip(headers) {
            *kind = Known::of(header.name);
            facts.add(*kind, header.value)?;
        }
        let framing = facts.framing(version)?;
        facts.check_host(version)?;
        if facts.connection.names_essential {
            return Err(HeadError::ConnectionOption);
        }
        let method = Method::of(method_token);
        let upgrade = facts.upgrades_to_websocket
            && facts.connection.upgrade
            && method == Method::Get
            && version == Version::Http11;
        if upgrade && framing != Framing::Empty {
            return Err(HeadError::UpgradeWithBody);
        }
        let lines = Lines { bytes, headers, kinds: &slots.kinds[..headers.len()] };
        let connection = facts.connection;
        let expects_continue = facts.expects_continue && version == Version::Http11 && framing != Framing::Empty;
        Ok(Self { method, method_token, target, version, lines, framing, connection, upgrade, expects_continue })
    }

    /// Returns whether the client wants to send further requests on its connection (RFC 9112 section 9.3).
    pub fn keeps_alive(&self) -> bool {
        match self.version {
            Version::Http11 => !self.connection.close,
            Version::Http10 => self.connection.keep_alive && !self.connection.close,
        }
    }

    /// Returns the authority that is asked for: of the target, else the Host header; with its port, if any.
    pub fn authority(&self) -> &'b [u8] {
        match self.target.authority {
            Some(authority) => authority.as_bytes(),
            None => self.lines.find(Known::Host).unwrap_or_default(),
        }
    }
}

/// What the headers of a request say about it as a whole.
#[derive(Default)]
struct Facts<'b> {
    host: Option<&'b [u8]>,
    length: Option<u64>,
    chunked: bool,
    connection: ConnectionOptions,
    upgrades_to_websocket: bool,
    expects_continue: bool,
}

impl<'b> Facts<'b> {
    fn add(&mut self, kind: Known, value: &'b [u8]) -> Result<(), HeadError> {
        match kind {
            Known::Host => match self.host.replace(value) {
                None if is_authority(value) => {}
                _ => return Err(HeadError::Host),
            },
            Known::ContentLength if self.length.replace(head::content_length(value)?).is_some() => {
                return Err(HeadError::ContentLength);
            }
            Known::TransferEncoding => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(HeadError::TransferEncoding);
                }
                self.chunked = true;
            }
            Known::Connection => self.connection.add(value),
            Known::Upgrade => {
                self.upgrades_to_websocket |= headers::list(value).any(|name| name.eq_ignore_ascii_case(b"websocket"));
            }
            Known::Expect => self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue"),
            _ => {}
        }
        Ok(())
    }

    fn framing(&self, version: Version) -> Result<Framing, HeadError> {
        match (self.length, self.chunked, version) {
            (Some(_), true, _) => Err(HeadError::LengthAndEncoding),
            (None, true, Version::Http10) => Err(HeadError::EncodingInOldVersion),
            (None, true, Version::Http11) => Ok(Framing::Chunked),
            (None | Some(0), false, _) => Ok(Framing::Empty),
            (Some(length), false, _) => Ok(Framing::Length(length)),
        }
    }

    fn check_host(&self, version: Version) -> Result<(), HeadError> {
        match (self.host, version) {
            (None, Version::Http11) => Err(HeadError::Host),
            _ => Ok(()),
        }
    }
}

/// The line parser blames the version for anything that follows the target; tell a wrong version from a wrong line.
fn first_line_error(error: HeadError, bytes: &[u8]) -> HeadError {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next().unwrap_or_default(), words.next(), words.next());
    match error {
        HeadError::Version if !version.is_some_and(|version| version.starts_with(b"HTTP/")) => HeadError::FirstLine,
        HeadError::FirstLine if !method.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') => {
            HeadError::Method
        }
        HeadError::FirstLine if target.is_some_and(|target| target.len() > MAX_TARGET_BYTES) => {
            HeadError::TargetTooLong
        }
        error => error,
    }
}

fn target<'b>(target: &'b str, method: &str) -> Result<Target<'b>, HeadError> {
    // Without a way out, so that the compiler looks at many bytes at once.
    if !target.bytes().fold(true, |sound, byte| sound & matches!(byte, 0x21..=0x7e) & (byte != b'#')) {
        return Err(HeadError::Target);
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok(Target { path_and_query: target, authority: None });
    }
    let scheme_end = [7, 8].into_iter().find(|end| {
        target
            .get(..*end)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://") || scheme.eq_ignore_ascii_case("https://"))
    });
    let rest = &target[scheme_end.ok_or(HeadError::Target)?..];
    let (authority, path_and_query) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path_and_query = match path_and_query {
        "" => "/",
        query if query.starts_with('?') => return Err(HeadError::Target),
        path => path,
    };
    if authority.is_empty() || !is_authority(authority.as_bytes()) {
        return Err(HeadError::Target);
    }
    Ok(Target { path_and_query, authority: Some(authority) })
}

/// Checks a host with optional port (RFC 3986 section 3.2.2), without user information; an empty one is allowed.
fn is_authority(authority: &[u8]) -> bool {
    let (host, port) = match authority {
        [b'[', rest @ ..] => match rest.iter().position(|byte| *byte == b']') {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => return false,
        },
        _ => authority.split_at(authority.iter().position(|byte| *byte == b':').unwrap_or(authority.len())),
    };
    let bracketed = authority.first() == Some(&b'[');
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%".contains(byte);
    authority.len() <= 512
        && host.iter().all(|byte| is_name(byte) || (bracketed && *byte == b':'))
        && match port {
            [] => true,
            [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
            _ => false,
        }
}

#[cfg(test)]
mod tests;
