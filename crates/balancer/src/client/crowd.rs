//! Notices when nearly all clients seem to have one address, which means that a proxy stands before us and everything
//! that goes by the client's address goes by the proxy's.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::config::{Balance, Config, HashKey, ListenerConfig, RateKey, RouteConfig, UpstreamConfig};

/// How many connections are looked at together.
const WINDOW: u32 = 1000;

/// How many of them make a crowd.
const CROWD: u32 = WINDOW / 100 * 95;

/// Watches the clients of one listener. It remembers one address at a time: if nearly all connections come from one,
/// then the first of nearly every window does.
#[derive(Debug, Default)]
pub struct Crowd(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    first: Option<IpAddr>,
    seen: u32,
    same: u32,
    /// It is said once.
    said: bool,
}

impl Crowd {
    /// Takes the client of a new connection, and warns when it makes a crowd.
    pub fn note(&self, listener: &str, client: IpAddr) {
        if self.handle(client) {
            tracing::warn!(
                listener,
                %client,
                "at least {} % of the last {WINDOW} connections are of one address, while affinity or limits go by the \
                 client's address: they take all these for one client. If it is a proxy, set accept_proxy when it sends \
                 PROXY headers, or trusted when it sends X-Forwarded-For",
                CROWD * 100 / WINDOW,
            );
        }
    }

    /// Returns whether this client completes the first window that is a crowd.
    fn handle(&self, client: IpAddr) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.said {
            return false;
        }
        let first = *window.first.get_or_insert(client);
        window.seen += 1;
        window.same += u32::from(first == client);
        if window.seen < WINDOW {
            return false;
        }
        let is_crowd = window.same >= CROWD;
        *window = Window { said: is_crowd, ..Window::default() };
        is_crowd
    }
}

/// Returns whether anything of this listener goes by the client's address.
pub fn matters(config: &Config, listener: &ListenerConfig) -> bool {
    let here = |route: &&RouteConfig| route.listener.as_ref().is_none_or(|name| *name == listener.name);
    let mut limits = config.routes.iter().filter(here).flat_map(|route| &route.rate_limits);
    listener.max_connections_per_client > 0
        || listener.max_requests_per_client > 0
        || listener.max_upgrades_per_client > 0
        || limits.any(|limit| limit.per == RateKey::Client)
        || config.upstreams.iter().any(goes_by_address)
}

fn goes_by_address(upstream: &UpstreamConfig) -> bool {
    upstream.affinity.iter().any(|mode| mode.as_str() == "client")
        || match upstream.balance {
            Balance::Source => true,
            Balance::Hash => upstream.hash_key == HashKey::Client,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 | last).to_be_bytes())
    }

    #[test]
    fn nearly_all_of_one_address_are_a_crowd_once() {
        let crowd = Crowd::default();
        let said: Vec<u32> =
            (1..=3000).filter(|n| crowd.handle(if n % 20 == 0 { address(*n) } else { address(0) })).collect();
        assert_eq!(said, [1000]);
    }

    #[test]
    fn it_is_watched_for_where_something_goes_by_addresses() {
        let listener = ListenerConfig::new("web", "[::]:0".parse().unwrap());
        let watched = |balance, hash_key, listener: &ListenerConfig| {
            let upstream = UpstreamConfig { balance, hash_key, ..UpstreamConfig::new("app", vec![]) };
            matters(&Config { upstreams: vec![upstream], ..Config::default() }, listener)
        };
        assert!(!watched(Balance::LeastConn, HashKey::Client, &listener));
        assert!(!watched(Balance::Hash, HashKey::Path, &listener));
        assert!(watched(Balance::Hash, HashKey::Client, &listener));
        assert!(watched(Balance::Source, HashKey::Path, &listener));
        let limited = ListenerConfig { max_connections_per_client: 1, ..listener };
        assert!(watched(Balance::LeastConn, HashKey::Client, &limited));
    }

    #[test]
    fn fewer_are_none() {
        let crowd = Crowd::default();
        assert!((1..=10_000).all(|n| !crowd.handle(if n % 19 == 0 { address(n) } else { address(0) })));
        // A crowd that gathers later is seen too, though the window in which it does is mixed.
        assert!((1..=2000).any(|_| crowd.handle(address(0))));
    }
}
