//! Which upstream a request goes to: the first route whose conditions all hold.

use std::borrow::Cow;
use std::sync::Arc;

use limpet_proto::http1::request_head::RequestHead;

use crate::config::RouteConfig;
use crate::upstream::Upstream;

/// All routes, in order.
#[derive(Debug)]
pub struct Routes {
    routes: Vec<Route>,
    upstreams: Vec<Arc<Upstream>>,
}

#[derive(Debug)]
struct Route {
    listener: Option<usize>,
    host: Option<HostRule>,
    path_prefix: Option<String>,
    upstream: Arc<Upstream>,
}

#[derive(Debug)]
enum HostRule {
    Exact(String),
    /// Every name that ends with this, which begins with a dot.
    Below(String),
}

impl Routes {
    /// Joins the configured routes with the upstreams and listeners that they name.
    ///
    /// # Errors
    /// The name that is unknown.
    pub fn new(configs: &[RouteConfig], upstreams: Vec<Arc<Upstream>>, listeners: &[String]) -> Result<Self, String> {
        let routes = configs.iter().map(|config| {
            let upstream = upstreams.iter().find(|upstream| upstream.name() == config.upstream);
            let listener = match &config.listener {
                Some(name) => Some(listeners.iter().position(|listener| listener == name).ok_or_else(|| name.clone())?),
                None => None,
            };
            Ok(Route {
                listener,
                host: config.host.as_deref().map(HostRule::new),
                path_prefix: config.path_prefix.clone(),
                upstream: Arc::clone(upstream.ok_or_else(|| config.upstream.clone())?),
            })
        });
        Ok(Self { routes: routes.collect::<Result<_, String>>()?, upstreams })
    }

    /// Returns the upstreams.
    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// Finds the upstream for a request.
    pub fn find(&self, listener: usize, request: &RequestHead<'_, '_>) -> Option<Arc<Upstream>> {
        let matches = |route: &&Route| {
            route.listener.is_none_or(|of_route| of_route == listener)
                && route.host.as_ref().is_none_or(|rule| rule.matches(request.authority()))
                && route
                    .path_prefix
                    .as_ref()
                    .is_none_or(|prefix| normalized(request.target.path()).starts_with(prefix.as_str()))
        };
        self.routes.iter().find(matches).map(|route| Arc::clone(&route.upstream))
    }
}

impl HostRule {
    fn new(rule: &str) -> Self {
        match rule.strip_prefix('*') {
            Some(suffix) => Self::Below(suffix.to_ascii_lowercase()),
            None => Self::Exact(rule.to_ascii_lowercase()),
        }
    }

    fn matches(&self, authority: &[u8]) -> bool {
        let host = without_port(authority);
        match self {
            Self::Exact(name) => host.eq_ignore_ascii_case(name.as_bytes()),
            Self::Below(suffix) => {
                host.len() > suffix.len() && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix.as_bytes())
            }
        }
    }
}

fn without_port(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|byte| *byte == b':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some(at) if !authority[at..].contains(&b']') => &authority[..at],
        _ => authority,
    }
}

/// Reads a path as its endpoint may: escapes of plain characters decoded, empty and dot segments resolved (RFC 3986
/// section 6.2.2). Only for matching, so that no spelling of a path escapes its route; the path travels as it is.
fn normalized(path: &str) -> Cow<'_, str> {
    if !path.contains('%') && !path.contains("/.") && !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let decoded = decode(path);
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/').filter(|segment| !segment.is_empty()) {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let ends_open = decoded.ends_with('/') || decoded.ends_with("/.") || decoded.ends_with("/..");
    let mut normalized = format!("/{}", segments.join("/"));
    if ends_open && normalized.len() > 1 {
        normalized.push('/');
    }
    Cow::Owned(normalized)
}

fn decode(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let byte = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte @ 0x21..=0x7e) => {
                decoded.push(char::from(byte));
                rest = &rest[at + 3..];
            }
            _ => {
                decoded.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    decoded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_escapes_a_route() {
        for (path, read_as) in [
            ("/socket.io/", "/socket.io/"),
            ("/a/../socket.io/", "/socket.io/"),
            ("//socket.io//", "/socket.io/"),
            ("/%73ocket.io", "/socket.io"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/%2e./b/.", "/b/"),
            ("/../../x", "/x"),
            ("/%zz%4", "/%zz%4"),
            ("/..", "/"),
        ] {
            assert_eq!(normalized(path), read_as, "{path}");
        }
    }

    #[test]
    fn hosts_match_without_port_and_case() {
        let exact = HostRule::new("Example.com");
        assert!(exact.matches(b"example.COM:8000") && !exact.matches(b"a.example.com"));
        let below = HostRule::new("*.example.com");
        assert!(below.matches(b"a.b.example.com") && !below.matches(b"example.com"));
        assert!(HostRule::new("[::1]").matches(b"[::1]:80"));
    }
}
