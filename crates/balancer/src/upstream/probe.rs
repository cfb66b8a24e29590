//! Probes endpoints by opening a TCP connection: stock Socket.IO servers have no health page.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Upstream;
use super::endpoint::Endpoint;
use super::health::Change;
use crate::config::ProbeConfig;

/// Probes the endpoints of one upstream for as long as it is polled; does nothing if probes are switched off.
pub async fn run(upstream: Arc<Upstream>) {
    let Some(config) = upstream.config().probe.clone() else {
        return;
    };
    let mut rounds = tokio::time::interval(config.interval);
    let mut alarmed = false;
    loop {
        rounds.tick().await;
        round(&upstream, &config).await;
        let all_down = upstream.all_down() && !upstream.endpoints().is_empty();
        if all_down && !alarmed {
            tracing::error!(
                upstream = upstream.name(),
                "every endpoint is down; all stay in use until one answers. Are the servers running?"
            );
        }
        alarmed = all_down;
    }
}

/// Probes every endpoint once and takes those that fail down at once, so that the first requests find them marked.
pub async fn first_round(upstream: &Upstream) {
    if let Some(config) = &upstream.config().probe {
        let at_once = ProbeConfig { interval: Duration::ZERO, fall: 1, ..config.clone() };
        round(upstream, &at_once).await;
    }
}

/// Probes every endpoint once, spread over half the interval so that many endpoints are not probed in one burst.
async fn round(upstream: &Upstream, config: &ProbeConfig) {
    let endpoints = upstream.endpoints();
    let gap = config.interval / 2 / u32::try_from(endpoints.len().max(1)).unwrap_or(u32::MAX);
    let mut probes = JoinSet::new();
    for (at, endpoint) in endpoints.iter().enumerate() {
        let delay = gap * u32::try_from(at).unwrap_or(u32::MAX);
        probes.spawn(probe(Arc::clone(endpoint), delay, config.timeout));
    }
    while let Some(result) = probes.join_next().await {
        let Ok((endpoint, error)) = result else { continue };
        let change = endpoint.health().handle_probe(error.is_none(), config);
        let (upstream, name, address) = (upstream.name(), endpoint.name(), endpoint.address());
        match (change, error) {
            (Some(Change::Up), _) => tracing::info!(upstream, endpoint = name, %address, "endpoint up"),
            (Some(Change::Down), Some(error)) => {
                tracing::warn!(upstream, endpoint = name, %address, error, "endpoint down");
            }
            _ => {}
        }
    }
}

/// Opens a connection and closes it; returns what went wrong, if anything.
async fn probe(endpoint: Arc<Endpoint>, delay: Duration, timeout: Duration) -> (Arc<Endpoint>, Option<String>) {
    tokio::time::sleep(delay).await;
    let error = match tokio::time::timeout(timeout, TcpStream::connect(endpoint.address())).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no connection within {timeout:?}")),
    };
    (endpoint, error)
}
