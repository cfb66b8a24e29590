//! Probes endpoints: one task for each, started and ended as endpoints come and go.
//!
//! [`Health`](super::health::Health) decides what the results mean and when the next probe is due; here are the clock, the
//! sockets and the log.

mod http;
mod jitter;
mod tcp;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::{AbortHandle, JoinSet};

use self::jitter::Jitter;
use super::Upstream;
use super::endpoint::Endpoint;
use super::health::{Change, Check, CheckStatus};
use crate::clock;
use crate::config::{AdminState, ProbeConfig};

/// Probes the endpoints of one upstream for as long as it is polled; does nothing if probes are switched off.
pub async fn run(upstream: Arc<Upstream>) {
    let Some(prober) = Prober::of(&upstream) else {
        return;
    };
    let mut watches = JoinSet::new();
    let mut watched: HashMap<u64, AbortHandle> = HashMap::new();
    loop {
        let endpoints = upstream.endpoints();
        watched.retain(|serial, watch| {
            let stays = endpoints.iter().any(|endpoint| endpoint.serial() == *serial);
            if !stays {
                watch.abort();
            }
            stays
        });
        for (rank, endpoint) in (0..).zip(endpoints.iter()) {
            watched.entry(endpoint.serial()).or_insert_with(|| {
                let delay = prober.first_delay(endpoint, rank, endpoints.len());
                watches.spawn(Arc::clone(&prober).watch(Arc::clone(endpoint), delay))
            });
        }
        drop(endpoints);
        prober.look_for_alarm();
        upstream.endpoints_changed().await;
        // The tasks of endpoints that have gone are over.
        while watches.try_join_next().is_some() {}
    }
}

/// Probes every endpoint once, so that the first requests find those marked that do not work.
pub async fn first_round(upstream: &Arc<Upstream>) {
    let Some(prober) = Prober::of(upstream) else {
        return;
    };
    let probe = |endpoint: &Arc<Endpoint>| {
        let (prober, endpoint) = (Arc::clone(&prober), Arc::clone(endpoint));
        async move { prober.probe(&endpoint).await }
    };
    let probes: JoinSet<()> = upstream.endpoints().iter().map(probe).collect();
    probes.join_all().await;
}

/// What the tasks of one upstream share.
struct Prober {
    upstream: Arc<Upstream>,
    config: ProbeConfig,
    alarmed: AtomicBool,
}

impl Prober {
    fn of(upstream: &Arc<Upstream>) -> Option<Arc<Self>> {
        let config = upstream.config().probe.clone()?;
        Some(Arc::new(Self { upstream: Arc::clone(upstream), config, alarmed: AtomicBool::new(false) }))
    }

    /// Spreads the endpoints of an upstream over its interval. One that nobody has probed yet does not wait.
    fn first_delay(&self, endpoint: &Endpoint, rank: u32, count: usize) -> Duration {
        if endpoint.health().last_check().at.is_none() {
            endpoint.health().expect_checks();
            return Duration::ZERO;
        }
        let count = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        // The first of them too waits: all were probed just now.
        endpoint.health().interval(&self.config).mul_f64(f64::from(rank + 1) / f64::from(count))
    }

    /// Probes an endpoint again and again.
    async fn watch(self: Arc<Self>, endpoint: Arc<Endpoint>, first_delay: Duration) {
        let mut jitter = Jitter::seeded(endpoint.serial());
        let mut delay = first_delay;
        loop {
            tokio::time::sleep(delay).await;
            let began = Instant::now();
            // Nothing is expected of it in maintenance, so nothing is found out.
            if endpoint.state() != AdminState::Maintenance {
                self.probe(&endpoint).await;
                self.look_for_alarm();
            }
            let interval = jitter.spread(endpoint.health().interval(&self.config), self.config.spread_percent);
            delay = interval.saturating_sub(began.elapsed());
        }
    }

    /// Probes an endpoint once.
    async fn probe(&self, endpoint: &Endpoint) {
        endpoint.health().begin_check();
        let began = Instant::now();
        let mut check = self.try_once(endpoint).await;
        check.duration = began.elapsed();
        let now = clock::now();
        let change = endpoint.health().handle_check(check, &self.config, now);
        if change.is_some() {
            // Its place among the idle ones is the last at this moment, not at the next choice.
            self.upstream.renew_tiers(now);
        }
        self.report(endpoint, change);
    }

