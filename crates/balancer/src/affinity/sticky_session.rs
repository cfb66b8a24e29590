//! Apache's `stickysession`: a route behind a separator, in a path or query parameter or else in a cookie.

use limpet_proto::http1::cookie;
use limpet_proto::http1::headers::Known;
use limpet_proto::http1::request_head::RequestHead;

use super::cookie::answer::Answer;
use super::cookie::{Surroundings, find_plain, plain};
use super::modes::Named;
use crate::config::StickySessionAffinity;
use crate::upstream::endpoint::EndpointId;

/// Returns the endpoint whose route the request names.
pub(super) fn read(config: &StickySessionAffinity, request: &RequestHead<'_, '_>, around: Surroundings<'_>) -> Named {
    let value = parameter(request.target.path_and_query.as_bytes(), config.name.as_bytes())
        .or_else(|| in_cookie(config, request));
    let route = value.and_then(|value| {
        let separator = memchr::memchr(config.separator, value)?;
        Some(&value[separator + 1..]).filter(|route| !route.is_empty())
    });
    route.map_or(Named::Nothing, |route| find_plain(route, around))
}

/// Sets the cookie where the request's route is absent or not that of the endpoint: what Apache's users do by
/// `Header add Set-Cookie "NAME=sticky.%{BALANCER_WORKER_ROUTE}e; path=/" env=BALANCER_ROUTE_CHANGED`.
pub(super) fn write(config: &StickySessionAffinity, said: Option<EndpointId>, answer: Answer<'_>, out: &mut Vec<u8>) {
    if !config.set_cookie || answer.by_sid || said == Some(answer.endpoint.id()) {
        return;
    }
    let any_configured = plain::any_configured(answer.upstream.endpoints().iter());
    let Some(route) = plain::id(answer.endpoint, any_configured) else { return };
    out.truncate(out.len() - 2);
    let line = format!("Set-Cookie: {}=sticky{}{route}; path=/\r\n\r\n", config.name, char::from(config.separator));
    out.extend_from_slice(line.as_bytes());
}

/// Finds `name=value` behind a `;`, `?` or `&` of a target; the value ends at the next of them, or at a slash.
fn parameter<'a>(target: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut parts = target.split(|byte| matches!(byte, b';' | b'?' | b'&' | b'/'));
    parts.find_map(|part| part.strip_prefix(name)?.strip_prefix(b"=")).filter(|value| !value.is_empty())
}

/// Finds the first cookie of this name, whose value ends at a comma too. An empty one hides those behind it.
fn in_cookie<'a>(config: &StickySessionAffinity, request: &RequestHead<'_, 'a>) -> Option<&'a [u8]> {
    let mut pairs = request.lines.all(Known::Cookie).flat_map(cookie::pairs);
    let pair = pairs.find(|pair| pair.name == config.name.as_bytes())?;
    pair.value.split(|byte| *byte == b',').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_stand_in_the_path_or_the_query() {
        for (target, expected) in [
            ("/socket.io/;SERVERID=x.app01?EIO=4", Some("x.app01")),
            ("/a;SERVERID=x.app01/b", Some("x.app01")),
            ("/socket.io/?EIO=4&SERVERID=x.app01&t=1", Some("x.app01")),
            ("/?SERVERID=x.app01;y", Some("x.app01")),
            ("/?XSERVERID=x.app01", None),
            ("/?serverid=x.app01", None),
            ("/?SERVERID=", None),
            ("/?SERVERID", None),
            ("/;SERVERID=a.1?SERVERID=b.2", Some("a.1")),
        ] {
            let found =
                parameter(target.as_bytes(), b"SERVERID").map(|value| String::from_utf8_lossy(value).into_owned());
            assert_eq!(found.as_deref(), expected, "{target}");
        }
    }
}
