use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Entry, Seconds, Table};

fn entry(key: impl Into<String>, value: u32, idle_limit: u32) -> Entry<String, u32> {
    Entry { key: key.into(), value, idle_limit: Seconds(idle_limit) }
}

fn value(table: &Table<String, u32>, key: &str, now: u32) -> Option<u32> {
    table.update(key, Seconds(now), |value| *value)
}

#[test]
fn seconds_round_as_documented() {
    let start = Instant::now();
    assert_eq!(Seconds::between(start, start + Duration::from_millis(2_999)), Seconds(2));
    assert_eq!(Seconds::between(start + Duration::from_secs(5), start), Seconds(0));
    assert_eq!(Seconds::lasting(Duration::from_millis(2_001)), Seconds(3));
    assert_eq!(Seconds::lasting(Duration::from_secs(2)), Seconds(2));
    assert_eq!(Seconds::lasting(Duration::MAX), Seconds(u32::MAX));
}

#[test]
fn an_entry_is_found_until_removed() {
    let table = Table::new(100);
    assert_eq!(table.insert(entry("a", 1, 10), Seconds(0)), None);
    assert_eq!(value(&table, "a", 0), Some(1));
    assert_eq!(table.update("a", Seconds(0), |value| *value += 1), Some(()));
    assert_eq!(table.insert(entry("a", 7, 10), Seconds(0)), Some(("a".into(), 2)));
    assert_eq!(table.len(), 1);
    assert_eq!(table.remove("a"), Some(("a".into(), 7)));
    assert_eq!(table.remove("a"), None);
    assert!(table.is_empty());
}

#[test]
fn an_entry_is_made_once() {
    let table = Table::new(100);
    let mut made = 0;
    for _ in 0..3 {
        let make = || {
            made += 1;
            Some(entry("a", 0, 10))
        };
        table.get_or_insert_with("a", Seconds(0), make, |value| *value += 1);
    }
    assert_eq!((made, value(&table, "a", 0)), (1, Some(3)));
    assert_eq!(table.get_or_insert_with("b", Seconds(0), || None, |_| ()), None);
    assert_eq!(table.len(), 1);
}

#[test]
fn an_idle_entry_expires_and_a_touched_one_stays() {
    let table = Table::new(100);
    table.insert(entry("idle", 1, 10), Seconds(100));
    table.insert(entry("touched", 2, 10), Seconds(100));
    assert_eq!(value(&table, "touched", 109), Some(2));
    assert_eq!(value(&table, "idle", 110), None);
    assert_eq!(table.sweep(0, Seconds(110)), 1);
    assert_eq!(table.len(), 1);
    assert_eq!(value(&table, "touched", 118), Some(2));
    // A thread whose clock lags must not make the entry older again.
    assert_eq!(value(&table, "touched", 100), Some(2));
    assert_eq!(value(&table, "touched", 127), Some(2));
    assert_eq!(table.sweep(1, Seconds(1_000)), 0, "there is no second shard");
}

#[test]
fn an_expired_entry_is_made_anew() {
    let table = Table::new(100);
    table.insert(entry("a", 1, 10), Seconds(0));
    let result = table.get_or_insert_with("a", Seconds(10), || Some(entry("a", 5, 10)), |value| *value);
    assert_eq!((result, table.len()), (Some(5), 1));
    // Also when there is nothing to put in its place.
    assert_eq!(table.get_or_insert_with("a", Seconds(20), || None, |value| *value), None);
    assert!(table.is_empty());
}

#[test]
fn a_full_table_evicts_an_entry_that_is_older_than_most() {
    let table = Table::new(200);
    for at in 0..200 {
        assert_eq!(table.insert(entry(at.to_string(), at, 10_000), Seconds(at)), None);
    }
    let mut evicted = Vec::new();
    for at in 200..300 {
        evicted.extend(table.insert(entry(at.to_string(), at, 10_000), Seconds(at)));
        assert_eq!(table.len(), 200);
    }
    assert_eq!(evicted.len(), 100);
    // The oldest of eight among 200: the chance that the mean rank is above a half is beyond astronomical.
    let mean_age = evicted.iter().map(|(_, at)| f64::from(*at)).sum::<f64>() / 100.0;
    assert!(mean_age < 150.0, "{mean_age}");
    for (key, _) in evicted {
        assert_eq!(value(&table, &key, 300), None);
    }
}

