//! Whether a request is as a condition wants it. Nothing here allocates for a path in its ordinary spelling.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;

use limpet_proto::http1::headers;
use limpet_proto::http1::request_head::RequestHead;

use super::path;
use crate::config::{Condition, HeaderRule, HostRule, ValueRule};

/// What conditions look at.
pub(super) struct Asked<'h, 'b> {
    head: &'h RequestHead<'h, 'b>,
    /// The client's address, behind trusted proxies too.
    client: IpAddr,
    /// Made plain by the first condition that looks at it.
    path: OnceCell<Cow<'b, str>>,
}

impl<'h, 'b> Asked<'h, 'b> {
    pub(super) fn new(head: &'h RequestHead<'h, 'b>, client: IpAddr) -> Self {
        Self { head, client, path: OnceCell::new() }
    }

    /// Tells whether the request is as the condition wants it.
    pub(super) fn fulfils(&self, condition: &Condition) -> bool {
        match condition {
            Condition::All(all) => all.iter().all(|condition| self.fulfils(condition)),
            Condition::Any(any) => any.iter().any(|condition| self.fulfils(condition)),
            Condition::Not(condition) => !self.fulfils(condition),
            Condition::PathPrefix(prefix) => self.path().starts_with(prefix.as_str()),
            Condition::Path(path) => self.path() == path,
            Condition::Host(rule) => is_host(rule, self.head.authority()),
            Condition::Header(rule) => self.has_header(rule),
            Condition::Method(method) => self.head.method_token == method,
            Condition::Query { name, value } => {
                self.head.target.query().is_some_and(|query| has_parameter(query, name, value.as_deref()))
            }
            Condition::QueryPrefix(prefix) => {
                self.head.target.query().is_some_and(|query| query.starts_with(prefix.as_str()))
            }
            Condition::Source(networks) => networks.iter().any(|network| network.contains(&self.client)),
        }
    }

    fn path(&self) -> &str {
        self.path.get_or_init(|| path::normalized(self.head.target.path()))
    }

    fn has_header(&self, rule: &HeaderRule) -> bool {
        // The authority of an absolute target replaces the Host header, which leaves with it too.
        if rule.name.eq_ignore_ascii_case("host") {
            let authority = self.head.authority();
            return !authority.is_empty() && is_value(&rule.value, authority);
        }
        self.head.lines.named(&rule.name).any(|value| {
            is_value(&rule.value, value) || headers::list(value).any(|member| is_value(&rule.value, member))
        })
    }
}

fn is_value(rule: &ValueRule, value: &[u8]) -> bool {
    match rule {
        ValueRule::Present => true,
        ValueRule::Equal(wanted) => value.eq_ignore_ascii_case(wanted.as_bytes()),
        ValueRule::Prefix(prefix) => starts_with(value, prefix),
    }
}

fn is_host(rule: &HostRule, authority: &[u8]) -> bool {
    let host = without_port(authority);
    // A dot at the end makes a name absolute and means the same host.
    let host = host.strip_suffix(b".").unwrap_or(host);
    match rule {
        HostRule::Exact(name) => host.eq_ignore_ascii_case(name.as_bytes()),
        HostRule::Prefix(prefix) => starts_with(host, prefix),
        HostRule::Below(suffix) => {
            host.len() > suffix.len() && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix.as_bytes())
        }
    }
}

fn starts_with(value: &[u8], prefix: &str) -> bool {
    value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// Returns the host of an authority.
pub(super) fn without_port(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|byte| *byte == b':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some(at) if !authority[at..].contains(&b']') => &authority[..at],
        _ => authority,
    }
}

/// Tells whether a query has a parameter of this name, and of this value if there is one.
fn has_parameter(query: &str, name: &str, value: Option<&str>) -> bool {
    query.split('&').any(|parameter| {
        let (sent_name, sent_value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !parameter.is_empty() && is_encoded(sent_name, name) && value.is_none_or(|value| is_encoded(sent_value, value))
    })
}

/// Tells whether a part of a query is this text percent-encoded, with `+` for a space as in forms.
fn is_encoded(sent: &str, text: &str) -> bool {
    let mut rest = sent.as_bytes();
    for wanted in text.bytes() {
        let (byte, after) = match rest {
            [b'%', high, low, after @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', &rest[1..]),
            },
            [b'+', after @ ..] => (b' ', after),
            [byte, after @ ..] => (*byte, after),
            [] => return false,
        };
        if byte != wanted {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests;
