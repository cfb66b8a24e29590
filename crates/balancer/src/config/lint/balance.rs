//! Whether new sessions are placed as the keys seem to say.

use std::net::IpAddr;

use super::super::journal::Journal;
use super::super::{AdminState, Affinity, Balance, EndpointConfig, Hash, HashKey, UpstreamConfig};

/// Keys of hashes where nothing is hashed.
pub(super) fn hash(upstream: &UpstreamConfig, journal: &mut Journal) {
    let (balance, hash) = (upstream.balance, upstream.hash);
    let mut complain =
        |key: &str, message: String| journal.complain(&format!("upstream.{}.{key}", upstream.name), message);
    let mut hashes = upstream.affinity.iter().filter_map(hash_of).collect::<Vec<_>>();
    if balance.hashes() {
        hashes.push(hash);
    }
    if upstream.hash_balance_factor > 0 && hashes.is_empty() {
        complain(
            "hash_balance_factor",
            format!(
                "has no effect with balance = {:?}, which hashes nothing. (So it is in HAProxy without `balance`: 2.6 \
                 then takes turns, whatever hash-type and hash-balance-factor say.) Write balance = \"source\" or \
                 \"hash\" with hash = \"ring\", or leave it out",
                balance.as_str()
            ),
        );
    } else if upstream.hash_balance_factor > 0 && !hashes.iter().any(|hash| hash.can_bound_load()) {
        complain(
            "hash_balance_factor",
            format!(
                "has no effect with hash = {:?}; it is for \"rendezvous\", \"ring\" and \"ketama\"",
                hashes.first().copied().unwrap_or(hash).as_str()
            ),
        );
    }
    if hash != Hash::default() && !balance.hashes() {
        let message = "it is for \"source\" and \"hash\"; modes of affinity have a hash of their own";
        complain("hash", format!("has no effect with balance = {:?}; {message}", balance.as_str()));
    }
    if upstream.hash_key != HashKey::default() && balance != Balance::Hash {
        complain("hash_key", format!("has no effect with balance = {:?}; it is for \"hash\"", balance.as_str()));
    }
}

/// Returns the hash by which a mode of affinity chooses, if it does.
fn hash_of(mode: &Affinity) -> Option<Hash> {
    match mode {
        Affinity::Client(client) => client.remember.is_none().then_some(client.hash),
        Affinity::Header(header) => Some(header.hash),
        Affinity::Query(query) => Some(query.hash),
        Affinity::Path(hash) => Some(*hash),
        Affinity::Sid | Affinity::Cookie(_) | Affinity::StickySession(_) => None,
    }
}

/// Limits that WebSockets use up, and a queue or slow start that never comes into play.
pub(super) fn limits(upstream: &UpstreamConfig, journal: &mut Journal) {
    let prefix = format!("upstream.{}", upstream.name);
    let limited = (1..).zip(&upstream.endpoints).find(|(_, endpoint)| endpoint.max_conn > 0);
    if let Some((n, endpoint)) = limited {
        let message = format!(
            "a WebSocket has one of the {} for as long as it lives, and a long poll while it is held: when all are \
             taken, further requests wait for up to {:?} and get 503. max_sessions sends new sessions elsewhere instead",
            endpoint.max_conn, upstream.queue_timeout
        );
        journal.complain(&format!("{prefix}.endpoints[{n}].max_conn"), message);
    }
    let defaults = UpstreamConfig::new("", Vec::new());
    // A file or a program may bring endpoints with a limit later.
    if limited.is_none() && upstream.endpoints_file.is_none() && !upstream.endpoints.is_empty() {
        for (key, given) in [
            ("queue_timeout", upstream.queue_timeout != defaults.queue_timeout),
            ("max_queue", upstream.max_queue != defaults.max_queue),
        ] {
            if given {
                let message =
                    "has no effect, since nothing waits: no endpoint has a max_conn. Add one, or leave it out";
                journal.complain(&format!("{prefix}.{key}"), message);
            }
        }
        if upstream.all_backups && !upstream.endpoints.iter().any(|endpoint| endpoint.backup) {
            let message = "has no effect: no endpoint has backup = true. Add one, or leave it out";
            journal.complain(&format!("{prefix}.all_backups"), message);
        }
    }
    if !upstream.slow_start.is_zero() && upstream.probe.is_none() {
        let message = "has no effect with probe = false: only probes find out that an endpoint came up again";
        journal.complain(&format!("{prefix}.slow_start"), message);
    }
}

/// Endpoints that take nothing, and names of Services.
pub(super) fn endpoints(upstream: &UpstreamConfig, journal: &mut Journal) {
    let key = format!("upstream.{}.endpoints", upstream.name);
    let all = |holds: fn(&EndpointConfig) -> bool| is_whole(upstream) && upstream.endpoints.iter().all(holds);
    if all(|endpoint| endpoint.weight == 0 || endpoint.state != AdminState::Ready) {
        journal.complain(
            &key,
            "none takes new sessions, each has weight = 0 or a state other than \"ready\": every new session gets 503. \
             Let one be ready with weight = 1",
        );
    } else if all(|endpoint| endpoint.backup) {
        let message =
            "all are backups; without an endpoint to stand in for, backup = true changes nothing. Leave it out";
        journal.complain(&key, message);
    }
    for (n, endpoint) in (1..).zip(&upstream.endpoints).filter(|(_, endpoint)| is_service(&endpoint.host)) {
        let message = format!(
            "{} is the name of a Kubernetes Service; unless that is headless (clusterIP: None), it is one address \
             whose connections go to any pod, and no session stays with its pod",
            endpoint.host
        );
        journal.complain(&format!("{key}[{n}]"), message);
    }
}

/// A name behind whose only address there may be several servers.
pub(super) fn virtual_address(upstream: &UpstreamConfig, n: usize, addresses: usize, journal: &mut Journal) {
    let Some(endpoint) = upstream.endpoints.get(n.wrapping_sub(1)) else { return };
    let alone = upstream.endpoints.len() == 1 && is_whole(upstream);
    let host = &endpoint.host;
    // localhost is this machine. A Service has its remark already.
    let is_named = host.parse::<IpAddr>().is_err() && !host.eq_ignore_ascii_case("localhost") && !is_service(host);
    if alone && addresses == 1 && is_named && !endpoint.srv {
        let message = format!(
            "{host} is one address. If this is a virtual address (a Docker service without \"tasks.\", a Kubernetes \
             Service with a clusterIP, a load balancer), the servers behind it take turns and no session stays with \
             its own: write \"tasks.NAME\", the name of a headless Service, or the addresses"
        );
        journal.complain(&format!("upstream.{}.endpoints[{n}]", upstream.name), message);
    }
}

/// Tells whether the endpoints that are written down are all that there will be.
fn is_whole(upstream: &UpstreamConfig) -> bool {
    !upstream.endpoints.is_empty() && upstream.endpoints_file.is_none() && upstream.replicas.is_none()
}

/// Tells whether a name is that of a Service within a Kubernetes cluster.
fn is_service(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.ends_with(".svc") || host.contains(".svc.")
}
