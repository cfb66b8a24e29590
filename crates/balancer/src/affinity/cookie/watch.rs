//! Notices cookies that bind nobody: those that the application never sets, and those that browsers keep back.
//!
//! Each is said once. Until then a response costs one atomic operation, afterwards a look at a word that no longer
//! changes.

use std::net::IpAddr;
use std::str;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use limpet_proto::http1::headers::Known;
use limpet_proto::http1::request_head::RequestHead;

use super::Found;
use super::answer::{Answer, Done};
use crate::config::{CookieAffinity, CookieMode, SameSite};

/// After how many responses without the application's cookie it is said.
const ENOUGH: u32 = 100;

/// Stands for a count that is over: the cookie was seen, or its absence was said.
const OVER: u32 = u32::MAX;

/// What was seen of one cookie so far.
#[derive(Debug, Default)]
pub struct Watch {
    /// Responses without the cookie to requests without it.
    absent: AtomicU32,
    kept_back: AtomicBool,
}

impl Watch {
    /// Takes what became of the cookie in a response, and warns when the application seems never to set it.
    pub fn note_answer(&self, config: &CookieAffinity, found: Found, done: Done, answer: &Answer<'_>) {
        // Within a session the application has no reason to set it again, and in its errors it may not.
        let counts = config.mode != CookieMode::Insert && !answer.by_sid && answer.head.status < 400;
        if counts && self.handle(found != Found::None || done != Done::None) {
            let word = config.mode.as_str();
            tracing::warn!(
                upstream = answer.upstream.name(),
                cookie = config.name,
                "{ENOUGH} responses have not set the cookie, and no request had it: affinity by mode = {word:?} binds \
                 nobody. Engine.IO 4 (Socket.IO 3 and later) sets no cookie unless its server has the option cookie = \
                 {{ name: {:?} }}. Let the application set it, or write mode = \"insert\" or {{ by = \"sid\" }}",
                config.name
            );
        }
    }

    /// Takes whether the cookie was in a request or its response, and returns whether its absence is to be said now.
    fn handle(&self, seen: bool) -> bool {
        if self.absent.load(Ordering::Relaxed) == OVER {
            return false;
        }
        if seen {
            self.absent.store(OVER, Ordering::Relaxed);
            return false;
        }
        let is_enough = self.absent.fetch_add(1, Ordering::Relaxed) + 1 == ENOUGH;
        if is_enough {
            self.absent.store(OVER, Ordering::Relaxed);
        }
        is_enough
    }

    /// Takes a request without the cookie that the balancer inserts, and warns when a browser keeps it back because the
    /// page is of another site.
    pub fn note_request(&self, config: &CookieAffinity, upstream: &str, found: Found, request: &RequestHead<'_, '_>) {
        let may_be_kept_back = config.mode == CookieMode::Insert
            && config.same_site != Some(SameSite::None)
            && found == Found::None
            && !self.kept_back.load(Ordering::Relaxed);
        if !may_be_kept_back {
            return;
        }
        if let Some(origin) = other_site(request)
            && !self.kept_back.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                upstream,
                cookie = config.name,
                origin,
                "a page of another site asks, where browsers send only cookies with SameSite=None: it has no affinity by \
                 this one. Write same_site = \"none\" and secure = true, which needs HTTPS, or {{ by = \"sid\" }} first"
            );
        }
    }
}

/// Returns the host of the page that asks, if it is surely of another site than the host that is asked.
fn other_site<'a>(request: &RequestHead<'_, 'a>) -> Option<&'a str> {
    let origin = host(after_scheme(request.lines.find(Known::Origin)?)?)?;
    // A proxy before us may have written a Host of its own.
    let asked = [Some(request.authority()), request.lines.find(Known::XForwardedHost)];
    let is_same = |asked: &[u8]| host(asked).is_none_or(|asked| may_be_one_site(origin, asked));
    (!asked.into_iter().flatten().any(is_same)).then_some(origin)
}

fn after_scheme(origin: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', origin)?;
    origin.get(colon + 1..)?.strip_prefix(b"//")
}

/// Returns the host of an authority. What is no host is left alone, since it comes from anybody and goes to the log.
fn host(authority: &[u8]) -> Option<&str> {
    let end = match authority.first()? {
        b'[' => memchr::memchr(b']', authority)? + 1,
        _ => memchr::memchr(b':', authority).unwrap_or(authority.len()),
    };
    let host = authority.get(..end).filter(|host| (1..=253).contains(&host.len()))?;
    let fine = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
    host.iter().all(fine).then(|| str::from_utf8(host).ok()).flatten()
}

/// Tells whether two hosts may be of one site. Which suffixes are public is not known here, so two names that end with
/// the same two labels count as one.
fn may_be_one_site(one: &str, other: &str) -> bool {
    let is_name = |host: &str| !host.starts_with('[') && host.parse::<IpAddr>().is_err();
    let mut ends = one.rsplit('.').zip(other.rsplit('.')).take(2);
    let same_end = ends.all(|(a, b)| a.eq_ignore_ascii_case(b)) && one.contains('.') && other.contains('.');
    one.eq_ignore_ascii_case(other) || same_end && is_name(one) && is_name(other)
}

#[cfg(test)]
mod tests {
    use limpet_proto::http1::request_head::Slots;

    use super::*;

    #[test]
    fn absence_is_said_once_and_never_after_the_cookie_was_seen() {
        let watch = Watch::default();
        assert_eq!((0..1000).filter(|_| watch.handle(false)).count(), 1);
        let watch = Watch::default();
        assert_eq!((0..99).filter(|_| watch.handle(false)).count(), 0);
        assert!(!watch.handle(true));
        assert_eq!((0..1000).filter(|_| watch.handle(false)).count(), 0);
    }

    #[test]
    fn pages_of_another_site_are_told_by_their_origin() {
        for (lines, expected) in [
            ("Host: chat.example.com\r\n", None),
            ("Host: chat.example.com\r\nOrigin: https://chat.example.com\r\n", None),
            ("Host: chat.example.com:8443\r\nOrigin: https://www.Example.com:1\r\n", None),
            ("Host: localhost:3000\r\nOrigin: http://localhost:8000\r\n", None),
            ("Host: 10.0.0.1\r\nOrigin: http://10.0.0.1:8000\r\n", None),
            ("Host: [::1]:3000\r\nOrigin: http://[::1]:8000\r\n", None),
            ("Host: app01\r\nX-Forwarded-Host: chat.example.com\r\nOrigin: https://chat.example.com\r\n", None),
            ("Host: chat.example.com\r\nOrigin: null\r\n", None),
            ("Host: chat.example.com\r\nOrigin: https://bad host\r\n", None),
            ("Host: chat.example.com\r\nOrigin: https://shop.example.org\r\n", Some("shop.example.org")),
            ("Host: 10.0.0.1\r\nOrigin: http://11.0.0.1\r\n", Some("11.0.0.1")),
            ("Host: localhost:3000\r\nOrigin: http://127.0.0.1:3000\r\n", Some("127.0.0.1")),
        ] {
            let head = format!("GET / HTTP/1.1\r\n{lines}\r\n");
            let mut slots = Slots::new();
            let request = RequestHead::parse(head.as_bytes(), &mut slots).unwrap();
            assert_eq!(other_site(&request), expected, "{lines}");
        }
    }
}
