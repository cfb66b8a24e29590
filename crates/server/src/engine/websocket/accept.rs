//! Decides which requests for a WebSocket are granted, and what the answer says: upgrades of HTTP/1.1 (RFC 6455 section
//! 4.2) and extended CONNECT of HTTP/2 (RFC 8441).

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use limpet_proto::websocket::deflate::Deflate;
use limpet_proto::websocket::handshake;

use crate::engine::head::Head;

/// How a WebSocket is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Asked {
    /// The connection is to become one (HTTP/1.1).
    Upgrade,
    /// A stream of the connection is to become one (HTTP/2).
    Connect,
}

impl Asked {
    /// Returns how a request asks for a WebSocket; `None` if it does not.
    pub(in crate::engine) fn of(head: &Head) -> Option<Self> {
        if head.method() == Method::CONNECT {
            return head.protocol()?.as_str().eq_ignore_ascii_case("websocket").then_some(Self::Connect);
        }
        head.asks_for_websocket().then_some(Self::Upgrade)
    }

    /// Returns the status that grants it.
    pub(in crate::engine) fn status(self) -> StatusCode {
        match self {
            Self::Upgrade => StatusCode::SWITCHING_PROTOCOLS,
            Self::Connect => StatusCode::OK,
        }
    }
}

/// A granted request.
#[derive(Debug)]
pub(in crate::engine) struct Accepted {
    /// The headers of the answer.
    pub(in crate::engine) headers: HeaderMap,
    /// Whether compression was agreed.
    pub(in crate::engine) deflates: bool,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum BadUpgrade {
    Method,
    Key,
    Version,
}

impl BadUpgrade {
    /// Returns the words of the reference server.
    pub(in crate::engine) fn message(self) -> &'static str {
        match self {
            Self::Method => "Invalid HTTP method",
            Self::Key => "Missing or invalid Sec-WebSocket-Key header",
            Self::Version => "Missing or invalid Sec-WebSocket-Version header",
        }
    }
}

/// Grants a request, or says what is wrong with it. With `offers_deflate` compression is agreed if the client wants it.
pub(in crate::engine) fn accept(asked: Asked, head: &Head, offers_deflate: bool) -> Result<Accepted, BadUpgrade> {
    let text = |name| str::from_utf8(head.get(&name)?).ok();
    let mut response = HeaderMap::with_capacity(6);
    if asked == Asked::Upgrade {
        if head.method() != Method::GET || head.version() != Version::HTTP_11 {
            return Err(BadUpgrade::Method);
        }
        let key = text(SEC_WEBSOCKET_KEY).and_then(handshake::accept);
        let key = key.and_then(|key| HeaderValue::try_from(key).ok()).ok_or(BadUpgrade::Key)?;
        response.insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        response.insert(SEC_WEBSOCKET_ACCEPT, key);
    }
    if text(SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(BadUpgrade::Version);
    }
    if let Some(protocol) = text(SEC_WEBSOCKET_PROTOCOL).and_then(first_protocol) {
        response.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let deflate = text(SEC_WEBSOCKET_EXTENSIONS).filter(|_| offers_deflate).and_then(Deflate::accept);
    // Neither side keeps a window: 300 KiB for each of many idle clients is too much.
    let deflate = deflate.map(|agreed| Deflate { client_no_context_takeover: true, ..agreed });
    if let Some(value) = deflate.and_then(|agreed| HeaderValue::try_from(agreed.header()).ok()) {
        response.insert(SEC_WEBSOCKET_EXTENSIONS, value);
    }
    Ok(Accepted { headers: response, deflates: deflate.is_some() })
}

/// Returns the first of the protocols that a client offers. A client that offers some fails a connection that agrees to
/// none, and to us they mean nothing.
fn first_protocol(offered: &str) -> Option<HeaderValue> {
    let first = offered.split(',').next()?.trim();
    (!first.is_empty()).then(|| HeaderValue::from_str(first).ok())?
}

#[cfg(test)]
mod tests {
    use http::request::Parts;
    use hyper::ext::Protocol;

    use super::*;

    fn request(change: impl FnOnce(&mut Parts)) -> Head {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        let headers = &mut parts.headers;
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        change(&mut parts);
        parts.into()
    }

    fn verdict(head: &Head) -> Result<Accepted, BadUpgrade> {
        accept(Asked::of(head).unwrap(), head, true)
    }

    #[test]
    fn a_proper_request_is_granted() {
        let accepted = verdict(&request(|_| {})).unwrap();
        assert_eq!(accepted.headers[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!accepted.deflates);
    }

    #[test]
    fn compression_is_agreed_without_windows() {
        let parts = request(|parts| {
            let offer = HeaderValue::from_static("permessage-deflate; client_max_window_bits");
            parts.headers.insert(SEC_WEBSOCKET_EXTENSIONS, offer);
        });
        let accepted = verdict(&parts).unwrap();
        assert!(accepted.deflates);
        let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(accepted.headers[SEC_WEBSOCKET_EXTENSIONS], agreed);
        assert!(!accept(Asked::Upgrade, &parts, false).unwrap().deflates);
    }

    #[test]
    fn the_first_protocol_that_is_offered_is_agreed() {
        for (offered, agreed) in [("chat", Some("chat")), ("a.b, c", Some("a.b")), ("", None), (",x", None)] {
            let offered = HeaderValue::from_static(offered);
            let parts = request(|parts| drop(parts.headers.insert(SEC_WEBSOCKET_PROTOCOL, offered)));
            let accepted = verdict(&parts).unwrap();
            let protocol = accepted.headers.get(SEC_WEBSOCKET_PROTOCOL).map(|value| value.to_str().unwrap());
            assert_eq!(protocol, agreed);
        }
        assert!(!verdict(&request(|_| {})).unwrap().headers.contains_key(SEC_WEBSOCKET_PROTOCOL));
    }

    #[test]
    fn what_is_missing_is_named() {
        let parts = request(|parts| drop(parts.headers.remove(SEC_WEBSOCKET_KEY)));
        assert_eq!(verdict(&parts).unwrap_err(), BadUpgrade::Key);
        let parts = request(|parts| drop(parts.headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"))));
        assert_eq!(verdict(&parts).unwrap_err(), BadUpgrade::Version);
        assert_eq!(verdict(&request(|parts| parts.method = Method::POST)).unwrap_err(), BadUpgrade::Method);
        let other = request(|parts| drop(parts.headers.insert(UPGRADE, HeaderValue::from_static("h2c"))));
        assert_eq!(Asked::of(&other), None);
    }

    #[test]
    fn a_stream_of_http_2_needs_no_key() {
        let connect = |protocol: Option<&'static str>, version: &'static str| {
            let (mut parts, ()) = http::Request::new(()).into_parts();
            parts.method = Method::CONNECT;
            parts.version = Version::HTTP_2;
            parts.headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(version));
            if let Some(protocol) = protocol {
                parts.extensions.insert(Protocol::from_static(protocol));
            }
            parts.into()
        };
        assert_eq!(verdict(&connect(Some("websocket"), "13")).unwrap().headers, HeaderMap::new());
        assert_eq!(verdict(&connect(Some("websocket"), "8")).unwrap_err(), BadUpgrade::Version);
        assert_eq!(Asked::of(&connect(Some("connect-udp"), "13")), None);
        assert_eq!(Asked::of(&connect(None, "13")), None);
    }
}
