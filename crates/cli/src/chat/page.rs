//! Decides what a chat node answers to requests that are not Socket.IO's: its pages, `/health` and `/headers`.
//!
//! All lies under `/sticky`, so that a balancer can route the chat by two prefixes, this and `/socket.io`.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use limpet_bus::Health;

/// A file of the page, within the binary.
struct Asset {
    path: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

macro_rules! asset {
    ($path:literal, $file:literal, $kind:expr) => {
        Asset { path: concat!("/sticky", $path), kind: $kind, content: include_bytes!(concat!("page/", $file)) }
    };
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

const ASSETS: [Asset; 11] = [
    asset!("", "index.html", HTML),
    asset!("/chat", "chat.html", HTML),
    asset!("/mypage", "chat.html", HTML),
    asset!("/entry.js", "entry.js", SCRIPT),
    asset!("/app.js", "app.js", SCRIPT),
    asset!("/talks.js", "talks.js", SCRIPT),
    asset!("/view.js", "view.js", SCRIPT),
    asset!("/style.css", "style.css", "text/css; charset=utf-8"),
    asset!("/limpet.svg", "limpet.svg", "image/svg+xml"),
    asset!("/socket.io.min.js", "socket.io.min.js", SCRIPT),
    asset!("/socket.io.LICENSE.txt", "socket.io.LICENSE.txt", TEXT),
];

/// What the pages may do: load their own files, and talk to where they came from.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Answers a request. `health` is asked for `/health`; if it is strict, being cut off is a failure.
pub(crate) fn answer<B>(
    request: &Request<B>,
    health: impl FnOnce() -> Health,
    is_strict: bool,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/" | "/sticky/" => {
            let mut response = text(StatusCode::FOUND, "/sticky\n");
            response.headers_mut().insert(LOCATION, HeaderValue::from_static("/sticky"));
            response
        }
        "/health" => {
            let health = health();
            // A node that is cut off still serves its users. If all say that they fail, none is left when the bus fails.
            let is_well = health.is_ok() || !is_strict;
            text(if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, format!("{health}\n"))
        }
        "/headers" => text(StatusCode::OK, arrived(request)),
        path => match ASSETS.iter().find(|asset| asset.path == path) {
            Some(asset) => page(asset, request),
            None => text(StatusCode::NOT_FOUND, "There is nothing here. The chat is at /sticky\n"),
        },
    }
}

fn page<B>(asset: &Asset, request: &Request<B>) -> Response<Full<Bytes>> {
    let mut hasher = DefaultHasher::new();
    asset.content.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let is_known = request.headers().get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let (status, content) =
        if is_known { (StatusCode::NOT_MODIFIED, &[][..]) } else { (StatusCode::OK, asset.content) };
    let mut response = respond(status, asset.kind, Bytes::from_static(content));
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    // Nodes of several versions may stand behind one balancer: then the newest page is asked for each time.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if asset.kind == HTML {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    }
    response
}

/// Writes the head of the request down, a line for each header. As plain text it needs no escape but for what is not text.
fn arrived<B>(request: &Request<B>) -> String {
    let mut lines = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
    for (name, value) in request.headers() {
        // Writing to a string does not fail.
        let _ = match value.to_str() {
            Ok(value) => writeln!(lines, "{name}: {value}"),
            Err(_) => writeln!(lines, "{name}: {}", value.as_bytes().escape_ascii()),
        };
    }
    lines
}

fn text(status: StatusCode, content: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = respond(status, TEXT, content.into());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn respond(status: StatusCode, kind: &'static str, content: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(content));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;
    use limpet_bus::health::State;

    use super::*;

    fn get(path: &str) -> (StatusCode, http::HeaderMap, String) {
        let request = Request::get(path).header("x-test", "<b>").header("x-raw", b"\xff\x00".get(..1).unwrap());
        let (parts, body) = answer(&request.body(()).unwrap(), Health::default, true).into_parts();
        let body = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(body.collect());
        let body = String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap();
        (parts.status, parts.headers, body)
    }

    #[test]
    fn every_file_that_a_page_names_is_there() {
        for page in ["/sticky", "/sticky/chat", "/sticky/mypage"] {
            let (status, headers, body) = get(page);
            assert_eq!(status, StatusCode::OK);
            assert_eq!(headers[CONTENT_SECURITY_POLICY], POLICY);
            for attribute in ["src=\"", "href=\""] {
                for named in body.split(attribute).skip(1) {
                    let path = named.split(['"', '?']).next().unwrap();
                    assert!(path.starts_with('#') || get(path).0 == StatusCode::OK, "{page} names {path}");
                }
            }
        }
    }

    #[test]
    fn an_unchanged_file_is_not_sent_again() {
        let (_, headers, _) = get("/sticky/app.js");
        let again = Request::get("/sticky/app.js").header(IF_NONE_MATCH, &headers[ETAG]).body(()).unwrap();
        assert_eq!(answer(&again, Health::default, false).status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn the_headers_are_shown_as_text() {
        let (_, headers, body) = get("/headers?x=1");
        assert_eq!(
            (headers[CONTENT_TYPE].to_str().unwrap(), &headers[X_CONTENT_TYPE_OPTIONS]),
            (TEXT, &HeaderValue::from_static("nosniff"))
        );
        assert_eq!(body, "GET /headers?x=1 HTTP/1.1\nx-test: <b>\nx-raw: \\xff\n");
    }

    #[test]
    fn a_node_that_is_cut_off_says_so_and_fails_only_if_told_to() {
        let cut_off = || {
            let mut health = Health::default();
            health.state = State::Degraded { reason: "Redis is gone".to_owned(), lasting: Duration::from_secs(3) };
            health
        };
        for (is_strict, status) in [(false, StatusCode::OK), (true, StatusCode::SERVICE_UNAVAILABLE)] {
            let response = answer(&Request::get("/health").body(()).unwrap(), cut_off, is_strict);
            assert_eq!(response.status(), status);
            let body = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(response.collect());
            assert_eq!(body.unwrap().to_bytes(), "degraded for 3 s: Redis is gone\n");
        }
    }

    #[test]
    fn other_paths_and_methods_are_refused() {
        assert_eq!(get("/").0, StatusCode::FOUND);
        assert_eq!(get("/health").2, "ok\n");
        assert_eq!(get("/sticky/../Cargo.toml").0, StatusCode::NOT_FOUND);
        let post = Request::post("/sticky").body(()).unwrap();
        assert_eq!(answer(&post, Health::default, false).status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
