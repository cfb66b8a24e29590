//! Limpet configurations that restate widely copied ones of HAProxy, nginx and Apache (`deploy/examples/`), held against
//! the original programs: the same seeded requests, the same answers.
//!
//! `LIMPET_ORACLE_SEED=N` chooses another sequence, `LIMPET_ORACLE_BINARY` another build of Limpet. Each original is also
//! held against itself, which shows that the sequence decides its answers and nothing else does.

use limpet_testkit::oracle::Comparison;

#[path = "oracle/apache.rs"]
mod apache;
#[path = "oracle/balance.rs"]
mod balance;
#[path = "oracle/cookies.rs"]
mod cookies;
#[path = "oracle/example.rs"]
mod example;
#[path = "oracle/haproxy.rs"]
mod haproxy;
#[path = "oracle/nginx.rs"]
mod nginx;
#[path = "oracle/program.rs"]
mod program;

/// What an original is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum With {
    /// A second process of the same program.
    Itself,
    /// Limpet with the restated configuration.
    Limpet,
}

/// The least number of requests that a configuration is compared by.
const ENOUGH: usize = 1000;

/// The seed of the sequences.
fn seed() -> u64 {
    std::env::var("LIMPET_ORACLE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// Makes the comparison of each case, all at the same time since most of it is waiting, and fails if one is not equal.
#[track_caller]
fn assert_all_equal<T: Copy + Send + Sync>(at_least: usize, cases: &[T], compare: impl Fn(T) -> Comparison + Sync) {
    let compare = &compare;
    let comparisons: Vec<Comparison> = std::thread::scope(|scope| {
        let running: Vec<_> = cases.iter().map(|case| scope.spawn(move || compare(*case))).collect();
        running.into_iter().map(|comparison| comparison.join().unwrap()).collect()
    });
    let reports: Vec<String> = comparisons.iter().filter_map(Comparison::report).collect();
    assert!(reports.is_empty(), "{}", reports.join("\n"));
    comparisons.iter().for_each(|comparison| comparison.assert_equal(at_least));
}
