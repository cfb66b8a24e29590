//! The response's side of a cookie: what it sets, and what becomes of a cookie of that name that the endpoint sets.

use std::fmt::Write as _;
use std::ops::Range;

use limpet_proto::http1::Method;
use limpet_proto::http1::cookie;
use limpet_proto::http1::headers::{self, Known};
use limpet_proto::http1::response_head::ResponseHead;

use super::plain;
use super::sealed::{self, CookieKeys, Place};
use super::{Cookie, Found, Said};
use crate::config::{CookieAffinity, CookieMode, CookieValue};
use crate::table::Seconds;
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;

/// The parts of a response's head that cookies depend on.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The endpoint that gave it.
    pub endpoint: &'a Endpoint,
    /// The upstream.
    pub upstream: &'a Upstream,
    /// The head as the endpoint wrote it.
    pub head: &'a ResponseHead<'a, 'a>,
    /// The method of the request.
    pub method: Method,
    /// Whether the request was bound by its sid, so that the cookie has no say in where it went.
    pub by_sid: bool,
    /// The keys of signed values.
    pub keys: &'a CookieKeys,
    /// The time, in seconds since the process began.
    pub now: Seconds,
    /// The time, in seconds since 1970.
    pub unix: u32,
}

/// What became of the cookie; HAProxy's second letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Done {
    /// Nothing was set.
    #[default]
    None,
    /// The endpoint set one, which was left alone.
    Provided,
    /// The endpoint set one, which was dropped.
    Deleted,
    /// The endpoint set one, whose value was changed.
    Rewritten,
    /// The balancer set one.
    Inserted,
    /// The balancer set one whose endpoint is the same and whose time is new.
    Updated,
}

impl Done {
    /// Returns HAProxy's letter.
    pub fn letter(self) -> char {
        match self {
            Self::None => 'N',
            Self::Provided => 'P',
            Self::Deleted => 'D',
            Self::Rewritten => 'R',
            Self::Inserted => 'I',
            Self::Updated => 'U',
        }
    }
}

