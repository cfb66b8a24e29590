//! Decides how answers look: their bodies, their headers, and whether they are compressed.

use std::io::Write as _;
use std::sync::LazyLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, SET_COOKIE, USER_AGENT,
    X_XSS_PROTECTION,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use limpet_proto::engineio::error::{JSON_CONTENT_TYPE, RAW_CONTENT_TYPE};
use memchr::memmem::Finder;

use super::head::Head;
use super::websocket::Asked;

/// What the engine answers with.
pub(super) type Answer = Response<Full<Bytes>>;

/// Makes an answer without a body.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}

/// Makes an answer with a body.
pub(super) fn with_body(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Makes the answer that refuses a request.
pub(super) fn refusal(status: StatusCode, code: u8, message: &str) -> Answer {
    let body = serde_json::json!({ "code": code, "message": message }).to_string();
    with_body(status, JSON_CONTENT_TYPE, body)
}

/// Makes the answer that refuses a WebSocket: the words alone, and the end of a connection that asked to become one.
pub(super) fn refused_upgrade(asked: Asked, message: String) -> Answer {
    let mut answer = with_body(StatusCode::BAD_REQUEST, RAW_CONTENT_TYPE, message);
    if asked == Asked::Upgrade {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// What browsers are named that would take an answer for a page (as Node does).
static OLD_BROWSERS: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| [b";MSIE".as_slice(), b"Trident/"].map(Finder::new));

/// Adds what every answer of the polling transport carries.
pub(super) fn put_polling_headers(request: &Head, response: &mut HeaderMap) {
    response.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let agent = request.get(&USER_AGENT).unwrap_or_default();
    if OLD_BROWSERS.iter().any(|word| word.find(agent).is_some()) {
        response.insert(X_XSS_PROTECTION, HeaderValue::from_static("0"));
    }
}

/// Adds the cookie.
pub(super) fn put_cookie(response: &mut HeaderMap, cookie: String) {
    if let Ok(value) = HeaderValue::try_from(cookie) {
        response.append(SET_COOKIE, value);
    }
}

/// A compression of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    /// The zlib format, which is what HTTP calls deflate.
    Deflate,
}

impl Coding {
    /// Chooses what the client likes best; `None` if that is no compression.
    pub(super) fn choose(request: &Head) -> Option<Self> {
        Self::choose_from(str::from_utf8(request.get(&ACCEPT_ENCODING)?).ok()?)
    }

    fn choose_from(accepted: &str) -> Option<Self> {
        let gzip = quality(accepted, "gzip");
        let deflate = quality(accepted, "deflate");
        match () {
            () if gzip == 0 && deflate == 0 => None,
            () if gzip >= deflate => Some(Self::Gzip),
            () => Some(Self::Deflate),
        }
    }

    /// Compresses a body; `None` if that fails.
    pub(super) fn compress(self, body: &[u8]) -> Option<Vec<u8>> {
        let out = Vec::with_capacity(body.len() / 2);
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, Compression::fast());
                encoder.write_all(body).ok()?;
                encoder.finish().ok()
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(out, Compression::fast());
                encoder.write_all(body).ok()?;
                encoder.finish().ok()
            }
        }
    }

    pub(super) fn header(self) -> (HeaderName, HeaderValue) {
        let name = match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        };
        (CONTENT_ENCODING, HeaderValue::from_static(name))
    }
}

/// Returns how much a coding is liked, in thousandths (RFC 9110 section 12.4.2).
fn quality(accepted: &str, coding: &str) -> u32 {
    let mut star = 0;
    for part in accepted.split(',') {
        let (name, parameters) = part.split_once(';').unwrap_or((part, ""));
        let weight = parameters.split(';').find_map(|parameter| {
            let value = parameter.trim().strip_prefix("q=").or_else(|| parameter.trim().strip_prefix("Q="))?;
            value.trim().parse::<f64>().ok()
        });
        // At most 1,000 of it.
        let weight = (weight.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u32;
        let name = name.trim();
        if name.eq_ignore_ascii_case(coding) {
            return weight;
        }
        if name == "*" {
            star = weight;
        }
    }
    star
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_the_coding() {
        let choose = Coding::choose_from;
        assert_eq!(choose("gzip, deflate, br"), Some(Coding::Gzip));
        assert_eq!(choose("deflate"), Some(Coding::Deflate));
        assert_eq!(choose("gzip;q=0.2, deflate;q=0.5"), Some(Coding::Deflate));
        assert_eq!(choose("*"), Some(Coding::Gzip));
        assert_eq!(choose("*, gzip;q=0"), Some(Coding::Deflate));
        for none in ["br", "", "identity", "gzip;q=0"] {
            assert_eq!(choose(none), None, "{none}");
        }
        assert_eq!(Coding::choose(&http::Request::new(()).into_parts().0.into()), None);
    }
}
