use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::{
    AdminState, Affinity, EndpointConfig, OutlierConfig, ProbeConfig, StickySessionAffinity, UpstreamConfig,
};
use crate::table::Seconds;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::health::{Check, CheckStatus};

const HASHES: [Hash; 3] = [Hash::Rendezvous, Hash::Ring, Hash::Ketama];
const OUTLIER: OutlierConfig = OutlierConfig { failures: 1, ejection: Duration::from_secs(10) };

fn endpoint(port: u16, change: impl FnOnce(&mut EndpointConfig)) -> Arc<Endpoint> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut config = EndpointConfig::new("127.0.0.1", port);
    change(&mut config);
    Arc::new(Endpoint::new(EndpointId::derive(None, address), address, &config))
}

fn upstream(balance: Balance, endpoints: Vec<Arc<Endpoint>>) -> Upstream {
    with(UpstreamConfig { balance, ..UpstreamConfig::new("test", Vec::new()) }, endpoints)
}

fn with(config: UpstreamConfig, endpoints: Vec<Arc<Endpoint>>) -> Upstream {
    let upstream = Upstream::new(config);
    upstream.set_endpoints(endpoints);
    upstream
}

fn weighted(balance: Balance, weights: &[u32]) -> Upstream {
    let endpoints = (1..).zip(weights).map(|(port, weight)| endpoint(port, |config| config.weight = *weight));
    upstream(balance, endpoints.collect())
}

fn port(load: &Load) -> u16 {
    load.endpoint().address().port()
}

fn next(upstream: &Upstream) -> Option<u16> {
    upstream.choose(&[]).as_ref().map(port)
}

/// Takes an endpoint down or brings it up.
fn probe(endpoint: &Endpoint, up: bool, now: Seconds) {
    let status = if up { CheckStatus::Layer4Ok } else { CheckStatus::Layer4Timeout };
    let config = ProbeConfig { rise: 1, fall: 1, ..ProbeConfig::default() };
    endpoint.health().handle_check(Check { status, ..Check::default() }, &config, now);
}

#[test]
fn turns_are_smooth_and_nobody_keeps_those_it_missed() {
    let upstream = weighted(Balance::RoundRobin, &[5, 1, 1]);
    let ports: Vec<_> = (0..14).filter_map(|_| next(&upstream)).collect();
    assert_eq!(ports, [1, 1, 2, 1, 3, 1, 1].repeat(2));
    // nginx's order with one endpoint down: the others share its turns.
    probe(&upstream.endpoints()[0], false, Seconds(0));
    let ports: Vec<_> = (0..4).filter_map(|_| next(&upstream)).collect();
    assert_eq!(ports, [2, 3, 2, 3]);
}

/// The sequences of HAProxy 2.6 with three equal servers, one of which goes down (`-`) and comes up (`+`).
#[test]
fn turns_and_ties_go_on_as_with_haproxy_when_endpoints_come_and_go() {
    for (balance, expected) in [
        (Balance::RoundRobin, "abcabcabca -b cacacacac +b abcabcabc -a bcbcbc"),
        (Balance::LeastConn, "abcabcabca -b cacacacac +b acbacbacb -a cbcbcb"),
    ] {
        let upstream = weighted(balance, &[1, 1, 1]);
        for part in expected.split(' ') {
            if let Some(name) = part.strip_prefix(['-', '+']) {
                let at = usize::from(name.as_bytes()[0] - b'a');
                probe(&upstream.endpoints()[at], part.starts_with('+'), Seconds(0));
            } else {
                let letters = part.chars().map(|_| char::from(b'a' - 1 + next(&upstream).unwrap() as u8));
                assert_eq!(letters.collect::<String>(), part, "{balance:?}: {expected}");
            }
        }
    }
}

#[test]
fn many_endpoints_have_turns_by_their_weights_too() {
    let weights: Vec<u32> = (0..100).map(|n| 1 + n % 3).collect();
    let upstream = weighted(Balance::RoundRobin, &weights);
    let round: u32 = weights.iter().sum();
    let mut counts = HashMap::new();
    (0..round * 3).filter_map(|_| next(&upstream)).for_each(|port| *counts.entry(port).or_insert(0) += 1);
    assert!((1..).zip(&weights).all(|(port, weight)| counts[&port] == weight * 3), "{counts:?}");
}

#[test]
fn bound_requests_can_count_as_turns() {
    let upstream = weighted(Balance::RoundRobin, &[1, 1, 1]);
    upstream.count_turn(&upstream.endpoints()[0]);
    assert_eq!([next(&upstream), next(&upstream)], [Some(2), Some(3)]);
}

