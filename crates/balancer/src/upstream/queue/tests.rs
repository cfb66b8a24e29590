use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU32;

use proptest::prelude::*;

use super::*;
use crate::config::{AdminState, Balance, EndpointConfig, Hash, UpstreamConfig};
use crate::upstream::balance::hash::Key;

const WISH: Wish<'static> = Wish { key: None, hash: None, tried: &[], session: false };

fn upstream(limits: &[u32], change: impl FnOnce(&mut UpstreamConfig)) -> Upstream {
    let mut config = UpstreamConfig::new("test", Vec::new());
    change(&mut config);
    let upstream = Upstream::new(config);
    let endpoints = (1..).zip(limits).map(|(port, max_conn)| {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let config = EndpointConfig { max_conn: *max_conn, ..EndpointConfig::new("127.0.0.1", port) };
        Arc::new(Endpoint::new(EndpointId::derive(None, address), address, &config))
    });
    upstream.set_endpoints(endpoints.collect());
    upstream
}

fn now(entry: Entry) -> Option<Slot> {
    match entry {
        Entry::Now(slot) => slot,
        Entry::Later(mut waiting) => waiting.try_take(),
    }
}

fn later(entry: Entry) -> Waiting {
    match entry {
        Entry::Later(waiting) => waiting,
        Entry::Now(slot) => panic!("it does not wait: {slot:?}"),
    }
}

fn anywhere(upstream: &Upstream) -> Waiting {
    match upstream.place(&WISH) {
        Ok(Place::Anywhere(waiting)) => waiting,
        other => panic!("{other:?}"),
    }
}

