//! Limits over heads of requests, in virtual time.

use limpet_proto::http1::request_head::{RequestHead, Slots};

use super::*;

const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

fn config(per: RateKey, rate: &str) -> RateLimitConfig {
    RateLimitConfig::new(per, rate.parse().unwrap())
}

fn ask(limits: &RateLimits, client: IpAddr, headers: &str, ms: u64) -> Admission {
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
    let mut slots = Slots::new();
    let head = RequestHead::parse(head.as_bytes(), &mut slots).unwrap();
    limits.admit(client, &head.lines, Millis(ms))
}

fn refused(status: u16, retry_after: u32) -> Admission {
    Admission::Refuse(Refusal::Rate { status, retry_after })
}

#[test]
fn each_client_has_its_own_rate() {
    let limits = RateLimits::new(&[config(RateKey::Client, "1/s")]);
    assert_eq!(ask(&limits, A, "", 0), Admission::Pass);
    assert_eq!(ask(&limits, B, "", 0), Admission::Pass);
    assert_eq!(ask(&limits, A, "", 1), refused(503, 1));
    assert_eq!(ask(&limits, A, "", 1000), Admission::Pass);
    assert_eq!((limits.as_slice()[0].refused(), limits.as_slice()[0].keys()), (1, 2));
}

#[test]
fn a_header_counts_by_its_value_and_an_empty_one_not_at_all() {
    let limits = RateLimits::new(&[config(RateKey::Header("X-Api-Key".to_owned()), "1/s")]);
    assert_eq!(ask(&limits, A, "x-api-key: one\r\n", 0), Admission::Pass);
    assert_eq!(ask(&limits, B, "X-API-KEY:  one \r\n", 0), refused(503, 1));
    assert_eq!(ask(&limits, A, "X-Api-Key: two\r\n", 0), Admission::Pass);
    // The first line counts, as with nginx.
    assert_eq!(ask(&limits, A, "X-Api-Key: two\r\nX-Api-Key: three\r\n", 0), refused(503, 1));
    for headers in ["", "X-Api-Key:\r\n", "X-Api-Key:   \r\n", "X-Api-Keys: one\r\n"] {
        for _ in 0..3 {
            assert_eq!(ask(&limits, A, headers, 0), Admission::Pass, "{headers:?}");
        }
    }
}

#[test]
fn a_route_counts_everybody() {
    let limits = RateLimits::new(&[config(RateKey::Route, "1/s")]);
    assert_eq!(ask(&limits, A, "", 0), Admission::Pass);
    assert_eq!(ask(&limits, B, "", 0), refused(503, 1));
}

#[test]
fn the_time_to_come_back_is_rounded_up() {
    let slow = RateLimitConfig { burst: 1, delay: None, status: 429, ..config(RateKey::Route, "6/m") };
    let limits = RateLimits::new(&[slow]);
    assert_eq!(ask(&limits, A, "", 0), Admission::Pass);
    assert_eq!(ask(&limits, A, "", 0), Admission::Pass);
    // A place is free after 10 s.
    assert_eq!(ask(&limits, A, "", 1), refused(429, 10));
    assert_eq!(ask(&limits, A, "", 5_001), refused(429, 5));
    assert_eq!(ask(&limits, A, "", 9_999), refused(429, 1));
    assert_eq!(ask(&limits, A, "", 10_000), Admission::Pass);
}

#[test]
fn of_several_limits_the_first_refuses_and_the_longest_wait_counts() {
    let per_client = RateLimitConfig { burst: 1, ..config(RateKey::Client, "10/s") };
    let in_all = RateLimitConfig { burst: 3, status: 429, ..config(RateKey::Route, "4/s") };
    let limits = RateLimits::new(&[per_client, in_all]);
    assert_eq!(ask(&limits, A, "", 0), Admission::Pass);
    assert_eq!(ask(&limits, A, "", 0), Admission::Wait(Duration::from_millis(250)));
    assert_eq!(ask(&limits, A, "", 0), refused(503, 1));
    // The refused request was not charged to the route: two places are left there.
    assert_eq!(ask(&limits, B, "", 0), Admission::Wait(Duration::from_millis(500)));
    assert_eq!(ask(&limits, B, "", 0), Admission::Wait(Duration::from_millis(750)));
    let third: IpAddr = [10, 0, 0, 3].into();
    assert_eq!(ask(&limits, third, "", 0), refused(429, 1));
    // The one that the route refused was not charged to the client either.
    assert_eq!(ask(&limits, third, "", 250), Admission::Wait(Duration::from_millis(750)));
    let counts: Vec<_> = limits.as_slice().iter().map(|limit| (limit.refused(), limit.delayed())).collect();
    assert_eq!(counts, [(1, 0), (1, 4)]);
}

#[test]
fn keys_are_bounded_and_forgotten() {
    let few = RateLimitConfig { keys: 100, ..config(RateKey::Client, "1/s") };
    let limits = RateLimits::new(&[few]);
    for n in 0..1000_u32 {
        ask(&limits, IpAddr::V4(n.into()), "", 0);
    }
    assert_eq!(limits.as_slice()[0].keys(), 100);
    limits.sweep(0, Seconds(2));
    assert_eq!(limits.as_slice()[0].keys(), 0);
}

#[test]
fn a_key_costs_what_is_documented() {
    assert_eq!(size_of::<(Key, Bucket)>() + 8, 40);
}

#[test]
fn one_limit_is_exact_over_threads() {
    let limit = RateLimitConfig { burst: 99, delay: None, ..config(RateKey::Client, "1/s") };
    let limits = RateLimits::new(&[limit]);
    let passed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    if ask(&limits, A, "", 0) == Admission::Pass {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 100);
}
