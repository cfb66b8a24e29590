//! Decides how a request is looked at, whoever has read it: an HTTP library, which has taken it apart, or our own listener,
//! which has its text.
//!
//! Of a text nothing is built that nobody asks for. Polls are many, and of their dozen headers three count.

use std::net::SocketAddr;
use std::sync::OnceLock;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_TYPE, UPGRADE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use limpet_proto::http1;
use limpet_proto::http1::headers::{Known, list};
use limpet_proto::http1::request_head::RequestHead;

use super::takeover::{Carrier, Takeover};
use super::{RemoteAddr, Secure};

/// A request as an [`Engine`](super::Engine) takes it. One of the `http` crate becomes one by `into()`, and the other way round.
#[derive(Debug)]
pub struct Request<B> {
    pub(crate) head: Head,
    pub(crate) body: B,
}

/// Everything of a request but its body.
#[derive(Debug)]
pub(crate) enum Head {
    Parts(Parts),
    Text(Text),
}

/// The headers that every poll is asked for. They are known by the time a head has been checked.
const ASKED: [Known; 3] = [Known::UserAgent, Known::ContentType, Known::AcceptEncoding];

/// Returns where a header stands in [`ASKED`].
fn place_in_asked(name: &HeaderName) -> Option<usize> {
    match *name {
        USER_AGENT => Some(0),
        CONTENT_TYPE => Some(1),
        ACCEPT_ENCODING => Some(2),
        _ => None,
    }
}

/// A head as it arrived, whose syntax has been checked.
#[derive(Debug)]
pub(crate) struct Text {
    bytes: Bytes,
    /// Where path and query are.
    target: (usize, usize),
    /// Where the header lines begin; they end before the empty line.
    lines: usize,
    /// Where the values of those headers are that every poll is asked for, in the order of [`ASKED`].
    asked: [Option<(usize, usize)>; ASKED.len()],
    method: Method,
    version: Version,
    /// Whether the Connection headers name `upgrade`.
    names_upgrade: bool,
    address: SocketAddr,
    takeover: Option<Takeover>,
    map: OnceLock<Box<HeaderMap>>,
}

impl Text {
    /// Keeps a head of a connection from this address; `takeover` is for who wants the connection. `None` if the method has
    /// a name that the `http` crate does not take.
    pub(crate) fn new(
        bytes: &[u8],
        head: &RequestHead<'_, '_>,
        address: SocketAddr,
        takeover: Option<Takeover>,
    ) -> Option<Self> {
        let place = |part: &[u8]| {
            let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
            (start, start + part.len())
        };
        Some(Self {
            bytes: Bytes::copy_from_slice(bytes),
            target: place(head.target.path_and_query.as_bytes()),
            lines: memchr::memchr(b'\n', bytes)? + 1,
            asked: ASKED.map(|known| head.lines.find(known).map(place)),
            method: Method::from_bytes(head.method_token.as_bytes()).ok()?,
            version: match head.version {
                http1::Version::Http10 => Version::HTTP_10,
                http1::Version::Http11 => Version::HTTP_11,
            },
            names_upgrade: head.connection.upgrade,
            address,
            takeover,
            map: OnceLock::new(),
        })
    }

    fn target(&self) -> &[u8] {
        self.part(self.target)
    }

    fn part(&self, (start, end): (usize, usize)) -> &[u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        if let Some(at) = place_in_asked(name) {
            return self.asked[at].map(|place| self.part(place));
        }
        let (_, value) = pairs(self.lines()).find(|(other, _)| other.eq_ignore_ascii_case(name.as_str().as_bytes()))?;
        Some(value)
    }

    fn lines(&self) -> &[u8] {
        self.bytes.get(self.lines..self.bytes.len().saturating_sub(2)).unwrap_or_default()
    }

    fn map(&self) -> &HeaderMap {
        self.map.get_or_init(|| Box::new(map_of(self.lines())))
    }
}

impl Head {
    pub(crate) fn method(&self) -> &Method {
        match self {
            Self::Parts(parts) => &parts.method,
            Self::Text(text) => &text.method,
        }
    }

    pub(super) fn version(&self) -> Version {
        match self {
            Self::Parts(parts) => parts.version,
            Self::Text(text) => text.version,
        }
    }

    /// Returns path and query.
    pub(crate) fn target(&self) -> &[u8] {
        match self {
            Self::Parts(parts) => parts.uri.path_and_query().map_or(b"/", |target| target.as_str().as_bytes()),
            Self::Text(text) => text.target(),
        }
    }

    /// Returns the query without its question mark.
    pub(super) fn query(&self) -> &str {
        let target = self.target();
        let query = memchr::memchr(b'?', target).and_then(|at| target.get(at + 1..)).unwrap_or_default();
        // The target of either kind is ASCII, or was a text before.
        str::from_utf8(query).unwrap_or_default()
    }

