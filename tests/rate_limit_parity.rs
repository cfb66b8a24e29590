//! The same trains of requests meet nginx's `limit_req` and ours side by side, and fare the same: which are refused,
//! which wait, and for how long.
//!
//! A busy machine sends late, and what becomes of a request depends on the millisecond in which it came. So both programs
//! say in their logs when each request came, by their own clocks, and each must do what
//! [`limpet_balancer::limit::bucket`] says for exactly those times: one arithmetic, two programs. Trains are random, from
//! a seed.

use std::net::SocketAddr;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use limpet_balancer::config::{Rate, RateKey, RateLimitConfig};
use limpet_balancer::limit::bucket::{Bucket, Flow, Millis};
use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::misbehave::{Conduct, Endpoint};
use limpet_testkit::nginx::{LISTEN, Nginx};
use limpet_testkit::process::Process;
use limpet_testkit::raw::RawClient;
use serde_json::Value;

/// How far a time of a log may be from the one that was reckoned with: each is cut to milliseconds twice, and the clock
/// of the log is another than that of the limit.
const CLOCK_MS: u64 = 2;

/// An answer that took this much longer than its request had to wait was held up by the machine. It is less than the
/// time of one request at every rate here.
const LATE_MS: u64 = 300;

/// How often a train is sent whose answers were held up.
const TRIES: u32 = 5;

/// Requests per train.
const LENGTH: usize = 14;

/// A limit in both languages.
struct Limit {
    name: &'static str,
    rate: &'static str,
    burst: u32,
    /// What follows the burst in nginx.
    nginx: &'static str,
    /// What follows the burst in our file.
    limpet: &'static str,
    delay: Option<u32>,
}

const LIMITS: [Limit; 5] = [
    Limit { name: "plain", rate: "2/s", burst: 0, nginx: "", limpet: "", delay: Some(0) },
    Limit { name: "minutes", rate: "90/m", burst: 1, nginx: "nodelay", limpet: "nodelay = true", delay: None },
    Limit { name: "waits", rate: "3/s", burst: 3, nginx: "", limpet: "", delay: Some(0) },
    Limit { name: "nodelay", rate: "2/s", burst: 3, nginx: "nodelay", limpet: "nodelay = true", delay: None },
    Limit { name: "partly", rate: "3/s", burst: 4, nginx: "delay=2", limpet: "delay = 2", delay: Some(2) },
];

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// It was answered after this many milliseconds.
    Passed(u64),
    Refused,
}

/// A request as a program saw it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    came_ms: u64,
    fate: Fate,
}

/// A program and how to read its log.
#[derive(Clone, Copy)]
struct Program<'a> {
    name: &'static str,
    address: SocketAddr,
    log: &'a Process,
    /// Finds what a line says of the request with this target.
    read: fn(&str, &str) -> Option<Seen>,
}

#[test]
fn trains_fare_as_with_nginx() {
    let endpoint = Endpoint::start(Conduct::Answers("hello")).expect("a port");
    let nginx = nginx(endpoint.address());
    let limpet = limpet(endpoint.address());
    let programs = [
        Program { name: "nginx", address: nginx.address, log: &nginx.process, read: of_nginx },
        Program { name: "limpet", address: limpet.address, log: &limpet.process, read: of_limpet },
    ];
    let mut random = Random(0x5eed);
    thread::scope(|scope| {
        for limit in &LIMITS {
            for n in 0..2 {
                let times_ms = train(&limit.flow(), &mut random);
                for program in programs {
                    let times_ms = times_ms.clone();
                    scope.spawn(move || follow(limit, n, program, &times_ms));
                }
            }
        }
    });
}

