use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMITS: fn() -> DnsConfig = DnsConfig::default;

/// What a test writes for one family: addresses, none, or a failure.
#[derive(Clone, Debug)]
enum Half {
    Has(&'static [&'static str]),
    No,
    Fails,
}

use Half::{Fails, Has, No};

fn part(half: &Half) -> Part<Vec<IpAddr>> {
    match half {
        Has(addresses) => Part::Found(addresses.iter().map(|address| address.parse().unwrap()).collect()),
        No => Part::Missing,
        Fails => Part::Failed("no answer".to_owned()),
    }
}

fn of_host(v4: &Half, v6: &Half, ttl: u64) -> Answer {
    let record = Record { target: "app".into(), port: 80, priority: 0, weight: None };
    let addresses = [(("app".into(), Family::V4), part(v4)), (("app".into(), Family::V6), part(v6))].into();
    Answer { records: Part::Found(vec![record]), addresses, ttl: Duration::from_secs(ttl) }
}

fn addresses(name: &Name) -> Vec<String> {
    name.places().iter().map(|place| place.address.ip().to_string()).collect()
}

fn trouble(effect: &Effect) -> bool {
    matches!(effect.say, Some(Say::Trouble(_)))
}

#[test]
fn the_last_good_answer_is_kept_while_dns_fails() {
    let mut now = Instant::now();
    let mut name = Name::new(now);
    let mut ask = |answer, name: &mut Name| {
        now += Duration::from_secs(3600);
        name.handle_answer(answer, &LIMITS(), now)
    };
    assert!(trouble(&ask(of_host(&Fails, &Fails, 0), &mut name)) && name.is_answered());
    assert!(ask(of_host(&Has(&["10.0.0.1"]), &Has(&["fd00::1"]), 5), &mut name).changed);

    // Each family by itself, and the silence of one says nothing of the name.
    let effect = ask(of_host(&Has(&["10.0.0.2"]), &Fails, 5), &mut name);
    assert!(effect.changed && trouble(&effect));
    assert_eq!(addresses(&name), ["10.0.0.2", "fd00::1"]);
    let effect = ask(of_host(&No, &Fails, 5), &mut name);
    assert_eq!((effect, addresses(&name)), (Effect::default(), vec!["10.0.0.2".to_owned(), "fd00::1".into()]));

    let effect = ask(of_host(&Fails, &Fails, 0), &mut name);
    assert_eq!((effect, addresses(&name).len()), (Effect::default(), 2), "said once");
    let effect = ask(of_host(&Has(&["10.0.0.2"]), &No, 5), &mut name);
    assert_eq!(effect, Effect { changed: true, say: Some(Say::Recovered) });
    assert_eq!(addresses(&name), ["10.0.0.2"]);
}

#[test]
fn a_name_that_is_gone_is_held_for_a_while() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut name = Name::new(start);
    name.handle_answer(of_host(&Has(&["10.0.0.1"]), &No, 5), &LIMITS(), at(0));
    assert!(trouble(&name.handle_answer(of_host(&No, &No, 0), &LIMITS(), at(5))));
    for seconds in [7, 34] {
        assert_eq!(name.handle_answer(of_host(&No, &No, 0), &LIMITS(), at(seconds)), Effect::default());
        assert_eq!(addresses(&name), ["10.0.0.1"]);
    }
    let effect = name.handle_answer(of_host(&No, &No, 0), &LIMITS(), at(35));
    assert_eq!((effect, addresses(&name)), (Effect { changed: true, say: Some(Say::Gone) }, vec![]));
    let effect = name.handle_answer(of_host(&No, &No, 0), &LIMITS(), at(37));
    assert_eq!(effect, Effect::default(), "said once");

    // One good answer begins the time anew.
    name.handle_answer(of_host(&Has(&["10.0.0.1"]), &No, 5), &LIMITS(), at(40));
    name.handle_answer(of_host(&No, &No, 0), &LIMITS(), at(45));
    name.handle_answer(of_host(&Has(&["10.0.0.1"]), &No, 5), &LIMITS(), at(50));
    name.handle_answer(of_host(&No, &No, 0), &LIMITS(), at(70));
    name.handle_answer(of_host(&No, &No, 0), &LIMITS(), at(99));
    assert_eq!(addresses(&name), ["10.0.0.1"]);
}