    /// Returns the first header of this name.
    pub(super) fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        match self {
            Self::Parts(parts) => parts.headers.get(name).map(HeaderValue::as_bytes),
            Self::Text(text) => text.get(name),
        }
    }

    /// Returns the headers. For a text they are built when they are first asked for.
    pub(super) fn headers(&self) -> &HeaderMap {
        match self {
            Self::Parts(parts) => &parts.headers,
            Self::Text(text) => text.map(),
        }
    }

    /// Returns how many bytes [`write_lines`](Self::write_lines) appends.
    pub(super) fn lines_bytes(&self) -> usize {
        match self {
            Self::Parts(parts) => parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum(),
            Self::Text(text) => text.lines().len(),
        }
    }

    /// Appends the headers as lines.
    pub(super) fn write_lines(&self, out: &mut Vec<u8>) {
        match self {
            Self::Parts(parts) => {
                for (name, value) in &parts.headers {
                    for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                        out.extend_from_slice(piece);
                    }
                }
            }
            Self::Text(text) => out.extend_from_slice(text.lines()),
        }
    }

    /// Returns whether the request asks for the connection to become a WebSocket (HTTP/1.1).
    pub(super) fn asks_for_websocket(&self) -> bool {
        let has = |value: &[u8], word: &str| list(value).any(|one| one.eq_ignore_ascii_case(word.as_bytes()));
        match self {
            Self::Parts(parts) => {
                let has_word = |name, word| {
                    parts.headers.get_all(name).iter().any(|value: &HeaderValue| has(value.as_bytes(), word))
                };
                has_word(CONNECTION, "upgrade") && has_word(UPGRADE, "websocket")
            }
            Self::Text(text) => {
                let is_upgrade = |name: &[u8]| name.eq_ignore_ascii_case(UPGRADE.as_str().as_bytes());
                text.names_upgrade
                    && pairs(text.lines()).any(|(name, value)| is_upgrade(name) && has(value, "websocket"))
            }
        }
    }

    /// Returns what the stream is to become (HTTP/2).
    pub(super) fn protocol(&self) -> Option<&Protocol> {
        match self {
            Self::Parts(parts) => parts.extensions.get(),
            Self::Text(_) => None,
        }
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Parts(parts) => parts.extensions.get::<RemoteAddr>().map(|address| address.0),
            Self::Text(text) => Some(text.address),
        }
    }

    pub(super) fn is_secure(&self) -> bool {
        match self {
            Self::Parts(parts) => parts.extensions.get::<Secure>().is_some(),
            Self::Text(_) => false,
        }
    }

    /// Takes what gives the connection, or the stream of it, to who has granted an upgrade.
    pub(super) fn take_carrier(&mut self) -> Option<Carrier> {
        match self {
            Self::Parts(parts) => {
                let own = parts.extensions.remove().map(Carrier::Own);
                own.or_else(|| parts.extensions.remove::<OnUpgrade>().map(Carrier::Hyper))
            }
            Self::Text(text) => text.takeover.take().map(Carrier::Own),
        }
    }
}

impl From<Parts> for Head {
    fn from(parts: Parts) -> Self {
        Self::Parts(parts)
    }
}

impl<B> From<http::Request<B>> for Request<B> {
    fn from(request: http::Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        Self { head: Head::Parts(parts), body }
    }
}

impl<B> From<Request<B>> for http::Request<B> {
    fn from(Request { head, body }: Request<B>) -> Self {
        let text = match head {
            Head::Parts(parts) => return Self::from_parts(parts, body),
            Head::Text(text) => text,
        };
        let mut request = Self::new(body);
        // Ours is stricter about targets.
        *request.uri_mut() = Uri::try_from(text.target()).unwrap_or_default();
        *request.version_mut() = text.version;
        *request.headers_mut() = map_of(text.lines());
        *request.method_mut() = text.method;
        request.extensions_mut().insert(RemoteAddr(text.address));
        if let Some(takeover) = text.takeover {
            request.extensions_mut().insert(takeover);
        }
        request
    }
}

/// Returns names and values of header lines.
pub(super) fn pairs(mut lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', lines)?;
        let (line, behind) = (lines.get(..end)?, lines.get(end + 1..)?);
        lines = behind;
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((line.get(..colon)?, line.get(colon + 1..)?.trim_ascii()))
    })
}

/// Builds a map of header lines.
pub(super) fn map_of(lines: &[u8]) -> HeaderMap {
    let pairs = pairs(lines)
        .filter_map(|(name, value)| Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?)));
    pairs.collect()
}
