//! Finds what is allowed and still breaks sessions: the mistakes that copied configurations have in common.
//!
//! A remark says what happens and what to write instead. What cannot be a mistake for somebody gets no remark.

use std::time::Duration;

use super::error::ConfigError;
use super::journal::Journal;
use super::{AcceptProxy, AdminState, Config, EndpointConfig, ListenerConfig, RateKey, RouteConfig, UpstreamConfig};

/// pingInterval + pingTimeout of a Socket.IO server with its own defaults: the longest silence of a living session.
const HEARTBEAT: Duration = Duration::from_secs(45);

/// Returns remarks on a configuration that has no errors, in the order of their lines.
pub(super) fn remarks(config: &Config, mut journal: Journal) -> Vec<ConfigError> {
    let it = &mut journal;
    for upstream in &config.upstreams {
        affinity(upstream, it);
        timeouts(upstream, it);
        endpoints(upstream, it);
    }
    for (n, route) in (1..).zip(&config.routes) {
        rate_limits(&format!("route[{n}].rate_limit"), route, &config.listeners, it);
    }
    journal.into_errors().map(|errors| errors.0).unwrap_or_default()
}

fn affinity(upstream: &UpstreamConfig, journal: &mut Journal) {
    let is_one_address = match upstream.endpoints.as_slice() {
        [only] => only.host.parse::<std::net::IpAddr>().is_ok(),
        _ => false,
    };
    if upstream.affinity.is_empty() && !is_one_address {
        journal.complain(
            &format!("upstream.{}.affinity", upstream.name),
            "nothing binds a session to its endpoint: with several of them, long polling fails with \"Session ID \
             unknown\". Write affinity = [{ by = \"sid\" }], unless this is not Socket.IO",
        );
    }
}

fn timeouts(upstream: &UpstreamConfig, journal: &mut Journal) {
    let timeouts = [
        ("response_timeout", upstream.response_timeout, "long polls are held for 25 s"),
        ("tunnel_timeout", upstream.tunnel_timeout, "a WebSocket may be silent for so long"),
    ];
    for (key, timeout, why) in timeouts {
        if timeout < HEARTBEAT {
            let message = format!(
                "{timeout:?} is shorter than pingInterval + pingTimeout of Socket.IO, 45 s by default: {why}. It counts \
                 only until a handshake has told the server's own times; write \"60s\" or more",
            );
            journal.complain(&format!("upstream.{}.{key}", upstream.name), message);
        }
    }
}

fn endpoints(upstream: &UpstreamConfig, journal: &mut Journal) {
    let key = format!("upstream.{}.endpoints", upstream.name);
    let all =
        |holds: fn(&EndpointConfig) -> bool| !upstream.endpoints.is_empty() && upstream.endpoints.iter().all(holds);
    if all(|endpoint| endpoint.weight == 0 || endpoint.state != AdminState::Ready) {
        journal.complain(
            &key,
            "none takes new sessions, each has weight = 0 or a state other than \"ready\": every new session gets 503",
        );
    } else if all(|endpoint| endpoint.backup) {
        journal.complain(&key, "all are backups; without an endpoint to stand in for, backup = true changes nothing");
    }
    for (n, endpoint) in (1..).zip(&upstream.endpoints) {
        if is_service(&endpoint.host) {
            let message = format!(
                "{} is the name of a Kubernetes Service; unless that is headless (clusterIP: None), it is one address \
                 whose connections go to any pod, and no session stays with its pod",
                endpoint.host
            );
            journal.complain(&format!("{key}[{n}]"), message);
        }
    }
    let limited = (1..).zip(&upstream.endpoints).find(|(_, endpoint)| endpoint.max_conn > 0);
    if let Some((n, endpoint)) = limited {
        let message = format!(
            "a WebSocket has one of the {} for as long as it lives, and a long poll while it is held: when all are \
             taken, further requests wait and get 503. max_sessions sends new sessions elsewhere instead",
            endpoint.max_conn
        );
        journal.complain(&format!("{key}[{n}].max_conn"), message);
    }
}

fn rate_limits(key: &str, route: &RouteConfig, listeners: &[ListenerConfig], journal: &mut Journal) {
    if route.rate_limits.iter().all(|limit| limit.per != RateKey::Client) {
        return;
    }
    let of_route = |listener: &&ListenerConfig| route.listener.as_ref().is_none_or(|name| *name == listener.name);
    if let Some(listener) = listeners.iter().filter(of_route).find(|listener| hides_clients(listener)) {
        let message = format!("counts everybody together: {}", hidden(listener));
        journal.complain(key, message);
    }
}

