//! Trains of requests in virtual time, with what nginx does to them.

use proptest::prelude::*;

use super::*;

/// What becomes of a request: `Some(ms)` waits, `None` is refused.
type Fate = Option<u64>;

fn flow(rate: u32, burst: u32, delay: Option<u32>) -> Flow {
    Flow { rate: NonZeroU32::new(rate).unwrap(), burst: burst * REQUEST, delay: delay.map(|delay| delay * REQUEST) }
}

fn run(flow: &Flow, train: &[u64]) -> Vec<Fate> {
    let mut bucket: Option<Bucket> = None;
    let fates = train.iter().map(|ms| {
        let now = Millis(*ms);
        let Some(bucket) = &mut bucket else {
            bucket = Some(Bucket::first(now));
            return Some(0);
        };
        bucket.offer(flow, now).ok().map(|offered| {
            assert_eq!(bucket.take(flow, now), offered);
            u64::try_from(flow.delay_of(offered).as_millis()).unwrap()
        })
    });
    fates.collect()
}

#[test]
fn trains_fare_as_documented() {
    let table: [(Flow, &[u64], &[Fate]); 9] = [
        // Without a burst one request passes per interval, to the millisecond.
        (flow(10_000, 0, Some(0)), &[0, 99, 100, 101, 200, 299], &[Some(0), None, Some(0), None, Some(0), None]),
        // With one, requests wait so that they leave at the rate.
        (flow(10_000, 2, Some(0)), &[0, 0, 0, 0, 100], &[Some(0), Some(100), Some(200), None, Some(200)]),
        // nodelay: those within the burst pass at once, and their places come back at the rate.
        (flow(10_000, 2, None), &[0, 0, 0, 0, 99, 100, 100], &[Some(0), Some(0), Some(0), None, None, Some(0), None]),
        // delay = 1: the first of the burst passes at once.
        (flow(10_000, 3, Some(1)), &[0, 0, 0, 0, 0], &[Some(0), Some(0), Some(100), Some(200), None]),
        // A pause is worth no more than an empty bucket.
        (flow(10_000, 1, None), &[0, 60_000, 60_000, 60_000], &[Some(0), Some(0), Some(0), None]),
        // 30 per minute are 500 thousandths per second.
        (flow(500, 0, Some(0)), &[0, 1999, 2000], &[Some(0), None, Some(0)]),
        // 1 per minute is 16 thousandths per second in nginx, not 16.67: 62.5 s.
        (flow(16, 0, Some(0)), &[0, 60_000, 62_499, 62_500], &[Some(0), None, None, Some(0)]),
        // A place comes back to the millisecond: 979 thousandths take 327 ms at 3 per second.
        (flow(3_000, 1, None), &[0, 7, 14, 333, 334], &[Some(0), Some(0), None, None, Some(0)]),
        // A refused request costs nothing.
        (flow(1_000, 0, Some(0)), &[0, 500, 900, 1000], &[Some(0), None, None, Some(0)]),
    ];
    for (flow, train, fates) in table {
        assert_eq!(run(&flow, train), fates, "{flow:?} {train:?}");
    }
}

#[test]
fn time_never_runs_backwards() {
    let flow = flow(1_000, 5, None);
    let mut bucket = Bucket::first(Millis(1_000));
    assert_eq!(bucket.take(&flow, Millis(400)), 1_000);
    assert_eq!(bucket.take(&flow, Millis(1_000)), 2_000);
    assert_eq!(bucket.take(&flow, Millis(3_000)), 1_000);
}

proptest! {
    #[test]
    fn a_refused_request_passes_after_the_time_that_it_is_told(
        rate in 1_u32..2_000_000, burst in 0_u32..50, gaps in prop::collection::vec(0_u64..3_000, 1..60),
    ) {
        let flow = flow(rate, burst, None);
        let mut now = 1_000;
        let mut bucket = Bucket::first(Millis(now));
        for gap in gaps {
            now += gap;
            match bucket.offer(&flow, Millis(now)) {
                Ok(_) => { bucket.take(&flow, Millis(now)); }
                Err(full) => {
                    let passes_at = now + u64::try_from(full.passes_after.as_millis()).unwrap();
                    prop_assert!(bucket.offer(&flow, Millis(passes_at)).is_ok());
                    prop_assert!(bucket.offer(&flow, Millis(passes_at - 1)).is_err());
                }
            }
        }
    }

    #[test]
    fn never_more_than_the_rate_and_the_burst_pass(
        rate in 1_u32..100_000, burst in 0_u32..50, gaps in prop::collection::vec(0_u64..500, 1..200),
    ) {
        let flow = flow(rate, burst, None);
        let mut now = 0;
        let mut bucket = Bucket::first(Millis(0));
        let mut passed = 1_u64;
        for gap in gaps {
            now += gap;
            if bucket.offer(&flow, Millis(now)).is_ok() {
                bucket.take(&flow, Millis(now));
                passed += 1;
            }
            prop_assert!(passed * 1000 <= 1000 + u64::from(flow.burst) + u64::from(rate) * now / 1000);
        }
    }

    #[test]
    fn a_bucket_that_was_forgotten_is_not_missed(
        rate in 1_u32..100_000, burst in 0_u32..50, taken in 0_u32..50, later in 0_u64..10_000,
    ) {
        let flow = flow(rate, burst, Some(0));
        let mut bucket = Bucket::first(Millis(0));
        for _ in 0..taken.min(burst) {
            bucket.take(&flow, Millis(0));
        }
        let after = u64::try_from(flow.forgets_after().as_millis()).unwrap() + later;
        bucket.take(&flow, Millis(after));
        prop_assert_eq!(bucket, Bucket::first(Millis(after)));
    }
}