#[test]
fn a_table_of_one_holds_the_latest() {
    let table = Table::new(0);
    table.insert(entry("a", 1, 10), Seconds(0));
    assert_eq!(table.insert(entry("b", 2, 10), Seconds(0)), Some(("a".into(), 1)));
    assert_eq!((value(&table, "a", 0), value(&table, "b", 0)), (None, Some(2)));
}

#[test]
fn the_bound_holds_over_all_shards() {
    for capacity in [1, 255, 256, 1_000, 40_000] {
        let table = Table::new(capacity);
        for key in 0..2 * capacity as u32 {
            table.insert(Entry { key, value: (), idle_limit: Seconds(10) }, Seconds(0));
        }
        let len = table.len();
        assert!(len <= capacity && len >= capacity * 9 / 10, "{len} of {capacity}");
        assert!(table.shards().is_power_of_two());
    }
}

#[test]
fn pages_show_each_entry_once() {
    let table = Table::new(10_000);
    assert!(table.shards() > 1);
    for key in 0..1_000 {
        table.insert(Entry { key, value: key * 2, idle_limit: Seconds(if key % 2 == 0 { 10 } else { 5 }) }, Seconds(3));
    }
    let mut seen = HashSet::new();
    for shard in 0..table.shards() {
        table.page(shard, Seconds(8), |key, value, touched| {
            assert_eq!((*value, touched), (key * 2, Seconds(3)));
            assert!(seen.insert(*key));
        });
    }
    assert_eq!(seen, (0..1_000).filter(|key| key % 2 == 0).collect());
    table.page(table.shards(), Seconds(8), |_, _, _| panic!("there is no such shard"));
}

#[test]
fn a_swept_table_gives_memory_back() {
    let table = Table::new(200);
    for key in 0..200 {
        table.insert(Entry { key, value: (), idle_limit: Seconds(10) }, Seconds(if key < 5 { 10 } else { 0 }));
    }
    assert_eq!(table.sweep(0, Seconds(10)), 195);
    assert!(table.shards[0].lock().capacity() < 50);
    for key in 0..5 {
        assert_eq!(table.update(&key, Seconds(10), |()| ()), Some(()));
    }
}

#[test]
fn threads_lose_no_update() {
    let table = Arc::new(Table::new(1_000));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let table = Arc::clone(&table);
            std::thread::spawn(move || {
                for round in 0..4_000_u32 {
                    let key = round % 16;
                    let make = || Some(Entry { key, value: 0_u32, idle_limit: Seconds(10) });
                    table.get_or_insert_with(&key, Seconds(0), make, |value| *value += 1);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    for key in 0..16 {
        assert_eq!(table.update(&key, Seconds(0), |value| *value), Some(1_000));
    }
}

proptest! {
    #[test]
    fn behaves_like_a_map_with_times(
        steps in prop::collection::vec((0_u8..5, 0_u32..12, 0_u32..4), 0..200),
    ) {
        let table = Table::new(100);
        let mut model = std::collections::HashMap::new();
        let mut now = 0;
        for (step, key, wait) in steps {
            now += wait;
            model.retain(|_, (_, touched)| now - *touched < 6);
            match step {
                0 => {
                    table.insert(Entry { key, value: now, idle_limit: Seconds(6) }, Seconds(now));
                    model.insert(key, (now, now));
                }
                1 => {
                    let found = model.get_mut(&key).map(|entry| {
                        entry.1 = now;
                        entry.0
                    });
                    prop_assert_eq!(table.update(&key, Seconds(now), |value| *value), found);
                }
                2 => {
                    let expected = model.entry(key).or_insert((now, now));
                    expected.1 = now;
                    let make = || Some(Entry { key, value: now, idle_limit: Seconds(6) });
                    prop_assert_eq!(table.get_or_insert_with(&key, Seconds(now), make, |value| *value), Some(expected.0));
                }
                3 => {
                    table.sweep(0, Seconds(now));
                    prop_assert_eq!(table.len(), model.len());
                }
                _ => {
                    let removed = model.remove(&key).map(|(value, _)| (key, value));
                    let found = table.remove(&key);
                    prop_assert!(removed.is_none() || found == removed);
                }
            }
        }
    }
}
