//! Whether a request is as a condition wants it. Nothing here allocates for a path in its ordinary spelling.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;

use limpet_proto::http1::request_head::RequestHead;

use super::path;
use crate::config::{Condition, HostRule};

/// What conditions look at.
pub(super) struct Asked<'h, 'b> {
    head: &'h RequestHead<'h, 'b>,
    /// The client's address, behind trusted proxies too.
    client: IpAddr,
    path: OnceCell<Cow<'b, str>>,
}

impl<'h, 'b> Asked<'h, 'b> {
    pub(super) fn new(head: &'h RequestHead<'h, 'b>, client: IpAddr) -> Self {
        Self { head, client, path: OnceCell::new() }
    }

    /// Tells whether the request is as the condition wants it.
    pub(super) fn fulfils(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Host(rule) => matches(rule, self.head.authority()),
            Condition::Uri(start) => self.head.target.path_and_query.starts_with(start.as_str()),
            Condition::PathPrefix(prefix) => self.path().starts_with(prefix.as_str()),
            Condition::Source(networks) => networks.iter().any(|network| network.contains(&self.client)),
            Condition::All(all) => all.iter().all(|condition| self.fulfils(condition)),
        }
    }

    fn path(&self) -> &str {
        self.path.get_or_init(|| path::normalized(self.head.target.path()))
    }
}

fn matches(rule: &HostRule, authority: &[u8]) -> bool {
    let host = without_port(authority);
    match rule {
        HostRule::Exact(name) => host.eq_ignore_ascii_case(name.as_bytes()),
        HostRule::Below(suffix) => {
            host.len() > suffix.len() && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix.as_bytes())
        }
    }
}

/// Returns the host of an authority.
pub(super) fn without_port(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|byte| *byte == b':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some(at) if !authority[at..].contains(&b']') => &authority[..at],
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_without_port_and_case() {
        let exact = HostRule::new("Example.com");
        assert!(matches(&exact, b"example.COM:8000") && !matches(&exact, b"a.example.com"));
        let below = HostRule::new("*.example.com");
        assert!(matches(&below, b"a.b.example.com") && !matches(&below, b"example.com"));
        assert!(matches(&HostRule::new("[::1]"), b"[::1]:80"));
    }
}