/// Changes the client's head of a response, which ends with its empty line.
pub fn write(mode: &Cookie, said: &Said, answer: Answer<'_>, out: &mut Vec<u8>) -> Done {
    let config = mode.config();
    if let Some(learned) = mode.learned() {
        let set = answer.head.lines.all(Known::SetCookie).filter_map(cookie::set_pair);
        let mut done = Done::None;
        for pair in set.filter(|pair| pair.name == config.name.as_bytes()) {
            learned.learn(pair.value, answer.endpoint.id(), answer.now);
            done = Done::Provided;
        }
        return done;
    }
    let direct = said.endpoint == Some(answer.endpoint.id());
    let mut done = Done::None;
    if answer.head.lines.find(Known::SetCookie).is_some() {
        done = change_own(config, said, direct, answer, out);
    }
    if config.mode != CookieMode::Insert || !must_insert(config, said, direct, done, answer) {
        return done;
    }
    let value = value(config, said, answer);
    out.truncate(out.len() - 2);
    write_set_cookie(config, value.as_deref(), out);
    if config.nocache && is_cacheable(answer) {
        out.extend_from_slice(b"Cache-Control: private\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if value.is_some() && direct { Done::Updated } else { Done::Inserted }
}

/// Decides whether the client needs a new cookie: it has none for this endpoint, or one whose times must change.
fn must_insert(config: &CookieAffinity, said: &Said, direct: bool, done: Done, answer: Answer<'_>) -> bool {
    if done == Done::Provided && config.preserve || config.postonly && answer.method != Method::Post {
        return false;
    }
    if !direct {
        return !answer.by_sid;
    }
    let stale = said.last == 0 || said.last < answer.unix;
    match config.value {
        CookieValue::Plain => {
            (config.max_idle.is_some() || said.last != 0) && stale
                || config.max_life.is_some() && said.first == 0
                || config.max_life.is_none() && said.first != 0
        }
        CookieValue::Signed => said.old_key || config.max_idle.is_some() && stale,
    }
}

/// Makes the value for the endpoint; `None` if it has no id that could be written.
fn value(config: &CookieAffinity, said: &Said, answer: Answer<'_>) -> Option<String> {
    // The same rounding for both kinds, so that a page's requests do not all make a new one.
    let now = answer.unix.saturating_add(3) & !3;
    let first = if said.first == 0 { now } else { said.first };
    if config.value == CookieValue::Signed {
        let place = Place { name: &config.name, upstream: answer.upstream.name() };
        return Some(answer.keys.seal(place, sealed::Said { endpoint: answer.endpoint.id(), first, last: now }));
    }
    let any_configured =
        answer.endpoint.cookie().is_some() || plain::any_configured(answer.upstream.endpoints().iter());
    let mut value = plain::id(answer.endpoint, any_configured)?.into_owned();
    if config.mode == CookieMode::Insert && (config.max_idle.is_some() || config.max_life.is_some()) {
        plain::write_date(now, &mut value);
        if config.max_life.is_some() {
            plain::write_date(first, &mut value);
        }
    }
    Some(value)
}

/// Writes the Set-Cookie line; without a value one that makes the client forget its cookie. Attributes in HAProxy's order.
fn write_set_cookie(config: &CookieAffinity, value: Option<&str>, out: &mut Vec<u8>) {
    let mut line = format!("Set-Cookie: {}={}", config.name, value.unwrap_or_default());
    if value.is_none() {
        line.push_str("; Expires=Thu, 01-Jan-1970 00:00:01 GMT");
    }
    // Writing to a string cannot fail.
    let _ = write!(line, "; path={}", config.path);
    if let Some(domain) = &config.domain {
        let _ = write!(line, "; domain={domain}");
    }
    if config.http_only {
        line.push_str("; HttpOnly");
    }
    if config.secure {
        line.push_str("; Secure");
    }
    if let Some(same_site) = config.same_site {
        let _ = write!(line, "; SameSite={}", same_site.as_str());
    }
    if let Some(max_age) = config.max_age.filter(|_| value.is_some()) {
        let _ = write!(line, "; Max-Age={}", Seconds::lasting(max_age).0);
    }
    line.push_str("\r\n");
    out.extend_from_slice(line.as_bytes());
}

/// Drops or changes the cookies of this name that the endpoint sets.
fn change_own(config: &CookieAffinity, said: &Said, direct: bool, answer: Answer<'_>, out: &mut Vec<u8>) -> Done {
    let is_own = |header: &&[u8]| cookie::set_pair(header).is_some_and(|pair| pair.name == config.name.as_bytes());
    if !answer.head.lines.all(Known::SetCookie).any(|header| is_own(&header)) {
        return Done::None;
    }
    if config.preserve {
        return Done::Provided;
    }
    let drop = config.mode == CookieMode::Insert || direct && config.indirect;
    let value = if drop { None } else { value(config, said, answer) };
    if !drop && value.is_none() {
        return Done::Provided;
    }
    let head = std::mem::take(out);
    out.reserve(head.len() + 64);
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        match set_cookie_range(line, config.name.as_bytes()) {
            None => out.extend_from_slice(line),
            Some(_) if drop => {}
            Some(range) => {
                out.extend_from_slice(&line[..range.start]);
                out.extend_from_slice(value.as_deref().unwrap_or_default().as_bytes());
                if config.mode == CookieMode::Prefix {
                    out.push(b'~');
                    out.extend_from_slice(&line[range.start..]);
                } else {
                    out.extend_from_slice(&line[range.end..]);
                }
            }
        }
    }
    if drop { Done::Deleted } else { Done::Rewritten }
}

/// Returns where the value lies in a header line that sets the cookie of this name.
fn set_cookie_range(line: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let colon = memchr::memchr(b':', line)?;
    let (header, value) = (&line[..colon], &line[colon + 1..]);
    if !header.eq_ignore_ascii_case(b"set-cookie") {
        return None;
    }
    let value = value.strip_suffix(b"\r\n").unwrap_or(value);
    let pair = cookie::set_pair(value).filter(|pair| pair.name == name)?;
    Some(colon + 1 + pair.value_range.start..colon + 1 + pair.value_range.end)
}

/// Returns whether a cache could keep the response, as HAProxy decides it: by method, status, and what Cache-Control and
/// its relatives say.
fn is_cacheable(answer: Answer<'_>) -> bool {
    let lines = &answer.head.lines;
    let by_status = matches!(answer.head.status, 200 | 203 | 204 | 206 | 300 | 301 | 404 | 405 | 410 | 414 | 501);
    if !by_status || !matches!(answer.method, Method::Get | Method::Head) || lines.named("pragma").next().is_some() {
        return false;
    }
    let mut fresh = ["expires", "etag", "last-modified"].iter().any(|name| lines.named(name).next().is_some());
    for directive in lines.all(Known::CacheControl).flat_map(headers::list) {
        let is = |word: &[u8]| directive.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        if is(b"private")
            || is(b"no-cache")
            || is(b"no-store")
            || directive == b"max-age=0"
            || directive == b"s-maxage=0"
        {
            return false;
        }
        fresh |= is(b"max-age=") || is(b"s-maxage=");
    }
    fresh
}

/// Writes HAProxy's two letters.
pub fn letters(found: Found, done: Done) -> [char; 2] {
    [found.letter(), done.letter()]
}
