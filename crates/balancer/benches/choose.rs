//! What it costs to choose an endpoint and to give its load back, by algorithm and number of endpoints, in nanoseconds.
//!
//! `cargo xtask bench choose` runs it. The goal is below 200 ns at 256 endpoints for every algorithm; it fails above.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limpet_balancer::config::{Balance, EndpointConfig, Hash, UpstreamConfig};
use limpet_balancer::upstream::Upstream;
use limpet_balancer::upstream::endpoint::{Endpoint, EndpointId, Load};

const COUNTS: [u16; 4] = [2, 3, 16, 256];
const GOAL_NS: f64 = 200.0;
const ROUNDS: usize = 9;
const LENGTH: Duration = Duration::from_millis(20);
const KEYS: u32 = 10_000;

/// How the weights of endpoints are.
#[derive(Clone, Copy)]
enum Weights {
    Equal,
    OneToFive,
    AllDifferent,
}

fn upstream(balance: Balance, count: u16, weights: Weights) -> Upstream {
    let upstream = Upstream::new(UpstreamConfig { balance, ..UpstreamConfig::new("bench", Vec::new()) });
    let endpoints = (1..=count).map(|port| {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let weight = match weights {
            Weights::Equal => 1,
            Weights::OneToFive => u32::from(1 + port % 5),
            // Each number up to 256 once, in no order.
            Weights::AllDifferent => 1 + u32::from(port) * 97 % 256,
        };
        let config = EndpointConfig { weight, ..EndpointConfig::new("127.0.0.1", port) };
        Arc::new(Endpoint::new(EndpointId::derive(None, address), address, &config))
    });
    upstream.set_endpoints(endpoints.collect());
    upstream
}

/// Returns the best of several rounds: what the machine does besides only adds.
fn nanoseconds(mut choose: impl FnMut(u32) -> Option<Load>) -> f64 {
    for n in 0..KEYS {
        drop(black_box(choose(n)));
    }
    let round = |_| {
        let (begun, mut done) = (Instant::now(), 0_u32);
        while begun.elapsed() < LENGTH {
            for n in 0..100 {
                drop(black_box(choose(done.wrapping_add(n) % KEYS)));
            }
            done += 100;
        }
        begun.elapsed().as_nanos() as f64 / f64::from(done)
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn main() {
    let mut worst: f64 = 0.0;
    println!("{:28}{}", "ns for each choice", COUNTS.map(|count| format!("{count:>9}")).concat());
    let mut row = |name: String, cells: [f64; COUNTS.len()]| {
        println!("{name:28}{}", cells.map(|ns| format!("{ns:>9.1}")).concat());
        worst = worst.max(cells[COUNTS.len() - 1]);
    };
    for (weights, kind) in
        [(Weights::Equal, "equal"), (Weights::OneToFive, "1 to 5"), (Weights::AllDifferent, "different")]
    {
        for balance in [Balance::LeastConn, Balance::RoundRobin, Balance::Random2, Balance::First] {
            let cells = COUNTS.map(|count| {
                let upstream = upstream(balance, count, weights);
                // Endpoints that are busy are not all equal.
                let _busy: Vec<_> = (0..count / 2).map(|_| upstream.choose(&[])).collect();
                nanoseconds(|_| upstream.choose(&[]))
            });
            row(format!("{} ({kind})", balance.as_str()), cells);
        }
        for hash in Hash::ALL {
            let cells = COUNTS.map(|count| {
                let upstream = upstream(Balance::LeastConn, count, weights);
                nanoseconds(|n| upstream.choose_by_hash(hash, &[b"user", &n.to_be_bytes()[..]].concat(), &[]))
            });
            row(format!("{} ({kind})", hash.as_str()), cells);
        }
    }
    if worst > GOAL_NS {
        eprintln!("the goal is {GOAL_NS} ns at {} endpoints", COUNTS[COUNTS.len() - 1]);
        std::process::exit(1);
    }
}
