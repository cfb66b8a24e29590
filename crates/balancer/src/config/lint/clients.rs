//! Whether the addresses of clients are seen, and can be believed.

use std::net::IpAddr;

use super::super::journal::Journal;
use super::super::{AcceptProxy, Affinity, Balance, Config, HashKey, ListenerConfig, RateKey, UpstreamConfig};

/// What goes by the client's address where all clients seem to share one.
pub(super) fn addresses(config: &Config, journal: &mut Journal) {
    for listener in &config.listeners {
        for (key, most) in [
            ("max_connections_per_client", listener.max_connections_per_client),
            ("max_requests_per_client", listener.max_requests_per_client as usize),
            ("max_upgrades_per_client", listener.max_upgrades_per_client as usize),
        ] {
            // A connection is the proxy's, whatever the requests in it say.
            let trusts = listener.accept_proxy == AcceptProxy::Off && !listener.trusted.is_empty();
            let why = match key {
                _ if most == 0 => None,
                "max_connections_per_client" if trusts => Some(
                    "the connections of a trusted proxy are its own, whatever clients they are for. Write \
                     max_requests_per_client, or accept_proxy = \"any\" if the proxy sends PROXY headers"
                        .to_owned(),
                ),
                _ => hidden(listener),
            };
            if let Some(why) = why {
                let message = format!("counts everybody together: {why}");
                journal.complain(&format!("listener.{}.{key}", listener.name), message);
            }
        }
    }
    for (n, route) in (1..).zip(&config.routes) {
        let why = config.listeners.iter().filter(|listener| serves(&route.listener, listener)).find_map(hidden);
        let limited = route.rate_limits.iter().any(|limit| limit.per == RateKey::Client);
        if let Some(why) = why.filter(|_| limited) {
            journal.complain(&format!("route[{n}].rate_limit"), format!("counts everybody together: {why}"));
        }
    }
    for upstream in &config.upstreams {
        let to = |name: Option<&str>| name == Some(upstream.name.as_str());
        let routes = || config.routes.iter().filter(|route| to(route.action.upstream()));
        let reaches = |listener: &&ListenerConfig| routes().any(|route| serves(&route.listener, listener));
        let why = config.listeners.iter().filter(reaches).find_map(hidden);
        if let Some((key, why)) = by_address(upstream).zip(why) {
            let message = format!("takes everybody for one client, so that all go to one endpoint: {why}");
            journal.complain(&format!("upstream.{}.{key}", upstream.name), message);
        }
    }
}

/// Returns what makes the choice of an endpoint go by the client's address, if anything does.
fn by_address(upstream: &UpstreamConfig) -> Option<String> {
    let mut modes = (1..).zip(&upstream.affinity);
    match (upstream.balance, &upstream.hash_key) {
        _ if modes.any(|(_, mode)| matches!(mode, Affinity::Client(_))) => Some("affinity".to_owned()),
        (Balance::Source, _) | (Balance::Hash, HashKey::Client) => Some("balance".to_owned()),
        _ => None,
    }
}

fn serves(of_route: &Option<String>, listener: &ListenerConfig) -> bool {
    of_route.as_ref().is_none_or(|name| *name == listener.name)
}

/// Says why all clients of a listener seem to have one address: a proxy stands before it whose word is not asked for.
fn hidden(listener: &ListenerConfig) -> Option<String> {
    let (name, ip) = (&listener.name, listener.bind.ip());
    if !listener.trusted.is_empty() || listener.accept_proxy != AcceptProxy::Off {
        None
    } else if ip.is_loopback() {
        Some(format!(
            "listener {name} is reached from this machine only, so its clients are behind a proxy and share {ip}. Write \
             trusted = [\"{ip}\"] or accept_proxy = \"any\" there"
        ))
    } else if is_private(ip) {
        Some(format!(
            "if a proxy stands before listener {name}, whose address {ip} is private, then its clients share the \
             proxy's. Write trusted = [\"ADDRESS OF THE PROXY\"] or accept_proxy = \"any\" there"
        ))
    } else {
        None
    }
}

/// Tells whether an address belongs to no public network: RFC 1918, RFC 6598 and RFC 4193.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || matches!(ip.octets(), [100, 64..=127, ..]),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// Proxies whom everybody can play.
pub(super) fn proxies(config: &Config, journal: &mut Journal) {
    for listener in &config.listeners {
        let prefix = format!("listener.{}", listener.name);
        if listener.trusted.iter().any(|network| network.prefix_len() == 0) {
            let message = "everybody is trusted, so any client can claim any address; name the proxies";
            journal.complain(&format!("{prefix}.trusted"), message);
        }
        let from_everybody = listener.proxy_from.iter().any(|network| network.prefix_len() == 0)
            || listener.proxy_from.is_empty() && !listener.bind.ip().is_loopback();
        if listener.accept_proxy != AcceptProxy::Off && from_everybody {
            let message = "the PROXY header of everybody is believed who can reach it; name the proxies in proxy_from";
            journal.complain(&format!("{prefix}.accept_proxy"), message);
        }
    }
}
