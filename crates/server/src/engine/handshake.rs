//! Decides what of a session's first request stays known.
//!
//! Values of an HTTP library are slices of its read buffer, so that keeping one keeps 8 KiB. Everything is copied once into
//! one allocation, and turned into a map only when somebody asks.

use std::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::SystemTime;

use http::{HeaderMap, Uri};
use limpet_proto::engineio::{Transport, Version};

use super::head::{Head, map_of, pairs};
use super::query::Pairs;

/// What a client said in the request that opened its session.
pub struct Handshake {
    /// The request target, then the headers as lines.
    text: Box<[u8]>,
    uri_len: u32,
    address: SocketAddr,
    issued: SystemTime,
    version: Version,
    transport: Transport,
    secure: bool,
    jsonp: bool,
    base64: bool,
    headers: OnceLock<Box<HeaderMap>>,
    uri: OnceLock<Box<Uri>>,
}

/// What a [`Handshake`] is made of besides the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) address: SocketAddr,
    pub(super) version: Version,
    pub(super) transport: Transport,
    pub(super) secure: bool,
    pub(super) jsonp: bool,
    pub(super) base64: bool,
}

impl Handshake {
    pub(super) fn new(head: &Head, facts: Facts) -> Self {
        let target = head.target();
        let mut text = Vec::with_capacity(target.len() + head.lines_bytes());
        text.extend_from_slice(target);
        head.write_lines(&mut text);
        Self {
            uri_len: u32::try_from(target.len()).unwrap_or(0),
            text: text.into_boxed_slice(),
            address: facts.address,
            issued: SystemTime::now(),
            version: facts.version,
            transport: facts.transport,
            secure: facts.secure,
            jsonp: facts.jsonp,
            base64: facts.base64,
            headers: OnceLock::new(),
            uri: OnceLock::new(),
        }
    }

    /// Returns the headers. The map is built when it is first asked for and then kept, at about 100 bytes a header;
    /// [`header`](Self::header) costs no memory.
    pub fn headers(&self) -> &HeaderMap {
        self.headers.get_or_init(|| Box::new(map_of(self.lines())))
    }

    /// Returns the first header of this name, in any case, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = pairs(self.lines()).find(|(header, _)| header.eq_ignore_ascii_case(name.as_bytes()))?;
        str::from_utf8(value).ok()
    }

    fn lines(&self) -> &[u8] {
        self.text.get(self.uri_len as usize..).unwrap_or_default()
    }

    /// Returns path and query.
    pub fn uri(&self) -> &Uri {
        self.uri.get_or_init(|| Box::new(Uri::try_from(self.target()).unwrap_or_default()))
    }

    fn target(&self) -> &str {
        str::from_utf8(self.text.get(..self.uri_len as usize).unwrap_or_default()).unwrap_or_default()
    }

    /// Returns the value of a query parameter, decoded; the last one, as the reference server does.
    pub fn query(&self, name: &str) -> Option<String> {
        self.pairs().filter(|(key, _)| key == name).last().map(|(_, value)| value.into_owned())
    }

    /// Returns the parameters of the query, decoded, in their order.
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        self.pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }

    fn pairs(&self) -> Pairs<'_> {
        Pairs::new(self.target().split_once('?').map_or("", |(_, query)| query))
    }

    /// Returns the address of the client, or of the proxy in front of it; `0.0.0.0:0` if it is not known, see
    /// [`RemoteAddr`](super::RemoteAddr).
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns whether the connection was encrypted, see [`Secure`](super::Secure).
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Returns whether the request named an origin.
    pub fn is_cross_domain(&self) -> bool {
        self.header("origin").is_some()
    }

    /// Returns when the session began.
    pub fn issued(&self) -> SystemTime {
        self.issued
    }

    /// Returns the protocol version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the transport that the session began with.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns whether answers to polls are scripts (`j`).
    pub fn is_jsonp(&self) -> bool {
        self.jsonp
    }

    /// Returns whether the client takes no bytes over polling (`b64`).
    pub fn is_base64(&self) -> bool {
        self.base64
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("address", &self.address)
            .field("version", &self.version)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn gives_back_what_the_request_had() {
        let uri: Uri = "/socket.io/?EIO=4&transport=polling&name=J%C3%BCrgen+B&name=x%26y".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("origin", HeaderValue::from_static("http://a"));
        headers.append("x-many", HeaderValue::from_static("1"));
        headers.append("x-many", HeaderValue::from_static(""));
        let facts = Facts {
            address: SocketAddr::from(([127, 0, 0, 1], 9)),
            version: Version::V4,
            transport: Transport::Polling,
            secure: false,
            jsonp: false,
            base64: false,
        };
        let handshake = {
            let (mut parts, ()) = http::Request::new(()).into_parts();
            (parts.uri, parts.headers) = (uri.clone(), headers.clone());
            Handshake::new(&parts.into(), facts)
        };
        assert_eq!(handshake.uri(), &uri);
        assert_eq!(handshake.headers(), &headers);
        assert_eq!(handshake.header("X-Many"), Some("1"));
        assert_eq!(handshake.header("x-none"), None);
        assert!(handshake.is_cross_domain());
        assert_eq!(handshake.query("name").as_deref(), Some("x&y"));
        assert_eq!(handshake.query_pairs()[2], ("name".to_owned(), "Jürgen B".to_owned()));
    }
}
