//! Answers a route with `serve = "stats"`: who may see the numbers, and in which form.

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use limpet_proto::http1::Method;
use limpet_proto::http1::request_head::RequestHead;

use super::snapshot::Snapshot;
use super::{csv, html, json};
use crate::config::StatsPage;
use crate::request::local::LocalResponse;
use crate::shared::Shared;

/// In what form the numbers are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Html { refresh: bool },
    Csv,
    Json,
}

/// Answers a request of the page.
pub fn answer(page: &StatsPage, shared: &Shared, request: &RequestHead<'_, '_>) -> LocalResponse {
    let authorization = request.lines.named("authorization").next();
    if !may_see(page, authorization) {
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", quoted(&page.realm));
        return safe(LocalResponse::new(401))
            .with_header("WWW-Authenticate", challenge)
            .with_body("text/plain; charset=utf-8", "a user name and a password are needed\n");
    }
    if !matches!(request.method, Method::Get | Method::Head) {
        return safe(LocalResponse::new(405))
            .with_header("Allow", "GET, HEAD")
            .with_body("text/plain; charset=utf-8", "the page can only be read\n");
    }
    let snapshot = Snapshot::take(shared);
    match form(request.target.path_and_query) {
        Form::Csv => safe(LocalResponse::new(200)).with_body("text/plain; charset=utf-8", csv::write(&snapshot)),
        Form::Json => {
            let json = json::write(&snapshot, page.hide_version);
            safe(LocalResponse::new(200)).with_body("application/json", json)
        }
        Form::Html { refresh } => {
            let refresh = page.refresh.filter(|_| refresh);
            let place = place(request.target.query());
            let look = html::Look { hide_version: page.hide_version, refresh, place: &place };
            safe(LocalResponse::new(200))
                .with_header(
                    "Content-Security-Policy",
                    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'",
                )
                .with_body("text/html; charset=utf-8", html::write(&snapshot, look))
        }
    }
}

/// Adds what every answer of the page says: no copies, no guesses, no frames.
fn safe(response: LocalResponse) -> LocalResponse {
    response
        .with_header("Cache-Control", "no-store")
        .with_header("X-Content-Type-Options", "nosniff")
        .with_header("X-Frame-Options", "DENY")
        .with_header("Referrer-Policy", "no-referrer")
}

/// Returns the page's own place, relative to the path that was asked for, so that no path can lead elsewhere.
fn place(query: Option<&str>) -> String {
    format!("?{}", query.unwrap_or_default().split(';').next().unwrap_or_default())
}

/// Reads the form from what follows the page's own place, as HAProxy does: words behind semicolons.
fn form(target: &str) -> Form {
    let words = || target.split(';').skip(1);
    if words().any(|word| word == "csv") {
        Form::Csv
    } else if words().any(|word| word == "json") {
        Form::Json
    } else {
        Form::Html { refresh: words().all(|word| word != "norefresh") }
    }
}

/// Decides whether these credentials open the page. Takes as long for a wrong name as for a wrong password, however
/// much of it is right: what is compared are hashes, all of them, in constant time.
fn may_see(page: &StatsPage, authorization: Option<&[u8]>) -> bool {
    if page.auth.is_empty() {
        return true;
    }
    let given = authorization.and_then(credentials).unwrap_or_default();
    let given = digest::digest(&digest::SHA256, &given);
    page.auth.iter().fold(false, |opens, allowed| {
        let allowed = digest::digest(&digest::SHA256, allowed.as_bytes());
        opens | constant_time::verify_slices_are_equal(allowed.as_ref(), given.as_ref()).is_ok()
    })
}

/// Reads `user:password` from an Authorization header (RFC 7617).
fn credentials(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, encoded) = value.split_at_checked(6)?;
    scheme.eq_ignore_ascii_case(b"basic ").then(|| STANDARD.decode(encoded.trim_ascii()).ok())?
}

/// Escapes text for a quoted string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_behind_a_semicolon() {
        let page = |refresh| Form::Html { refresh };
        for (target, expected) in [
            ("/haproxy?stats", page(true)),
            ("/haproxy?stats;csv", Form::Csv),
            ("/haproxy?stats;norefresh;csv", Form::Csv),
            ("/haproxy?stats;json", Form::Json),
            ("/haproxy?stats;norefresh", page(false)),
            ("/haproxy?statscsv", page(true)),
            ("/haproxy?stats;csvx", page(true)),
            ("/stats;csv", Form::Csv),
            ("/stats?;csv", Form::Csv),
        ] {
            assert_eq!(form(target), expected, "{target}");
        }
    }

    #[test]
    fn links_lead_to_the_same_page() {
        for (query, expected) in
            [(None, "?"), (Some("stats"), "?stats"), (Some("stats;norefresh"), "?stats"), (Some(";csv"), "?")]
        {
            assert_eq!(place(query), expected, "{query:?}");
        }
    }

    #[test]
    fn only_whole_credentials_open() {
        let auth = ["123:123".to_owned(), "admin:a:b".to_owned()].to_vec();
        let page = StatsPage { auth, ..StatsPage::default() };
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text)).into_bytes();
        for (header, opens) in [
            (basic("123:123"), true),
            (basic("admin:a:b"), true),
            ([b"bAsIc  ".as_slice(), STANDARD.encode("123:123").as_bytes()].concat(), true),
            (basic("123:12"), false),
            (basic("123:1234"), false),
            (basic("admin:a"), false),
            (basic(""), false),
            (b"Basic".to_vec(), false),
            (b"Basic !!!".to_vec(), false),
            (b"Bearer MTIzOjEyMw==".to_vec(), false),
            (b"123:123".to_vec(), false),
        ] {
            assert_eq!(may_see(&page, Some(&header)), opens, "{}", header.escape_ascii());
        }
        assert!(!may_see(&page, None));
        assert!(may_see(&StatsPage::default(), None));
    }
}
