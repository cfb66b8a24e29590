use super::endpoint::Load;
use super::health::{Check, CheckStatus};
use super::*;
use crate::config::{Balance, EndpointConfig, OutlierConfig, ProbeConfig};

fn upstream(balance: Balance, count: u16) -> Upstream {
    let config = UpstreamConfig {
        balance,
        probe: None,
        outlier: OutlierConfig { failures: 1, ejection: Duration::from_secs(10) },
        tunnel_timeout: Duration::from_secs(60),
        ..UpstreamConfig::new("test", Vec::new())
    };
    let upstream = Upstream::new(config);
    let endpoints = (1..=count).map(|port| {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Arc::new(Endpoint::new(EndpointId::derive(None, address), address, &EndpointConfig::new("test", 1)))
    });
    upstream.set_endpoints(endpoints.collect());
    upstream
}

use std::net::SocketAddr;

fn port(load: &Load) -> u16 {
    load.endpoint().address().port()
}

#[test]
fn round_robin_takes_turns() {
    let upstream = upstream(Balance::RoundRobin, 3);
    let ports: Vec<u16> = (0..6).map(|_| port(&upstream.choose(&[]).unwrap())).collect();
    assert_eq!(ports, [1, 2, 3, 1, 2, 3]);
}

#[test]
fn least_conn_keeps_the_spread_at_one() {
    let upstream = upstream(Balance::LeastConn, 3);
    let mut loads: Vec<Load> = (0..30).map(|_| upstream.choose(&[]).unwrap()).collect();
    assert!(upstream.endpoints().iter().all(|endpoint| endpoint.load() == 10));
    loads.retain(|load| port(load) != 2);
    assert_eq!(port(&upstream.choose(&[]).unwrap()), 2);
}

#[test]
fn failed_endpoints_are_left_out_unless_none_would_be_left() {
    let upstream = upstream(Balance::LeastConn, 3);
    let endpoints = upstream.endpoints();
    upstream.note_failure(&endpoints[0], "test");
    assert!((0..9).all(|_| port(&upstream.choose(&[]).unwrap()) != 1));
    upstream.note_failure(&endpoints[1], "test");
    assert!(!endpoints[1].health().is_ejected(clock::coarse()), "at most half of an upstream is ejected");
    let tried: Vec<EndpointId> = endpoints[1..].iter().map(|endpoint| endpoint.id()).collect();
    assert_eq!(port(&upstream.choose(&tried).unwrap()), 1, "the last resort");
    let all: Vec<EndpointId> = endpoints.iter().map(|endpoint| endpoint.id()).collect();
    assert!(upstream.choose(&all).is_none());
}

#[test]
fn maintenance_is_believed_even_when_probes_are_not() {
    let upstream = upstream(Balance::LeastConn, 2);
    let endpoints = upstream.endpoints();
    let bound = || endpoints.iter().map(|endpoint| upstream.takes_bound(endpoint)).collect::<Vec<_>>();
    let fail = |endpoint: &Endpoint| {
        let check = Check::new(CheckStatus::Layer4Connection, None, "");
        endpoint.health().handle_check(check, &ProbeConfig::default(), Seconds(1));
    };
    fail(&endpoints[0]);
    assert_eq!(bound(), [false, true]);
    fail(&endpoints[1]);
    assert_eq!(bound(), [true, true]);
    endpoints[1].set_state(AdminState::Maintenance);
    assert_eq!(bound(), [true, false]);
}

#[test]
fn timeouts_are_never_below_the_heartbeat() {
    let upstream = upstream(Balance::LeastConn, 1);
    let body = br#"0{"sid":"abc","upgrades":[],"pingInterval":90000,"pingTimeout":30000,"maxPayload":1}"#;
    upstream.note_handshake(&limpet_proto::engineio::handshake::parse(body).unwrap());
    assert_eq!(upstream.response_timeout(), Duration::from_secs(125));
    assert_eq!(upstream.tunnel_timeout().load(Ordering::Relaxed), 125);
    assert_eq!(upstream.session_ttl(), Seconds(125));
}
