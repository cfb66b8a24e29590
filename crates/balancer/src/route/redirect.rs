//! Where a redirect sends a client.
//!
//! What a client sent becomes a part of a header line here, and of a URL that it follows. So the place holds nothing but
//! visible ASCII characters, and a redirect to a path never leaves the site, whatever the path looks like.

use std::net::IpAddr;

use limpet_proto::http1::request_head::RequestHead;

use super::condition::without_port;
use crate::config::{Piece, Place, Template};

/// Fills the template from a request; `None` when it needs a host and the request names none.
pub(super) fn place(template: &Template, head: &RequestHead<'_, '_>, client: IpAddr) -> Option<String> {
    let mut place = String::new();
    for piece in template.pieces() {
        match piece {
            Piece::Text(text) => place.push_str(text),
            Piece::Place(Place::Host | Place::Authority) if without_port(head.authority()).is_empty() => return None,
            Piece::Place(Place::Host) => push(without_port(head.authority()), &mut place),
            Piece::Place(Place::Authority) => push(head.authority(), &mut place),
            // `OPTIONS *` asks for no path.
            Piece::Place(Place::Path) if !head.target.path().starts_with('/') => place.push('/'),
            Piece::Place(Place::Path) => push(head.target.path().as_bytes(), &mut place),
            Piece::Place(Place::Query) => {
                if let Some(query) = head.target.query() {
                    place.push('?');
                    push(query.as_bytes(), &mut place);
                }
            }
            Piece::Place(Place::Client) => push(client.to_string().as_bytes(), &mut place),
            Piece::Place(Place::Endpoint) => {}
        }
    }
    let names_host = matches!(template.pieces().first(), Some(Piece::Text(text)) if text != "/" && !text.is_empty());
    Some(if names_host { place } else { within_site(&place) })
}

/// Appends what a client sent, percent-encoding what has no place in a URL (RFC 3986 section 2) and the backslash,
/// which browsers take for a slash.
fn push(sent: &[u8], place: &mut String) {
    for byte in sent {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0..=b' ' | 0x7f.. => {
                place.push_str(&format!("%{byte:02X}"));
            }
            byte => place.push(char::from(*byte)),
        }
    }
}

/// Makes one slash of several at the beginning: `//host` would name another site.
fn within_site(place: &str) -> String {
    format!("/{}", place.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use limpet_proto::http1::request_head::Slots;

    use super::*;

    fn redirected(template: &str, first_line: &str, host: &str) -> Option<String> {
        let head = format!("{first_line} HTTP/1.0\r\n{host}\r\n\r\n");
        let mut slots = Slots::new();
        let head = RequestHead::parse(head.as_bytes(), &mut slots).unwrap();
        place(&Template::for_redirect(template).unwrap(), &head, "192.0.2.1".parse().unwrap())
    }

    #[test]
    fn places_are_filled_from_the_request() {
        let host = "Host: a.test:8080";
        for (template, first_line, expected) in [
            ("https://%{host}%{path}%{query}", "GET /a/b?c=d&e", "https://a.test/a/b?c=d&e"),
            ("https://%{authority}%{path}%{query}", "GET /a/b?", "https://a.test:8080/a/b?"),
            ("https://b.test/x?from=%{client}", "GET /", "https://b.test/x?from=192.0.2.1"),
            ("https://b.test/x%{path}", "GET //a", "https://b.test/x//a"),
            ("https://%{host}%{path}", "OPTIONS *", "https://a.test/"),
            ("https://%{host}%{path}", "GET http://c.test/d", "https://c.test/d"),
            ("%{path}", "GET //evil.test/", "/evil.test/"),
            ("%{path}", "GET /\\evil.test/", "/%5Cevil.test/"),
            ("/%{path}", "GET /evil.test/", "/evil.test/"),
            ("/new%{path}", "GET //evil.test", "/new//evil.test"),
            ("%{path}%{query}", "GET /?\"<a>\"{}|^`", "/?%22%3Ca%3E%22%7B%7D%7C%5E%60"),
        ] {
            assert_eq!(redirected(template, first_line, host).as_deref(), Some(expected), "{template} {first_line}");
        }
        assert_eq!(redirected("https://%{host}%{path}", "GET /", "X: y"), None, "no host to go to");
    }

    #[test]
    fn no_byte_leaves_its_line() {
        let mut place = String::new();
        push(&(0..=255).collect::<Vec<u8>>(), &mut place);
        assert!(place.bytes().all(|byte| byte.is_ascii_graphic()), "{place}");
        assert!(place.starts_with("%00%01") && place.contains("%0D") && place.ends_with("%FF"));
    }
}