#[test]
fn the_ttl_counts_within_bounds() {
    let now = Instant::now();
    for (ttl, pause) in [(0, 1), (1, 1), (7, 7), (30, 30), (600, 30)] {
        let mut name = Name::new(now);
        assert_eq!(name.due(), now);
        name.handle_answer(of_host(&Has(&["10.0.0.1"]), &No, ttl), &LIMITS(), now);
        assert_eq!(name.due() - now, Duration::from_secs(pause), "{ttl}");
        name.handle_answer(of_host(&Fails, &No, ttl), &LIMITS(), now);
        assert_eq!(name.due() - now, RETRY);
    }
}

fn srv(target: &str, port: u16, priority: u16, weight: u16) -> Record {
    Record { target: target.into(), port, priority, weight: Some(weight) }
}

#[test]
fn srv_records_give_ports_weights_and_backups() {
    let now = Instant::now();
    let mut name = Name::new(now);
    let records = vec![srv("spare", 81, 20, 50), srv("a", 80, 10, 30), srv("b", 8080, 10, 10)];
    let mut answer = Answer {
        records: Part::Found(records),
        addresses: [("a", "10.0.0.1"), ("b", "10.0.0.2"), ("spare", "10.0.0.3")]
            .into_iter()
            .flat_map(|(target, ip)| {
                [
                    ((target.to_owned(), Family::V4), Part::Found(vec![ip.parse().unwrap()])),
                    ((target.to_owned(), Family::V6), Part::Missing),
                ]
            })
            .collect(),
        ttl: Duration::from_secs(5),
    };
    let show = |name: &Name| -> Vec<String> {
        let one = |place: &Place| format!("{} {:?} {}", place.address, place.weight, place.backup);
        name.places().iter().map(one).collect()
    };
    name.handle_answer(answer.clone(), &LIMITS(), now);
    let all = ["10.0.0.1:80 Some(30) false", "10.0.0.2:8080 Some(10) false", "10.0.0.3:81 Some(50) true"];
    assert_eq!(show(&name), all);

    // A target that cannot be looked up keeps its addresses; one that is gone loses them.
    answer.addresses.insert(("b".into(), Family::V4), Part::Failed("no answer".into()));
    answer.addresses.insert(("spare".into(), Family::V4), Part::Missing);
    name.handle_answer(answer.clone(), &LIMITS(), now);
    assert_eq!(show(&name), all[..2]);

    // So does the whole.
    let fails = Answer { records: Part::Failed("refused".into()), addresses: HashMap::new(), ttl: Duration::ZERO };
    assert!(!name.handle_answer(fails, &LIMITS(), now).changed);
    assert_eq!(show(&name), all[..2]);
}

#[test]
fn addresses_are_taken_once_and_not_without_end() {
    let now = Instant::now();
    let mut name = Name::new(now);
    let mut answer = of_host(&No, &No, 5);
    let many = (0..5000_u32).flat_map(|n| [IpAddr::from(n.to_be_bytes()); 2]).collect();
    answer.addresses.insert(("app".into(), Family::V4), Part::Found(many));
    name.handle_answer(answer, &LIMITS(), now);
    assert_eq!(name.places().len(), MAX_PLACES);
    assert_eq!(addresses(&name)[..2], ["0.0.0.0", "0.0.0.1"]);
}

fn half(choice: u8) -> Half {
    match choice {
        0 => Has(&["10.0.0.1"]),
        1 => Has(&["10.0.0.2", "10.0.0.1"]),
        2 => No,
        _ => Fails,
    }
}

proptest! {
    /// Whatever DNS answers: while it fails altogether nothing changes, what is found in both halves counts at once, and a
    /// name is always asked for again within bounds.
    #[test]
    fn answers_in_any_order(steps in vec((0..4_u8, 0..4_u8, 0..100_u64), 1..50)) {
        let mut now = Instant::now();
        let mut name = Name::new(now);
        for (v4, v6, seconds) in steps {
            now += Duration::from_secs(seconds);
            let before = addresses(&name);
            let effect = name.handle_answer(of_host(&half(v4), &half(v6), seconds), &LIMITS(), now);
            let after = addresses(&name);
            prop_assert_eq!(effect.changed, before != after);
            if v4 == 3 && v6 == 3 {
                prop_assert_eq!(&before, &after);
            }
            if v4 < 2 || v6 < 2 {
                prop_assert!(!after.is_empty());
            }
            if v4 < 2 && v6 == 2 {
                prop_assert_eq!(after.len(), usize::from(v4) + 1);
            }
            let pause = name.due() - now;
            prop_assert!(pause >= Duration::from_secs(1) && pause <= Duration::from_secs(30));
        }
    }
}