/// Tells whether every connection comes from a proxy on this machine, whose word about its clients is not believed.
fn hides_clients(listener: &ListenerConfig) -> bool {
    listener.bind.ip().is_loopback() && listener.trusted.is_empty() && listener.accept_proxy == AcceptProxy::Off
}

fn hidden(listener: &ListenerConfig) -> String {
    let (name, ip) = (&listener.name, listener.bind.ip());
    format!(
        "listener {name} is reached from this machine only, so its clients are behind a proxy and share {ip}. Write \
         trusted = [\"{ip}\"] or accept_proxy = \"any\" there"
    )
}

/// Tells whether a name is that of a Service within a Kubernetes cluster.
fn is_service(host: &str) -> bool {
    host.ends_with(".svc") || host.contains(".svc.")
}

#[cfg(test)]
mod tests {
    use super::super::Draft;

    fn remarks(text: &str) -> Vec<String> {
        let lookup = |_: &str| None;
        let (_, remarks) = Draft::from_file("limpet.toml", text, &lookup).check_and_lint(&lookup).unwrap();
        remarks.iter().map(ToString::to_string).collect()
    }

    fn of_upstream(lines: &str) -> Vec<String> {
        remarks(&format!("[listener.web]\nbind = \":8000\"\n[upstream.app]\n{lines}\n"))
    }

    #[track_caller]
    fn assert_one(remarks: &[String], place: &str, word: &str) {
        assert!(matches!(remarks, [one] if one.starts_with(place) && one.contains(word)), "{remarks:#?}");
    }

    #[test]
    fn the_defaults_are_fine() {
        assert!(of_upstream("endpoints = [\"app01:3000\", \"app02:3000\"]").is_empty());
        assert!(of_upstream("affinity = []\nendpoints = [\"10.0.0.1:80\"]").is_empty());
    }

    #[test]
    fn each_mistake_has_its_line() {
        let found = of_upstream("endpoints = [\"app01:3000\", \"app02:3000\"]\naffinity = []");
        assert_one(&found, "limpet.toml:5: upstream.app.affinity: ", "Session ID unknown");
        let found = of_upstream("endpoints = [\"app01:3000\"]\nresponse_timeout = \"3s\"");
        assert_one(&found, "limpet.toml:5: upstream.app.response_timeout: 3s ", "60s");
        let found = of_upstream("endpoints = [\"app01:3000\"]\ntunnel_timeout = \"30s\"");
        assert_one(&found, "limpet.toml:5: upstream.app.tunnel_timeout: 30s ", "45 s");
        let found = of_upstream("endpoints = [{ address = \"app01:3000\", weight = 0 }]");
        assert_one(&found, "limpet.toml:4: upstream.app.endpoints: ", "503");
        let found = of_upstream("endpoints = [{ address = \"app01:3000\", backup = true }]");
        assert_one(&found, "limpet.toml:4: upstream.app.endpoints: ", "backup");
        let found = of_upstream("endpoints = [\n\"app01:3000\",\n{ address = \"app02:3000\", max_conn = 1024 },\n]");
        assert_one(&found, "limpet.toml:6: upstream.app.endpoints[2].max_conn: ", "1024");
        let found = of_upstream("endpoints = [\"chat.shop.svc.cluster.local:80\"]");
        assert_one(&found, "limpet.toml:4: upstream.app.endpoints[1]: ", "headless");
    }

    #[test]
    fn limits_by_client_need_to_see_clients() {
        let text = |listener: &str| {
            format!(
                "[listener.web]\n{listener}\n[upstream.app]\nendpoints = [\"app01:3000\"]\n\
                 [[route]]\nupstream = \"app\"\nrate_limit = {{ per = \"client\", rate = \"100/s\" }}\n"
            )
        };
        let found = remarks(&text("bind = \"127.0.0.1:8000\""));
        assert_one(&found, "limpet.toml:7: route[1].rate_limit: ", "trusted = [\"127.0.0.1\"]");
        assert!(remarks(&text("bind = \"127.0.0.1:8000\"\ntrusted = [\"127.0.0.1\"]")).is_empty());
        assert!(remarks(&text("bind = \"127.0.0.1:8000\"\naccept_proxy = \"v1\"")).is_empty());
        assert!(remarks(&text("bind = \":8000\"")).is_empty());
    }
}