fn slot(place: Result<Place, Refusal>) -> Slot {
    match place {
        Ok(Place::At(_, Entry::Now(Some(slot)))) => slot,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bound_requests_go_before_new_ones_and_those_in_their_order() {
    let upstream = upstream(&[1], |_| {});
    let endpoint = &upstream.endpoints()[0];
    let first = slot(upstream.place(&WISH));
    let mut new = [anywhere(&upstream), anywhere(&upstream)];
    let mut bound = [later(upstream.enter(endpoint).unwrap()), later(upstream.enter(endpoint).unwrap())];
    assert_eq!((upstream.queue.len(), upstream.queue.waiting_for(endpoint)), (4, 2));
    let mut slot = first;
    let [one, two] = &mut bound;
    let [three, four] = &mut new;
    let mut line: VecDeque<&mut Waiting> = [one, two, three, four].into();
    while let Some(next) = line.pop_front() {
        assert!(next.try_take().is_none());
        drop(slot);
        slot = next.try_take().expect("its turn");
        assert!(line.iter_mut().all(|other| other.try_take().is_none()));
        assert_eq!(endpoint.in_use(), 1);
    }
    drop(slot);
    assert_eq!((endpoint.in_use(), upstream.queue.len(), upstream.queue.peak()), (0, 0, 4));
}

#[test]
fn the_first_free_slot_of_any_endpoint_is_taken() {
    let upstream = upstream(&[1, 1], |_| {});
    let mut slots = vec![slot(upstream.place(&WISH)), slot(upstream.place(&WISH))];
    let mut waiting = anywhere(&upstream);
    let freed = slots.pop().unwrap();
    let port = freed.endpoint().unwrap().address().port();
    drop(freed);
    assert_eq!(waiting.try_take().unwrap().endpoint().unwrap().address().port(), port);
}

#[test]
fn a_full_queue_refuses_at_once() {
    let upstream = upstream(&[1], |config| config.max_queue = 2);
    let _slot = slot(upstream.place(&WISH));
    let waiting = [anywhere(&upstream), anywhere(&upstream)];
    assert_eq!(upstream.place(&WISH).unwrap_err(), Refusal::QueueFull);
    assert_eq!(upstream.enter(&upstream.endpoints()[0]).unwrap_err(), Refusal::QueueFull);
    drop(waiting);
    assert!(upstream.queue.is_empty());
    let _again = anywhere(&upstream);
}

#[test]
fn whoever_leaves_gives_back_what_it_was_given() {
    let upstream = upstream(&[1], |_| {});
    let slot = slot(upstream.place(&WISH));
    let (leaves, mut stays) = (anywhere(&upstream), anywhere(&upstream));
    drop(slot);
    // The slot is in the hands of the one that leaves.
    assert!(stays.try_take().is_none());
    drop(leaves);
    assert!(stays.try_take().is_some());
    assert_eq!(upstream.endpoints()[0].in_use(), 0);
}

#[test]
fn a_key_waits_for_its_endpoint_but_nginxs_hashes_pass_it_over() {
    for (hash, waits) in [(Hash::Rendezvous, true), (Hash::Ring, true), (Hash::Source, true), (Hash::Ketama, false)] {
        let upstream = upstream(&[1, 1, 1], |config| (config.balance, config.hash) = (Balance::Hash, hash));
        let wish = Wish { key: Some(Key::Text(b"key")), ..WISH };
        let Ok(Place::At(load, Entry::Now(Some(_slot)))) = upstream.place(&wish) else { panic!("{hash:?}") };
        match upstream.place(&wish) {
            Ok(Place::At(second, Entry::Later(_))) if waits => {
                assert_eq!(second.endpoint().id(), load.endpoint().id());
            }
            Ok(Place::At(second, Entry::Now(Some(_)))) if !waits => {
                assert_ne!(second.endpoint().id(), load.endpoint().id());
            }
            other => panic!("{hash:?}: {other:?}"),
        }
    }
}

#[test]
fn limits_and_states_that_change_serve_those_who_wait() {
    let upstream = upstream(&[1, 1], |_| {});
    let endpoints = upstream.endpoints();
    endpoints[1].set_state(AdminState::Drain);
    let _slot = slot(upstream.place(&WISH));
    let (mut one, mut two) = (anywhere(&upstream), anywhere(&upstream));
    endpoints[1].set_state(AdminState::Ready);
    upstream.tend(crate::table::Seconds(1));
    let taken = one.try_take().expect("the other endpoint takes it");
    assert!(taken.is_of(&endpoints[1]) && two.try_take().is_none());
    endpoints[0].apply(&EndpointConfig { max_conn: 2, ..EndpointConfig::new("127.0.0.1", 1) });
    upstream.tend(crate::table::Seconds(1));
    assert!(two.try_take().is_some_and(|slot| slot.is_of(&endpoints[0])));
}

#[test]
fn those_who_wait_for_an_endpoint_that_goes_are_sent_away() {
    let upstream = upstream(&[1, 1], |_| {});
    let endpoints = upstream.endpoints();
    let _slot = now(upstream.enter(&endpoints[0]).unwrap()).unwrap();
    let mut waiting = later(upstream.enter(&endpoints[0]).unwrap());
    upstream.set_endpoints(endpoints[1..].to_vec());
    assert_eq!(waiting.slot.try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
    drop(waiting);
    assert_eq!(upstream.queue.len(), 0);
}

#[test]
fn no_limit_counts_nothing() {
    let upstream = upstream(&[0, 0], |_| {});
    let Ok(Place::At(_load, Entry::Now(None))) = upstream.place(&WISH) else { panic!("it has a slot") };
    assert!(matches!(upstream.enter(&upstream.endpoints()[0]), Ok(Entry::Now(None))));
    assert!(upstream.endpoints().iter().all(|endpoint| endpoint.in_use() == 0));
}

#[test]
fn limits_hold_over_threads_and_everybody_is_served() {
    let upstream = upstream(&[3, 2, 1], |_| {});
    let endpoints = upstream.endpoints();
    let inside: Vec<AtomicU32> = endpoints.iter().map(|_| AtomicU32::new(0)).collect();
    let work = |thread: usize| {
        for round in 0..2000 {
            let waits = |mut waiting: Waiting| loop {
                match waiting.try_take() {
                    Some(slot) => break slot,
                    None => std::thread::yield_now(),
                }
            };
            let slot = if (thread + round).is_multiple_of(3) {
                match upstream.enter(&endpoints[round % 3]).unwrap() {
                    Entry::Now(slot) => slot.unwrap(),
                    Entry::Later(waiting) => waits(waiting),
                }
            } else {
                match upstream.place(&WISH).unwrap() {
                    Place::At(_, Entry::Now(slot)) => slot.unwrap(),
                    Place::At(_, Entry::Later(waiting)) | Place::Anywhere(waiting) => waits(waiting),
                }
            };
            let at = usize::from(slot.endpoint().unwrap().address().port()) - 1;
            let before = inside[at].fetch_add(1, Ordering::SeqCst);
            assert!(before < endpoints[at].max_conn(), "{} at {at}", before + 1);
            inside[at].fetch_sub(1, Ordering::SeqCst);
            drop(slot);
        }
    };
    std::thread::scope(|scope| (0..8).for_each(|thread| _ = scope.spawn(move || work(thread))));
    assert!(endpoints.iter().all(|endpoint| endpoint.in_use() == 0) && upstream.queue.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    New,
    Bound(usize),
    Keyed(u8),
    Release(prop::sample::Index),
    Leave(prop::sample::Index),
    Limit(usize, u32),
    State(usize, AdminState),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::New),
        4 => (0..3_usize).prop_map(Step::Bound),
        2 => any::<u8>().prop_map(Step::Keyed),
        8 => any::<prop::sample::Index>().prop_map(Step::Release),
        2 => any::<prop::sample::Index>().prop_map(Step::Leave),
        1 => (0..3_usize, 1..4_u32).prop_map(|(at, limit)| Step::Limit(at, limit)),
        1 => (0..3_usize, prop::sample::select(vec![AdminState::Ready, AdminState::Drain]))
            .prop_map(|(at, state)| Step::State(at, state)),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_step_keeps_the_promises(steps in steps()) {
        let upstream = upstream(&[1, 2, 1], |config| config.hash = Hash::Ring);
        let endpoints = upstream.endpoints();
        let mut limits = [1, 2, 1];
        let mut held: Vec<Slot> = Vec::new();
        // By the order of their coming.
        let mut waiting: BTreeMap<usize, Waiting> = BTreeMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::New | Step::Keyed(_) => {
                    let key = match &step { Step::Keyed(key) => std::slice::from_ref(key), _ => b"".as_slice() };
                    let place = if key.is_empty() {
                        upstream.place(&WISH)
                    } else {
                        let load = upstream.choose_by_hash(Hash::Ring, key, &[]);
                        match load {
                            Some(load) => {
                                let endpoint = Arc::clone(load.endpoint());
                                let line = Line::Placed(endpoint.serial());
                                upstream.enter_line(&endpoint, line, &WISH).map(|entry| Place::At(load, entry))
                            }
                            None => Err(Refusal::NoEndpoint),
                        }
                    };
                    match place {
                        Ok(Place::At(_, Entry::Now(slot))) => held.extend(slot),
                        Ok(Place::At(_, Entry::Later(it)) | Place::Anywhere(it)) => _ = waiting.insert(number, it),
                        Err(Refusal::NoEndpoint) => {
                            prop_assert!(endpoints.iter().all(|endpoint| !endpoint.takes_new()));
                        }
                        Err(refusal) => panic!("{refusal}"),
                    }
                }
                Step::Bound(at) => match upstream.enter(&endpoints[at]).unwrap() {
                    Entry::Now(slot) => held.extend(slot),
                    Entry::Later(it) => _ = waiting.insert(number, it),
                },
                Step::Release(_) if held.is_empty() => {}
                Step::Release(which) => drop(held.swap_remove(which.index(held.len()))),
                Step::Leave(_) if waiting.is_empty() => {}
                Step::Leave(which) => {
                    let number = *waiting.keys().nth(which.index(waiting.len())).unwrap();
                    waiting.remove(&number);
                }
                Step::Limit(at, limit) => {
                    limits[at] = limit;
                    endpoints[at].apply(&EndpointConfig {
                        max_conn: limit, state: endpoints[at].state(), ..EndpointConfig::new("127.0.0.1", 1)
                    });
                }
                Step::State(at, state) => endpoints[at].set_state(state),
            }
            upstream.tend(crate::table::Seconds(number as u32));
            // Who was served, and whether anybody in the same line came before it and waits still.
            let mut served = Vec::new();
            waiting.retain(|number, it| {
                let slot = it.try_take();
                let line = it.line;
                slot.is_none_or(|slot| { served.push((*number, line, slot)); false })
            });
            for (number, line, slot) in served {
                let endpoint = slot.endpoint().unwrap();
                for (other, it) in &waiting {
                    prop_assert!(it.line != line || *other > number, "{other} waits longer than {number}");
                    let bound = it.line == Line::Bound(endpoint.serial());
                    prop_assert!(!bound || matches!(line, Line::Bound(_)), "bound requests come first");
                }
                held.push(slot);
            }
            // Slots in use are those held: none is lost, none is taken twice, and none lies idle while somebody waits.
            for (endpoint, limit) in endpoints.iter().zip(limits) {
                let holds = held.iter().filter(|slot| slot.is_of(endpoint)).count() as u32;
                prop_assert_eq!(endpoint.in_use(), holds);
                let free = endpoint.in_use() < limit;
                let own = waiting.values().any(|it| matches!(it.line, Line::Bound(s) | Line::Placed(s) if s == endpoint.serial()));
                let any = waiting.values().any(|it| it.line == Line::Anywhere) && endpoint.takes_new();
                prop_assert!(!(free && (own || any)), "a slot of {} lies idle", endpoint.name());
            }
            prop_assert_eq!(upstream.queue.len(), waiting.len());
        }
        // Nobody starves: when slots go back one after the other, everybody has one in the end.
        endpoints.iter().for_each(|endpoint| endpoint.set_state(AdminState::Ready));
        upstream.tend(crate::table::Seconds(1000));
        for _ in 0..400 {
            waiting.retain(|_, it| match it.try_take() { Some(slot) => { held.push(slot); false }, None => true });
            held.pop();
        }
        prop_assert!(waiting.is_empty() && held.is_empty() && upstream.queue.is_empty());
    }
}