#[test]
fn turns_beside_routes_go_on_from_what_each_endpoint_is_ahead() {
    let sticky = StickySessionAffinity { name: "R".to_owned(), separator: b'.', set_cookie: false };
    let affinity = vec![Affinity::StickySession(sticky)];
    let config = UpstreamConfig { balance: Balance::RoundRobin, affinity, ..UpstreamConfig::new("test", Vec::new()) };
    let upstream = with(config, (1..=3).map(|port| endpoint(port, |_| ())).collect());
    let first = Arc::clone(&upstream.endpoints()[0]);
    assert_eq!([(); 2].map(|()| next(&upstream).unwrap()), [1, 2]);
    probe(&first, false, Seconds(0));
    // What is down has no turn to be counted.
    upstream.count_turn(&first);
    assert_eq!([(); 3].map(|()| next(&upstream).unwrap()), [3, 3, 2]);
    probe(&first, true, Seconds(0));
    assert_eq!([(); 3].map(|()| next(&upstream).unwrap()), [3, 2, 1]);
}

#[test]
fn least_conn_fills_by_weight_and_idle_endpoints_have_turns() {
    let upstream = weighted(Balance::LeastConn, &[1, 2, 4]);
    assert_eq!([(); 6].map(|()| next(&upstream).unwrap()), [1, 2, 3, 1, 2, 3], "idle");
    let loads: Vec<Load> = (0..700).filter_map(|_| upstream.choose(&[])).collect();
    let counts = upstream.endpoints().iter().map(|endpoint| endpoint.load()).collect::<Vec<_>>();
    assert!(counts.iter().zip([100, 200, 400]).all(|(count, share)| count.abs_diff(share) <= 3), "{counts:?}");
    drop(loads);
    assert!(upstream.endpoints().iter().all(|endpoint| endpoint.load() == 0));
}

#[test]
fn the_endpoint_that_comes_up_is_the_last_of_the_idle_ones() {
    let upstream = weighted(Balance::LeastConn, &[1, 1, 1]);
    let first = Arc::clone(&upstream.endpoints()[0]);
    probe(&first, false, Seconds(0));
    assert_eq!([(); 3].map(|()| next(&upstream).unwrap()), [2, 3, 2]);
    probe(&first, true, Seconds(0));
    assert_eq!([(); 4].map(|()| next(&upstream).unwrap()), [3, 2, 1, 3]);
}

#[test]
fn random_pairs_prefer_the_less_loaded_by_weight() {
    let upstream = weighted(Balance::Random2, &[1, 3]);
    let _loads: Vec<Load> = (0..4000).filter_map(|_| upstream.choose(&[])).collect();
    let counts = upstream.endpoints().iter().map(|endpoint| endpoint.load()).collect::<Vec<_>>();
    assert!(counts[0].abs_diff(1000) < 200, "{counts:?}");
}

#[test]
fn first_fills_one_after_the_other() {
    let endpoints = (1..=3).map(|port| endpoint(port, |config| config.max_conn = 2)).collect();
    let upstream = upstream(Balance::First, endpoints);
    let wish = Wish { key: None, hash: None, tried: &[], session: false };
    let placed: Vec<_> = (0..6).map(|_| upstream.place(&wish).unwrap()).collect();
    let in_use = upstream.endpoints().iter().map(|endpoint| endpoint.in_use()).collect::<Vec<_>>();
    assert_eq!(in_use, [2, 2, 2], "{placed:?}");
}

#[test]
fn backups_serve_while_every_other_is_unusable() {
    for (all_backups, expected) in [(false, vec![3, 3, 3]), (true, vec![3, 4, 3])] {
        let endpoints = (1..=4).map(|port| endpoint(port, |config| config.backup = port > 2)).collect();
        let base = UpstreamConfig::new("test", Vec::new());
        let upstream = with(UpstreamConfig { balance: Balance::RoundRobin, all_backups, ..base }, endpoints);
        let endpoints = upstream.endpoints();
        endpoints[0].set_state(AdminState::Drain);
        assert_eq!([(); 2].map(|()| next(&upstream).unwrap()), [2, 2]);
        probe(&endpoints[1], false, Seconds(0));
        assert_eq!([(); 3].map(|()| next(&upstream).unwrap()).to_vec(), expected);
        // All that may be used are down: the evidence is not believed, but the drained one stays out.
        probe(&endpoints[2], false, Seconds(0));
        probe(&endpoints[3], false, Seconds(0));
        assert_eq!(next(&upstream), Some(2));
        endpoints[1].set_state(AdminState::Maintenance);
        assert!(next(&upstream) > Some(2));
        probe(&endpoints[1], true, Seconds(0));
        endpoints[1].set_state(AdminState::Ready);
        assert_eq!([(); 2].map(|()| next(&upstream).unwrap()), [2, 2]);
    }
}