/// Sends a train and compares what became of it with what the arithmetic says for the times at which it came.
fn follow(limit: &Limit, n: u32, program: Program<'_>, times_ms: &[u64]) {
    for attempt in 0..TRIES {
        let key = format!("{n}-{attempt}");
        let mut seen = send(program, limit.name, &key, times_ms);
        let what = format!("{} at {}, train {key}", limit.name, program.name);
        if check(&limit.flow(), &mut seen).unwrap_or_else(|why| panic!("{what}: {why}\n{seen:?}")) {
            return;
        }
    }
    panic!("{}: {} holds requests up that need not wait, {TRIES} times", limit.name, program.name);
}

/// Holds what became of requests against the arithmetic. Returns whether none was answered late.
///
/// # Errors
/// The first request that should have fared otherwise.
fn check(flow: &Flow, seen: &mut [Seen]) -> Result<bool, String> {
    seen.sort_by_key(|seen| seen.came_ms);
    // Within a cluster nobody knows which came first; those that came later fare worse.
    for cluster in seen.chunk_by_mut(|one, next| next.came_ms - one.came_ms <= CLOCK_MS) {
        cluster.sort_by_key(|seen| seen.fate);
    }
    let mut bucket: Option<Bucket> = None;
    let mut in_time = true;
    for (n, Seen { came_ms, fate }) in seen.iter().copied().enumerate() {
        let Some(bucket) = &mut bucket else {
            bucket = Some(Bucket::first(Millis(came_ms)));
            in_time &= matches!(fate, Fate::Passed(took_ms) if took_ms < LATE_MS);
            continue;
        };
        let offers = [came_ms - CLOCK_MS, came_ms, came_ms + CLOCK_MS].map(|ms| bucket.offer(flow, Millis(ms)));
        let waits_ms = offers.iter().flatten().map(|excess| flow.delay_of(*excess).as_millis() as u64);
        match fate {
            Fate::Refused if offers.iter().all(Result::is_ok) => {
                return Err(format!("request {n} was refused, but would have left an excess of {:?}", offers[1]));
            }
            Fate::Refused => {}
            Fate::Passed(took_ms) => {
                let Some(wait_ms) = waits_ms.min() else {
                    return Err(format!("request {n} passed, but there was no room: {:?}", offers[1]));
                };
                if took_ms + CLOCK_MS < wait_ms {
                    return Err(format!("request {n} took {took_ms} ms, but had to wait for {wait_ms} ms"));
                }
                in_time &= took_ms < wait_ms + LATE_MS;
                bucket.take(flow, Millis(came_ms));
            }
        }
    }
    Ok(in_time)
}

