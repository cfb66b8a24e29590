use std::collections::HashMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::handle::CONFIGURATION;
use super::*;
use crate::config::UpstreamConfig;
use crate::table::Seconds;
use crate::upstream::endpoint::Load;

fn group() -> Group {
    Group::new(Arc::new(Upstream::new(UpstreamConfig::new("test", Vec::new()))))
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Applies what the sources say, which is addresses only.
fn apply(group: &mut Group, now: Instant) -> bool {
    let of = |config: &EndpointConfig| Wanted { config: config.clone(), address: address(config.port) };
    let wanted = group.configs().map(of).collect();
    group.apply(wanted, now)
}

fn configs(ports: impl IntoIterator<Item = u16>) -> Vec<EndpointConfig> {
    ports.into_iter().map(|port| EndpointConfig::new("127.0.0.1", port)).collect()
}

fn ports(group: &Group) -> Vec<u16> {
    group.upstream().endpoints().iter().map(|endpoint| endpoint.address().port()).collect()
}

#[test]
fn sources_count_in_order_and_contradictions_change_nothing() {
    let (mut group, now) = (group(), Instant::now());
    group.set(CONFIGURATION, configs([])).unwrap();
    group.set("replicas", configs([3, 4])).unwrap();
    group.set(CONFIGURATION, configs([1, 2])).unwrap();
    assert!(apply(&mut group, now));
    assert_eq!(ports(&group), [1, 2, 3, 4], "the configuration is first, although it said so last");

    assert!(matches!(group.set("other", configs([5, 3])), Err(Refusal::Repeated(_))), "of another source");
    assert!(matches!(group.set("replicas", configs([5, 5])), Err(Refusal::Repeated(_))), "in itself");
    let ids = |id: &str| EndpointConfig { id: Some(id.to_owned()), ..EndpointConfig::new("127.0.0.1", 9) };
    let same_id = vec![EndpointConfig { port: 8, ..ids("a") }, ids("a")];
    assert!(matches!(group.set("replicas", same_id), Err(Refusal::Repeated(_))));
    for wrong in [EndpointConfig::new("", 1), EndpointConfig::new("a", 0), EndpointConfig { weight: 257, ..ids("w") }] {
        assert!(matches!(group.set("replicas", vec![wrong]), Err(Refusal::Wrong(_))));
    }
    assert!(!apply(&mut group, now));
    assert_eq!(ports(&group), [1, 2, 3, 4]);

    group.set("replicas", Vec::new()).unwrap();
    assert!(apply(&mut group, now));
    assert_eq!(ports(&group), [1, 2]);
}

#[test]
fn sources_and_endpoints_are_bounded() {
    let mut group = group();
    for n in 0..MAX_SOURCES {
        group.set(&n.to_string(), configs([1000 + n as u16])).unwrap();
    }
    assert_eq!(group.set("more", configs([1])), Err(Refusal::TooMany { what: "sources", most: MAX_SOURCES }));
    group.set("0", Vec::new()).unwrap();
    group.set("more", configs([1])).expect("a source without endpoints is none");
    let many = configs(2000..2000 + MAX_ENDPOINTS as u16 + 1);
    assert_eq!(group.set("more", many), Err(Refusal::TooMany { what: "endpoints", most: MAX_ENDPOINTS }));
    group.set("more", configs(2000..2000 + MAX_ENDPOINTS as u16)).expect("as many as may be");
    assert!(apply(&mut group, Instant::now()), "which does not take long");
}

#[test]
fn who_comes_back_in_time_has_its_counters() {
    let (mut group, now) = (group(), Instant::now());
    let minutes = |n: u64| Duration::from_secs(60 * n);
    group.set("a", configs([1, 2])).unwrap();
    apply(&mut group, now);
    let leaves = Arc::clone(&group.upstream().endpoints()[1]);
    let tunnel = Load::take(&leaves);
    group.set("a", configs([1])).unwrap();
    apply(&mut group, now);
    assert!(leaves.is_gone() && group.upstream().find(leaves.id()).is_none(), "its sessions are unknown now");

    let again = vec![EndpointConfig { weight: 7, ..EndpointConfig::new("127.0.0.1", 2) }];
    group.set("a", [configs([1]), again].concat()).unwrap();
    apply(&mut group, now + minutes(9));
    let back = Arc::clone(&group.upstream().endpoints()[1]);
    assert!(Arc::ptr_eq(&leaves, &back) && !back.is_gone());
    assert_eq!((back.load(), back.weight()), (1, 7), "with its tunnel, and as it is wanted now");

    group.set("a", configs([1])).unwrap();
    apply(&mut group, now + minutes(10));
    group.set("a", configs([1, 2])).unwrap();
    apply(&mut group, now + minutes(20));
    let other = Arc::clone(&group.upstream().endpoints()[1]);
    assert!(!Arc::ptr_eq(&leaves, &other) && other.load() == 0, "after ten minutes it is forgotten");
    drop(tunnel);
}

#[test]
fn a_state_that_was_set_counts_until_its_source_says_something_else() {
    let (mut group, now) = (group(), Instant::now());
    let with = |state| vec![EndpointConfig { state, id: Some("one".into()), ..EndpointConfig::new("127.0.0.1", 1) }];
    let state = |group: &Group| group.upstream().endpoints()[0].state();
    group.set("file", with(AdminState::Ready)).unwrap();
    apply(&mut group, now);
    assert_eq!(group.set_state("two", AdminState::Drain), 0);
    let id = group.upstream().endpoints()[0].id().to_string();
    for name in ["one", "127.0.0.1:1", &id] {
        assert_eq!(group.set_state(name, AdminState::Drain), 1, "{name}");
    }
    group.set("file", with(AdminState::Ready)).unwrap();
    apply(&mut group, now);
    assert_eq!(state(&group), AdminState::Drain, "the source said nothing new");
    group.set("file", Vec::new()).unwrap();
    apply(&mut group, now);
    group.set("file", with(AdminState::Ready)).unwrap();
    apply(&mut group, now);
    assert_eq!(state(&group), AdminState::Drain, "it belongs to the endpoint's identity");
    group.set("file", with(AdminState::Maintenance)).unwrap();
    apply(&mut group, now);
    group.set("file", with(AdminState::Ready)).unwrap();
    apply(&mut group, now);
    assert_eq!(state(&group), AdminState::Ready, "the last word counts");
}

#[test]
fn one_identity_is_one_endpoint() {
    let (mut group, now) = (group(), Instant::now());
    // A name with an id, which stands for two addresses.
    let config = EndpointConfig { id: Some("one".into()), ..EndpointConfig::new("app", 1) };
    let at = |port| Wanted { config: config.clone(), address: address(port) };
    assert!(group.apply(vec![at(1), at(2)], now));
    assert_eq!(ports(&group), [1]);
    assert!(group.apply(vec![at(2)], now), "it has moved");
    assert_eq!(ports(&group), [2]);
}

/// What a source may say of an endpoint, as numbers that a test can choose from.
fn wish() -> impl Strategy<Value = (u16, bool, u32, bool, usize, bool)> {
    (1..9u16, any::<bool>(), 0..3u32, any::<bool>(), 0..3usize, any::<bool>())
}

fn of_wish((port, id, weight, backup, state, cookie): (u16, bool, u32, bool, usize, bool)) -> EndpointConfig {
    EndpointConfig {
        id: id.then(|| format!("id-{port}")),
        weight,
        backup,
        state: AdminState::ALL[state],
        cookie: cookie.then(|| "c".to_owned()),
        ..EndpointConfig::new("127.0.0.1", port)
    }
}

proptest! {
    /// Whatever two sources say, one after the other: what did not change is the same object with the same load and
    /// health, and what changed is as it was last wanted.
    #[test]
    fn what_did_not_change_is_not_touched(steps in vec((any::<bool>(), vec(wish(), 0..6), 0..400u64), 1..40)) {
        let mut group = group();
        let mut said: HashMap<bool, Vec<EndpointConfig>> = HashMap::new();
        let mut now = Instant::now();
        let mut loads: Vec<Load> = Vec::new();
        for (source, wishes, seconds) in steps {
            now += Duration::from_secs(seconds);
            let set: Vec<EndpointConfig> = wishes.into_iter().map(of_wish).collect();
            let before = group.upstream().endpoints();
            let seen: Vec<_> = before
                .iter()
                .map(|endpoint| (Arc::clone(endpoint), endpoint.load(), endpoint.health().is_ejected(Seconds(1))))
                .collect();
            let name = if source { "one" } else { "two" };
            if group.set(name, set.clone()).is_ok() {
                said.insert(source, set);
            }
            let changed = apply(&mut group, now);
            let after = group.upstream().endpoints();

            // The upstream has what was wanted, each identity once.
            let all: Vec<&EndpointConfig> = group.configs().collect();
            let total: usize = said.values().map(Vec::len).sum();
            prop_assert_eq!(all.len(), total);
            prop_assert_eq!(after.len(), all.len());
            for (endpoint, config) in after.iter().zip(&all) {
                prop_assert_eq!(endpoint.address(), address(config.port));
                prop_assert_eq!(endpoint.weight(), config.weight);
                prop_assert_eq!(endpoint.is_backup(), config.backup);
                prop_assert_eq!(endpoint.state(), config.state);
                prop_assert_eq!(endpoint.cookie(), config.cookie.as_deref());
                prop_assert!(!endpoint.is_gone());
            }
            for (endpoint, load, ejected) in &seen {
                let same = after.iter().find(|other| {
                    other.id() == endpoint.id()
                        && other.address() == endpoint.address()
                        && other.cookie() == endpoint.cookie()
                });
                match same {
                    Some(same) => prop_assert!(Arc::ptr_eq(same, endpoint), "it stays the same object"),
                    None => prop_assert!(endpoint.is_gone()),
                }
                prop_assert_eq!(endpoint.load(), *load);
                prop_assert_eq!(endpoint.health().is_ejected(Seconds(1)), *ejected);
            }
            if !changed {
                prop_assert!(Arc::ptr_eq(&before, &after), "not even the list is another");
            }
            // Something happens to some of them.
            for (n, endpoint) in after.iter().enumerate() {
                if n % 2 == 0 {
                    loads.push(Load::take(endpoint));
                    endpoint.health().eject(&group.upstream().config().outlier, Seconds(0));
                }
            }
        }
    }
}