    async fn try_once(&self, endpoint: &Endpoint) -> Check {
        let deadline = tokio::time::Instant::now() + self.config.timeout;
        let mut address = endpoint.address();
        if let Some(port) = self.config.port {
            address.set_port(port);
        }
        let connection = match tokio::time::timeout_at(deadline, tcp::connect(address)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(check)) => return check,
            Err(_) => return Check::new(CheckStatus::Layer4Timeout, None, "no connection in time"),
        };
        let send_proxy = self.upstream.config().send_proxy;
        let talk = async {
            tcp::announce(&connection, send_proxy).await?;
            match &self.config.http {
                None => Ok(Check::new(CheckStatus::Layer4Ok, None, "")),
                Some(request) => http::ask(&connection, request, endpoint.name()).await,
            }
        };
        match tokio::time::timeout_at(deadline, talk).await {
            Ok(Ok(check) | Err(check)) => check,
            Err(_) if self.config.http.is_none() => {
                Check::new(CheckStatus::Layer4Timeout, None, "the PROXY header was not taken in time")
            }
            Err(_) => Check::new(CheckStatus::Layer7Timeout, None, "no response in time"),
        }
    }

    /// Logs what a probe has changed.
    fn report(&self, endpoint: &Endpoint, change: Option<Change>) {
        let (upstream, name, address) = (self.upstream.name(), endpoint.name(), endpoint.address());
        let last = endpoint.health().last_check().check;
        let (reason, text) = (last.status.sentence(), &*last.text);
        match change {
            Some(Change::Up) => {
                tracing::info!(upstream, endpoint = name, %address, check = %last, reason, text, "endpoint up");
            }
            Some(Change::Down) => {
                tracing::warn!(upstream, endpoint = name, %address, check = %last, reason, text, "endpoint down");
            }
            Some(Change::NoNew) => {
                let what = "endpoint asks for no new sessions; those it has go on";
                tracing::info!(upstream, endpoint = name, %address, check = %last, reason, text, "{what}");
            }
            Some(Change::NewAgain) => {
                tracing::info!(upstream, endpoint = name, %address, check = %last, "endpoint takes new sessions again");
            }
            None => {
                tracing::debug!(upstream, endpoint = name, %address, check = %last, reason, text, "endpoint probed")
            }
        }
    }

    /// Says it once when nothing is left.
    fn look_for_alarm(&self) {
        let all_down = self.upstream.all_down() && !self.upstream.endpoints().is_empty();
        let was_alarmed = self.alarmed.swap(all_down, Ordering::Relaxed);
        if all_down && !was_alarmed {
            tracing::error!(
                upstream = self.upstream.name(),
                "every endpoint is down; all stay in use until one answers. Are the servers running?"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::config::{EndpointConfig, UpstreamConfig};
    use crate::upstream::endpoint::EndpointId;

    /// An endpoint that takes connections for as long as the listener lives.
    fn endpoint() -> (Arc<Endpoint>, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = EndpointConfig::new("127.0.0.1", address.port());
        (Arc::new(Endpoint::new(EndpointId::derive(None, address), address, &config)), listener)
    }

    fn checks(endpoint: &Endpoint) -> u64 {
        endpoint.health().probed(clock::now()).checks
    }

    async fn wait_for_checks(endpoint: &Endpoint, more: u64) {
        let enough = checks(endpoint) + more;
        while checks(endpoint) < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn probes_begin_and_end_with_their_endpoints() {
        let probe = ProbeConfig { interval: Duration::from_millis(2), ..ProbeConfig::default() };
        let config = UpstreamConfig { probe: Some(probe), ..UpstreamConfig::new("test", vec![]) };
        let upstream = Arc::new(Upstream::new(config));
        let ((a, _a), (b, b_listener), (c, _c)) = (endpoint(), endpoint(), endpoint());
        upstream.set_endpoints(vec![Arc::clone(&a), Arc::clone(&b)]);
        first_round(&upstream).await;
        assert_eq!((checks(&a), checks(&b)), (1, 1));
        let running = tokio::spawn(run(Arc::clone(&upstream)));
        wait_for_checks(&a, 3).await;
        wait_for_checks(&b, 3).await;

        upstream.set_endpoints(vec![Arc::clone(&a), Arc::clone(&c)]);
        wait_for_checks(&c, 3).await;
        let of_b = checks(&b);
        wait_for_checks(&a, 10).await;
        assert_eq!(checks(&b), of_b, "nobody looks at what is gone");

        // One that comes back is looked at again, and found as it is now.
        drop(b_listener);
        upstream.set_endpoints(vec![Arc::clone(&b), Arc::clone(&c)]);
        wait_for_checks(&b, 3).await;
        assert!(b.health().is_down() && !c.health().is_down());
        assert_eq!(b.health().last_check().check.status, CheckStatus::Layer4Connection);

        c.set_state(AdminState::Maintenance);
        wait_for_checks(&b, 2).await;
        let of_c = checks(&c);
        wait_for_checks(&b, 10).await;
        assert_eq!(checks(&c), of_c, "maintenance is left alone");
        running.abort();
        let _ = running.await;
        let of_b = checks(&b);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(checks(&b), of_b, "all end with their upstream");
    }
}
