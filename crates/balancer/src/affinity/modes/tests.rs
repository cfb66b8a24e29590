//! The order of the modes, and what each takes from a request.

use limpet_proto::http1::request_head::Slots;

use super::*;
use crate::affinity::cookie::sealed::CookieKeys;
use crate::affinity::key::{KeyRing, generate_line};
use crate::config::{
    AdminState, CookieAffinity, CookieValue, EndpointConfig, HeaderAffinity, QueryAffinity, UpstreamConfig,
};
use crate::upstream::Upstream;

fn upstream(modes: Vec<Affinity>, when_gone: WhenGone) -> Upstream {
    let mut config = UpstreamConfig::new("app", Vec::new());
    (config.affinity, config.when_gone) = (modes, when_gone);
    let upstream = Upstream::new(config);
    let endpoints = [1, 2].map(|port| {
        let mut config = EndpointConfig::new("127.0.0.1", port);
        config.cookie = Some(format!("app0{port}"));
        let address = ([127, 0, 0, 1], port).into();
        Arc::new(Endpoint::new(EndpointId::derive(None, address), address, &config))
    });
    upstream.set_endpoints(endpoints.into());
    upstream
}

/// Returns where a request is sent, in words.
fn sent(upstream: &Upstream, target: &str, lines: &str) -> String {
    let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
    let mut slots = Slots::new();
    let request = RequestHead::parse(head.as_bytes(), &mut slots).unwrap();
    let keys = CookieKeys::new(&KeyRing::parse(&generate_line(1), "test").unwrap());
    let endpoints = upstream.endpoints();
    let around = Surroundings { upstream, endpoints: &endpoints, keys: &keys, now: Seconds(0), unix: 1_700_000_000 };
    let wish = upstream.affinity.read(&request, "192.0.2.77".parse().unwrap(), around);
    let choice = match wish.choice {
        Choice::Any => "any".to_owned(),
        Choice::Preferred(endpoint) => endpoint.cookie().unwrap().to_owned(),
        Choice::Gone(_) => "gone".to_owned(),
        Choice::Hashed(_, KeyBuf::Text(key)) => format!("hash {}", key.escape_ascii()),
        Choice::Hashed(_, KeyBuf::Address(address)) => format!("hash {address}"),
    };
    format!("{} {choice}", wish.evidence.as_str())
}

fn cookie() -> Affinity {
    Affinity::Cookie(CookieAffinity { value: CookieValue::Plain, ..CookieAffinity::new("S") })
}

fn sticky() -> Affinity {
    Affinity::StickySession(StickySessionAffinity { name: "R".to_owned(), separator: b'.', set_cookie: true })
}

#[test]
fn the_first_mode_that_names_an_endpoint_decides() {
    let header = Affinity::Header(HeaderAffinity { name: "X-User".to_owned(), hash: Hash::Ring });
    let query = Affinity::Query(QueryAffinity { name: "room".to_owned(), hash: Hash::Ring });
    let client = Affinity::Client(ClientAffinity { prefix_v4: 24, ..ClientAffinity::default() });
    let upstream = upstream(vec![Affinity::Sid, cookie(), sticky(), header, query, client], WhenGone::Move);
    for (target, lines, expected) in [
        ("/?room=a", "Cookie: S=app02; R=x.app01\r\nX-User: u\r\n", "cookie app02"),
        ("/;R=x.app01?room=a", "Cookie: S=app09\r\nX-User: u\r\n", "stickysession app01"),
        ("/", "Cookie: R=sticky.app02\r\n", "stickysession app02"),
        ("/", "Cookie: R=app02\r\nx-user: u\r\n", "header hash u"),
        ("/", "Cookie: R=x.y.app02\r\nX-User: \r\nX-User: v\r\n", "header hash v"),
        ("/?xroom=b&room=a%20b&room=c", "", "query hash a%20b"),
        ("/?room=", "", "client hash 192.0.2.0"),
    ] {
        assert_eq!(sent(&upstream, target, lines), expected, "{target} {lines}");
    }
    upstream.endpoints()[1].set_state(AdminState::Maintenance);
    assert_eq!(sent(&upstream, "/", "Cookie: S=app02\r\nX-User: u\r\n"), "header hash u", "the next mode");
}

#[test]
fn a_route_in_the_target_comes_before_the_cookie_and_a_wrong_one_ends_the_search() {
    let upstream = upstream(vec![sticky()], WhenGone::Move);
    for (target, lines, expected) in [
        ("/;R=x.app01", "Cookie: R=x.app02\r\n", "stickysession app01"),
        ("/?R=x.app09", "Cookie: R=x.app02\r\n", "none any"),
        ("/", "Cookie: a=1; R=x.app02, b\r\n", "stickysession app02"),
        ("/", "Cookie: R=; R=x.app02\r\n", "none any"),
        ("/", "Cookie: R=x.\r\n", "none any"),
    ] {
        assert_eq!(sent(&upstream, target, lines), expected, "{target} {lines}");
    }
}

#[test]
fn a_gone_endpoint_counts_unless_requests_move() {
    for (when_gone, expected) in
        [(WhenGone::Move, "none any"), (WhenGone::Wait, "cookie gone"), (WhenGone::Fail, "cookie gone")]
    {
        let upstream = upstream(vec![cookie()], when_gone);
        upstream.endpoints()[1].set_state(AdminState::Maintenance);
        assert_eq!(sent(&upstream, "/", "Cookie: S=app02\r\n"), expected);
        assert_eq!(sent(&upstream, "/", "Cookie: S=app09\r\n"), "none any", "it names nothing that could come back");
    }
}

#[test]
fn a_remembered_address_follows_its_network() {
    let config = ClientAffinity {
        prefix_v4: 24,
        remember: Some(std::time::Duration::from_secs(60)),
        ..ClientAffinity::default()
    };
    let upstream = upstream(vec![Affinity::Client(config)], WhenGone::Move);
    assert_eq!(sent(&upstream, "/", ""), "none any");
    let second = upstream.endpoints()[1].id();
    upstream.affinity.chosen("192.0.2.1".parse().unwrap(), second, Seconds(0));
    assert_eq!(sent(&upstream, "/", ""), "client app02");
    upstream.endpoints()[1].set_state(AdminState::Maintenance);
    assert_eq!(sent(&upstream, "/", ""), "none any");
}
