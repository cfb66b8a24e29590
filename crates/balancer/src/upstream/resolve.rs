//! Turns the configured addresses of an upstream into endpoints, again and again, without touching those that stay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Upstream;
use super::endpoint::{Endpoint, EndpointId};
use crate::config::EndpointConfig;

/// The time between two look-ups when every name resolves.
const REFRESH: Duration = Duration::from_secs(30);

/// The time between two look-ups while a name does not resolve.
const RETRY: Duration = Duration::from_secs(2);

/// A name that does not resolve, and why.
#[derive(Debug)]
pub struct Unresolved {
    /// The configured name and port.
    pub name: String,
    /// What the resolver says.
    pub reason: String,
}

/// Looks the names of an upstream up again and again, for as long as it is polled; ends at once if it has only addresses.
pub async fn run(upstream: Arc<Upstream>) {
    let is_name = |endpoint: &EndpointConfig| endpoint.host.parse::<std::net::IpAddr>().is_err();
    if !upstream.config().endpoints.iter().any(is_name) {
        return;
    }
    let mut pause = RETRY;
    loop {
        tokio::time::sleep(pause).await;
        let unresolved = resolve(&upstream).await;
        pause = if unresolved.is_empty() { REFRESH } else { RETRY };
    }
}

/// Looks every name up once and applies what changed. A name that does not resolve keeps the endpoints it had.
pub async fn resolve(upstream: &Upstream) -> Vec<Unresolved> {
    let before = upstream.endpoints();
    let mut found: Vec<Arc<Endpoint>> = Vec::new();
    let mut unresolved = Vec::new();
    for config in &upstream.config().endpoints {
        let name = config.to_string();
        match tokio::net::lookup_host((config.host.as_str(), config.port)).await {
            Ok(addresses) => {
                let mut addresses: Vec<SocketAddr> = prefer_v4_on_loopback(addresses.collect());
                addresses.sort_unstable();
                addresses.dedup();
                for address in addresses {
                    add(&mut found, &before, config, address, &name);
                }
            }
            Err(error) => {
                found.extend(before.iter().filter(|endpoint| endpoint.name() == name).cloned());
                unresolved.push(Unresolved { name, reason: error.to_string() });
            }
        }
    }
    let serials = |endpoints: &[Arc<Endpoint>]| endpoints.iter().map(|endpoint| endpoint.serial()).collect::<Vec<_>>();
    if serials(&found) != serials(&before) {
        for endpoint in before.iter().filter(|endpoint| !found.iter().any(|other| other.serial() == endpoint.serial()))
        {
            tracing::info!(upstream = upstream.name(), endpoint = endpoint.name(), address = %endpoint.address(), "endpoint gone");
        }
        upstream.set_endpoints(found);
    }
    unresolved
}

fn add(
    found: &mut Vec<Arc<Endpoint>>,
    before: &[Arc<Endpoint>],
    config: &EndpointConfig,
    address: SocketAddr,
    name: &str,
) {
    let id = EndpointId::derive(config.id.as_deref(), address);
    if found.iter().any(|endpoint| endpoint.id() == id) {
        tracing::warn!(endpoint = name, %address, "two endpoints have the same id; the second is left out");
        return;
    }
    let known = before.iter().find(|endpoint| endpoint.id() == id && endpoint.address() == address);
    found.push(known.cloned().unwrap_or_else(|| Arc::new(Endpoint::new(id, address, config))));
}

/// `localhost` names one server, not two: of its two loopback addresses the IPv4 one is taken, where most servers listen.
fn prefer_v4_on_loopback(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let all_loopback = addresses.iter().all(|address| address.ip().is_loopback());
    if all_loopback && addresses.iter().any(SocketAddr::is_ipv4) {
        return addresses.into_iter().filter(SocketAddr::is_ipv4).collect();
    }
    addresses
}
