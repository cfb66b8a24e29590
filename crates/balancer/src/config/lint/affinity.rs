//! Whether sessions stay with their endpoint, and live as long as they should.

use std::net::IpAddr;
use std::time::Duration;

use super::super::journal::Journal;
use super::super::{Affinity, Condition, Config, CookieValue, HeaderRule, RouteConfig, UpstreamConfig, ValueRule};

/// pingInterval + pingTimeout of a Socket.IO server with its own defaults: the longest silence of a living session.
const HEARTBEAT: Duration = Duration::from_secs(45);

/// Polling is allowed, nothing binds its requests, and there are several endpoints or may be.
pub(super) fn affinity(config: &Config, upstream: &UpstreamConfig, journal: &mut Journal) {
    let mut routes = config.routes.iter().filter(|route| leads_to(route, upstream));
    if upstream.affinity.is_empty() && !has_one_address(upstream) && !routes.all(|route| is_for_websockets(&route.when))
    {
        journal.complain(
            &format!("upstream.{}.affinity", upstream.name),
            "nothing binds a session to its endpoint: with several of them, long polling fails with \"Session ID \
             unknown\". Write affinity = [{ by = \"sid\" }], unless this is not Socket.IO",
        );
    }
}

fn leads_to(route: &RouteConfig, upstream: &UpstreamConfig) -> bool {
    route.action.upstream() == Some(upstream.name.as_str())
}

fn has_one_address(upstream: &UpstreamConfig) -> bool {
    let by_itself = upstream.endpoints_file.is_none() && upstream.replicas.is_none();
    by_itself && matches!(upstream.endpoints.as_slice(), [only] if only.host.parse::<IpAddr>().is_ok())
}

/// Tells whether only requests for WebSockets are like this.
fn is_for_websockets(when: &Condition) -> bool {
    let value = ValueRule::Equal("websocket".to_owned());
    let upgrade = Condition::Header(HeaderRule { name: "Upgrade".to_owned(), value });
    let transport = Condition::Query { name: "transport".to_owned(), value: Some("websocket".to_owned()) };
    when.implies(&Condition::Any(vec![upgrade, transport]))
}

/// Plain ids that stand in no cookie and in no route.
pub(super) fn plain_ids(upstream: &UpstreamConfig, journal: &mut Journal) {
    let are_read = upstream.affinity.iter().any(|mode| match mode {
        Affinity::Cookie(cookie) => cookie.value == CookieValue::Plain,
        Affinity::StickySession(_) => true,
        _ => false,
    });
    let first = (1..).zip(&upstream.endpoints).find(|(_, endpoint)| endpoint.cookie.is_some());
    if let Some((n, _)) = first.filter(|_| !are_read) {
        journal.complain(
            &format!("upstream.{}.endpoints[{n}].cookie", upstream.name),
            "is read by no mode of affinity; add { by = \"cookie\", name = \"SERVERID\", value = \"plain\" } or \
             { by = \"stickysession\" } to affinity, or leave it out",
        );
    }
}

/// Timeouts that end sessions which are only silent.
pub(super) fn timeouts(upstream: &UpstreamConfig, journal: &mut Journal) {
    let timeouts = [
        ("response_timeout", upstream.response_timeout, "long polls are held for 25 s"),
        ("tunnel_timeout", upstream.tunnel_timeout, "a WebSocket may be silent for so long"),
    ];
    for (key, timeout, why) in timeouts {
        if timeout <= HEARTBEAT {
            let message = format!(
                "{timeout:?} is not longer than pingInterval + pingTimeout of Socket.IO, 45 s by default: {why}. It \
                 counts only until a handshake has told the server's own times; write \"60s\" or more",
            );
            journal.complain(&format!("upstream.{}.{key}", upstream.name), message);
        }
    }
}
