//! The plain value of a cookie, as HAProxy writes it: `id`, `id|last` or `id|last|first`.
//!
//! A date is five digits of base64 for 30 bits that count units of 4 s since 1970.

use std::borrow::Cow;

use limpet_proto::http1::cookie::is_value;

use crate::upstream::endpoint::Endpoint;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const DATE_LEN: usize = 5;

/// Splits a value into the id and the times of last and first use in seconds since 1970; 0 where there is none.
pub(super) fn split(value: &[u8]) -> (&[u8], u32, u32) {
    let Some(bar) = memchr::memchr(b'|', value) else {
        return (value, 0, 0);
    };
    let (id, dates) = (&value[..bar], &value[bar + 1..]);
    let last = read_date(dates);
    let first = memchr::memchr(b'|', dates).map_or(0, |bar| read_date(&dates[bar + 1..]));
    (id, last, first)
}

/// Appends `|` and a date, rounded up to 4 s.
pub(super) fn write_date(seconds: u32, out: &mut String) {
    let units = seconds.saturating_add(3) >> 2;
    out.push('|');
    out.extend((0..DATE_LEN).rev().map(|digit| char::from(DIGITS[(units >> (6 * digit)) as usize & 63])));
}

/// Reads a date from the front; 0 if there is none.
fn read_date(text: &[u8]) -> u32 {
    let Some(digits) = text.get(..DATE_LEN) else { return 0 };
    let units = digits.iter().try_fold(0_u32, |units, digit| {
        let value = DIGITS.iter().position(|known| known == digit)?;
        Some(units << 6 | value as u32)
    });
    units.unwrap_or(0) << 2
}

/// Returns whether any endpoint has a plain id of its own; then those that have none get no cookie.
pub fn any_configured<'a>(endpoints: impl IntoIterator<Item = &'a std::sync::Arc<Endpoint>>) -> bool {
    endpoints.into_iter().any(|endpoint| endpoint.cookie().is_some())
}

/// Returns the plain id of an endpoint: its `cookie`, or its identity where no endpoint has one. `None` if it has none
/// that may stand in a cookie.
pub fn id(endpoint: &Endpoint, any_configured: bool) -> Option<Cow<'_, str>> {
    match endpoint.cookie() {
        Some(cookie) => Some(cookie).filter(|cookie| is_value(cookie.as_bytes())).map(Cow::Borrowed),
        None if any_configured => None,
        None => Some(Cow::Owned(endpoint.id().to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_haproxy() {
        // 2023-11-14 22:13:20 and what HAProxy 2.6 makes of it.
        let mut out = String::new();
        write_date(1_700_000_000, &mut out);
        assert_eq!(out, "|ZVPxA");
        assert_eq!(split(b"s1|ZVPxA|ZVPxB"), (&b"s1"[..], 1_700_000_000, 1_700_000_004));
        out.clear();
        write_date(1_700_000_001, &mut out);
        assert_eq!(out, "|ZVPxB", "dates are rounded up");
    }

    #[test]
    fn what_is_no_date_is_none() {
        for (value, id) in [
            (&b"s1"[..], &b"s1"[..]),
            (b"s1|", b"s1"),
            (b"s1|AAAA", b"s1"),
            (b"s1|!!!!!|!!!!!", b"s1"),
            (b"|", b""),
            (b"s1|AAAAA", b"s1"),
            (b"\xff|\xff\xff\xff\xff\xff", b"\xff"),
        ] {
            assert_eq!(split(value), (id, 0, 0), "{}", value.escape_ascii());
        }
    }
}
