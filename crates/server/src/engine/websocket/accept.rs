//! Decides which requests for a WebSocket are granted (RFC 6455 section 4.2), and what the answer says.

use http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Version};
use limpet_proto::websocket::deflate::Deflate;
use limpet_proto::websocket::handshake;

/// A granted request.
#[derive(Debug)]
pub(in crate::engine) struct Accepted {
    /// The headers of the 101.
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

/// Returns whether a request asks for a WebSocket.
pub(in crate::engine) fn is_upgrade(headers: &HeaderMap) -> bool {
    has_word(headers, &CONNECTION, "upgrade") && has_word(headers, &UPGRADE, "websocket")
}

/// Grants a request, or says what is wrong with it. With `offers_deflate` compression is agreed if the client wants it.
pub(in crate::engine) fn accept(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
    offers_deflate: bool,
) -> Result<Accepted, BadUpgrade> {
    if method != Method::GET || version != Version::HTTP_11 {
        return Err(BadUpgrade::Method);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| handshake::accept(key.to_str().ok()?));
    let key = key.and_then(|key| HeaderValue::try_from(key).ok()).ok_or(BadUpgrade::Key)?;
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(BadUpgrade::Version);
    }
    let mut response = HeaderMap::with_capacity(6);
    response.insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.insert(SEC_WEBSOCKET_ACCEPT, key);
    let deflate = headers.get(SEC_WEBSOCKET_EXTENSIONS).filter(|_| offers_deflate);
    let deflate = deflate.and_then(|offers| Deflate::accept(offers.to_str().ok()?));
    // Neither side keeps a window: 300 KiB for each of many idle clients is too much.
    let deflate = deflate.map(|agreed| Deflate { client_no_context_takeover: true, ..agreed });
    if let Some(value) = deflate.and_then(|agreed| HeaderValue::try_from(agreed.header()).ok()) {
        response.insert(SEC_WEBSOCKET_EXTENSIONS, value);
    }
    Ok(Accepted { headers: response, deflates: deflate.is_some() })
}

/// Returns whether one of the words of a list is this one, in any case.
fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(change: impl FnOnce(&mut HeaderMap)) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        change(&mut headers);
        headers
    }

    fn verdict(headers: &HeaderMap) -> Result<Accepted, BadUpgrade> {
        accept(&Method::GET, Version::HTTP_11, headers, true)
    }

    #[test]
    fn a_proper_request_is_granted() {
        let headers = request(|_| {});
        assert!(is_upgrade(&headers));
        let accepted = verdict(&headers).unwrap();
        assert_eq!(accepted.headers[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!accepted.deflates);
    }

    #[test]
    fn compression_is_agreed_without_windows() {
        let headers = request(|headers| {
            let offer = HeaderValue::from_static("permessage-deflate; client_max_window_bits");
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, offer);
        });
        let accepted = verdict(&headers).unwrap();
        assert!(accepted.deflates);
        let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(accepted.headers[SEC_WEBSOCKET_EXTENSIONS], agreed);
        assert!(!accept(&Method::GET, Version::HTTP_11, &headers, false).unwrap().deflates);
    }

    #[test]
    fn what_is_missing_is_named() {
        let headers = request(|headers| drop(headers.remove(SEC_WEBSOCKET_KEY)));
        assert_eq!(verdict(&headers).unwrap_err(), BadUpgrade::Key);
        let headers = request(|headers| drop(headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"))));
        assert_eq!(verdict(&headers).unwrap_err(), BadUpgrade::Version);
        let refused = accept(&Method::POST, Version::HTTP_11, &request(|_| {}), true).unwrap_err();
        assert_eq!(refused, BadUpgrade::Method);
        assert!(!is_upgrade(&request(|headers| drop(headers.insert(UPGRADE, HeaderValue::from_static("h2c"))))));
    }
}