/// Sends each request at its time on a connection of its own, and reads in the log what became of it.
fn send(program: Program<'_>, path: &str, key: &str, times_ms: &[u64]) -> Vec<Seen> {
    let connected = Arc::new(Barrier::new(times_ms.len()));
    let target = |n: usize| format!("/{path}/{key}/{n}");
    let senders: Vec<_> = times_ms
        .iter()
        .enumerate()
        .map(|(n, ms)| {
            let (ms, connected, address) = (*ms, Arc::clone(&connected), program.address);
            let request = format!("GET {} HTTP/1.1\r\nHost: h\r\nX-Key: {key}\r\n\r\n", target(n));
            thread::spawn(move || {
                let mut client = RawClient::connect(address).expect("it accepts");
                client.set_limit(Duration::from_secs(20));
                connected.wait();
                thread::sleep(Duration::from_millis(ms));
                client.send(request.as_bytes()).expect("sent");
                client.response().expect("an answer");
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().expect("it ends"));
    let find =
        |n| program.log.wait_for(&target(n), |line| (program.read)(line, &target(n))).expect("a line of the log");
    (0..times_ms.len()).map(find).collect()
}

/// Reads `TARGET STATUS END TOOK`, both times in seconds with three decimals.
fn of_nginx(line: &str, target: &str) -> Option<Seen> {
    let (status, times) = line.strip_prefix(target)?.strip_prefix(' ')?.split_once(' ')?;
    let (end, took) = times.split_once(' ')?;
    let [end_ms, took_ms] = [end, took].map(|seconds| seconds.replace('.', "").parse::<u64>().expect("a time"));
    Some(Seen { came_ms: end_ms - took_ms, fate: fate(status, took_ms) })
}

fn of_limpet(line: &str, target: &str) -> Option<Seen> {
    let fields: Value = serde_json::from_str(line).ok().filter(|fields: &Value| fields["target"] == target)?;
    let end_ms = (fields["time"].as_f64()? * 1000.0).round() as u64;
    let took_ms = fields["total_us"].as_u64()? / 1000;
    Some(Seen { came_ms: end_ms - took_ms, fate: fate(&fields["status"].to_string(), took_ms) })
}

fn fate(status: &str, took_ms: u64) -> Fate {
    match status {
        "200" => Fate::Passed(took_ms),
        "503" => Fate::Refused,
        other => panic!("status {other}"),
    }
}

/// Makes the times of a train in milliseconds, bursts and pauses, of which some requests should pass and some not.
fn train(flow: &Flow, random: &mut Random) -> Vec<u64> {
    loop {
        let gaps = std::iter::repeat_with(|| match random.below(4) {
            0 => 100 + random.below(900),
            _ => random.below(100),
        });
        let times: Vec<u64> = gaps.take(LENGTH).scan(0, |now, gap| Some(std::mem::replace(now, *now + gap))).collect();
        let mut bucket = Bucket::first(Millis(0));
        let passes = times.iter().skip(1).map(|ms| {
            let passes = bucket.offer(flow, Millis(*ms)).is_ok();
            if passes {
                bucket.take(flow, Millis(*ms));
            }
            passes
        });
        let passed = passes.filter(|passes| *passes).count();
        if passed > 0 && passed + 2 < LENGTH {
            return times;
        }
    }
}

impl Limit {
    fn flow(&self) -> Flow {
        let rate: Rate = self.rate.parse().expect("a rate");
        let (burst, delay) = (self.burst, self.delay);
        RateLimitConfig { burst, delay, ..RateLimitConfig::new(RateKey::Route, rate) }.flow()
    }
}

fn nginx(endpoint: SocketAddr) -> Nginx {
    let nginx_rate = |rate: &str| rate.replace('/', "r/");
    let zones: String = LIMITS
        .iter()
        .map(|limit| format!("limit_req_zone $http_x_key zone={}:1m rate={};\n", limit.name, nginx_rate(limit.rate)))
        .collect();
    let locations: String = LIMITS
        .iter()
        .map(|limit| {
            let burst = if limit.burst > 0 { format!("burst={}", limit.burst) } else { String::new() };
            format!(
                "location /{0} {{ limit_req zone={0} {burst} {1}; proxy_pass http://{endpoint}; }}\n",
                limit.name, limit.nginx
            )
        })
        .collect();
    Nginx::start(&format!(
        "events {{ worker_connections 1024; }}\nhttp {{\nlog_format fate '$uri $status $msec $request_time';\n{zones}server {{ listen {LISTEN};\naccess_log /dev/stdout fate;\n{locations}}}\n}}\n"
    ))
    .expect("nginx starts")
}

fn limpet(endpoint: SocketAddr) -> Limpet {
    let routes: String = LIMITS
        .iter()
        .map(|limit| {
            let more = if limit.limpet.is_empty() { String::new() } else { format!(", {}", limit.limpet) };
            format!(
                "[[route]]\nupstream = \"app\"\npath_prefix = \"/{}\"\n\
                 rate_limit = {{ per = \"header:X-Key\", rate = \"{}\", burst = {}{more} }}\n",
                limit.name, limit.rate, limit.burst
            )
        })
        .collect();
    let text = format!(
        "access_log = \"json\"\n[listener.web]\nbind = \"127.0.0.1:0\"\n{routes}[upstream.app]\nprobe = \"off\"\nendpoints = [\"{endpoint}\"]\n"
    );
    Launch::run(env!("CARGO_BIN_EXE_limpet"), text).start().expect("limpet starts")
}

/// A small generator (xorshift), so that a seed gives the same trains everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