#[test]
fn slow_starts_grow_after_an_endpoint_came_up_but_not_at_first() {
    let endpoints = (1..=2).map(|port| endpoint(port, |config| config.max_conn = 10)).collect();
    let base = UpstreamConfig::new("test", Vec::new());
    let config = UpstreamConfig { balance: Balance::RoundRobin, slow_start: Duration::from_secs(16), ..base };
    let upstream = with(config, endpoints);
    let slow = Arc::clone(&upstream.endpoints()[0]);
    probe(&slow, true, Seconds(0));
    upstream.renew_tiers(Seconds(1));
    assert_eq!(slow.slots(), 10, "limpet has just started");
    probe(&slow, false, Seconds(2));
    probe(&slow, true, Seconds(100));
    for (now, slots, of_sixteen) in [(100, 1, 1), (104, 2, 4), (108, 5, 8), (115, 9, 15), (116, 10, 16), (200, 10, 16)]
    {
        upstream.renew_tiers(Seconds(now));
        let weights: Vec<u32> = upstream.tiers.load().tiers[0].seats.iter().map(|seat| seat.weight).collect();
        assert_eq!((slow.slots(), weights[0], weights[1]), (slots, of_sixteen, 16), "{now}");
    }
}

#[test]
fn sessions_are_bounded_exactly_over_all_threads() {
    let endpoints = (1..=3).map(|port| endpoint(port, |config| config.max_sessions = 100)).collect();
    let upstream = upstream(Balance::Random2, endpoints);
    let wish = Wish { key: None, hash: None, tried: &[], session: true };
    let placed: Vec<_> = std::thread::scope(|scope| {
        let place = || (0..200).filter_map(|_| upstream.place(&wish).ok()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(place)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(placed.len(), 300);
    assert!(upstream.endpoints().iter().all(|endpoint| endpoint.load() == 100));
    let other = upstream.place(&Wish { session: false, ..wish });
    assert!(other.is_ok(), "a request that opens no session may still come");
}

#[test]
fn a_hash_with_a_balance_factor_never_loads_an_endpoint_more() {
    for hash in HASHES {
        let base = UpstreamConfig::new("test", Vec::new());
        let config = UpstreamConfig { balance: Balance::Hash, hash, hash_balance_factor: 125, ..base };
        let upstream = with(config, (1..=5).map(|port| endpoint(port, |_| {})).collect());
        let mut loads = Vec::new();
        for n in 0_u32..500 {
            // One key alone wants one endpoint; half of all requests have it.
            let key = if n % 2 == 0 { 0 } else { n };
            let wish = Wish { key: Some(Key::Text(&key.to_be_bytes())), hash: None, tried: &[], session: false };
            let Choice::Endpoint { load, .. } = upstream.decide(&wish) else { panic!("none") };
            loads.push(load);
            let most = (loads.len() as u32 * 125).div_ceil(100).div_ceil(5).max(1);
            assert!(upstream.endpoints().iter().all(|endpoint| endpoint.load() <= most), "{hash:?} {n}");
        }
    }
}

#[test]
fn rendezvous_shares_follow_weights() {
    let upstream = weighted(Balance::LeastConn, &[1, 2, 5]);
    let mut counts = [0_i32; 3];
    for n in 0..20_000_u32 {
        counts[usize::from(port(&upstream.choose_by_hash(Hash::Rendezvous, &n.to_be_bytes(), &[]).unwrap())) - 1] += 1;
    }
    assert!(counts.iter().zip([2500, 5000, 12_500]).all(|(count, share)| (count - share).abs() < 400), "{counts:?}");
}

#[test]
fn empty_keys_are_placed_by_turns() {
    let upstream = weighted(Balance::LeastConn, &[1, 1]);
    for hash in Hash::ALL {
        let ports: Vec<u16> = (0..2).map(|_| port(&upstream.choose_by_hash(hash, b"", &[]).unwrap())).collect();
        assert_eq!(ports, [1, 2], "{hash:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens to endpoints, a choice is one that may be chosen, and there is one as long as there may be.
    #[test]
    fn only_endpoints_that_take_new_sessions_are_chosen(
        steps in proptest::collection::vec((0_usize..6, 0_u8..7), 1..60),
        balance in proptest::sample::select(Balance::ALL.to_vec()),
        hash in proptest::sample::select(Hash::ALL.to_vec()),
    ) {
        let endpoints: Vec<_> = (1..=6).map(|port| endpoint(port, |config| config.backup = port == 6)).collect();
        let base = UpstreamConfig::new("test", Vec::new());
        let upstream = with(UpstreamConfig { balance, hash, ..base }, endpoints.clone());
        for (at, what) in steps {
            let it = &endpoints[at];
            match what {
                0 => it.set_state(AdminState::Ready),
                1 => it.set_state(AdminState::Drain),
                2 => it.set_state(AdminState::Maintenance),
                3 | 4 => probe(it, what == 3, Seconds(0)),
                5 => it.apply(&EndpointConfig { weight: 0, ..EndpointConfig::new("127.0.0.1", 1) }),
                _ => it.apply(&EndpointConfig { weight: 7, ..EndpointConfig::new("127.0.0.1", 1) }),
            }
            let key = Some(Key::Text(b"some key"));
            let chosen = match upstream.decide(&Wish { key, hash: None, tried: &[], session: true }) {
                Choice::Endpoint { load, .. } => Some(Arc::clone(load.endpoint())),
                _ => None,
            };
            let may = |endpoint: &Endpoint| endpoint.state() == AdminState::Ready && endpoint.weight() > 0;
            let usable = |endpoint: &&Arc<Endpoint>| endpoint.takes_new();
            match chosen {
                Some(chosen) => {
                    prop_assert!(may(&chosen));
                    let better = endpoints.iter().filter(usable).any(|other| !other.is_backup());
                    prop_assert!(!better || (chosen.takes_new() && !chosen.is_backup()));
                }
                None => prop_assert!(!endpoints.iter().any(|endpoint| may(endpoint))),
            }
        }
    }

    /// A key stays with its endpoint while that lives, and only the keys of an endpoint that goes or comes move.
    #[test]
    fn consistent_hashes_move_only_what_has_to_move(
        weights in proptest::collection::vec(1_u32..8, 2..12),
        gone in any::<proptest::sample::Index>(),
        hash in proptest::sample::select(HASHES.to_vec()),
        removed in any::<bool>(),
    ) {
        let upstream = weighted(Balance::LeastConn, &weights);
        let homes = |upstream: &Upstream| {
            let home = |n: u32| port(&upstream.choose_by_hash(hash, &n.to_be_bytes(), &[]).unwrap());
            (0..500).map(home).collect::<Vec<u16>>()
        };
        let before = homes(&upstream);
        prop_assert_eq!(&before, &homes(&upstream));
        let endpoints = upstream.endpoints();
        let gone = Arc::clone(&endpoints[gone.index(weights.len())]);
        if removed {
            upstream.set_endpoints(endpoints.iter().filter(|e| e.serial() != gone.serial()).cloned().collect());
        } else {
            probe(&gone, false, Seconds(0));
        }
        for (was, is) in before.iter().zip(homes(&upstream)) {
            prop_assert!(is != gone.address().port());
            prop_assert!(*was == is || *was == gone.address().port());
        }
        if removed {
            upstream.set_endpoints(endpoints.to_vec());
        } else {
            probe(&gone, true, Seconds(0));
        }
        prop_assert_eq!(before, homes(&upstream));
    }

    /// The load of every endpoint stays as even as its weight allows, and an ejected one is passed over.
    #[test]
    fn least_conn_is_never_far_off(ends in proptest::collection::vec(any::<proptest::sample::Index>(), 1..200)) {
        let base = UpstreamConfig::new("test", Vec::new());
        let endpoints: Vec<_> = (1..=4).map(|port| endpoint(port, |_| {})).collect();
        let upstream = with(UpstreamConfig { outlier: OUTLIER, ..base }, endpoints.clone());
        let mut loads: Vec<Load> = (0..40).filter_map(|_| upstream.choose(&[])).collect();
        for end in ends {
            drop(loads.swap_remove(end.index(loads.len())));
            let least = endpoints.iter().map(|endpoint| endpoint.load()).min();
            let load = upstream.choose(&[]).unwrap();
            prop_assert_eq!(load.endpoint().load(), least.unwrap() + 1);
            loads.push(load);
        }
        upstream.note_failure(&endpoints[0], "test");
        prop_assert!((0..20).all(|_| next(&upstream) != Some(1)));
    }
}
