//! The same trains of requests meet nginx's `limit_req` and ours side by side, and fare the same: which are refused,
//! which wait, and for how long.
//!
//! The trains are random, from a seed, and made along the model of [`limpet_balancer::limit::bucket`] so that no request
//! comes within [`MARGIN_MS`] of a time at which its fate would be another. A train during which this machine was too
//! busy to send in time is sent again, with another key.

use std::net::SocketAddr;
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use limpet_balancer::config::{Rate, RateKey, RateLimitConfig};
use limpet_balancer::limit::bucket::{Bucket, Flow, Millis};
use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::misbehave::{Conduct, Endpoint};
use limpet_testkit::nginx::{LISTEN, Nginx};
use limpet_testkit::raw::RawClient;

/// How far every request is from a time at which its fate would change.
const MARGIN_MS: u64 = 90;

/// A request that is sent later than this, or an answer that took this much longer than it should, says nothing.
const LATE: Duration = Duration::from_millis(60);

/// How often a train is sent anew when the machine was busy.
const TRIES: u32 = 6;

/// Requests per train.
const LENGTH: usize = 12;

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

/// What becomes of a request: it passes after this many milliseconds, or is refused.
type Fate = Option<u64>;

/// The times of the requests in milliseconds, and what the model says of them.
#[derive(Clone, Debug)]
struct Train {
    times_ms: Vec<u64>,
    fates: Vec<Fate>,
}

#[test]
fn trains_fare_as_with_nginx() {
    let endpoint = Endpoint::start(Conduct::Answers("hello")).expect("a port");
    let nginx = nginx(endpoint.address());
    let limpet = limpet(endpoint.address());
    let mut random = Random(0x5eed);
    thread::scope(|scope| {
        for limit in &LIMITS {
            for n in 0..2 {
                let train = train(limit, &mut random);
                let seen = [None, Some(0)].map(|fate| train.fates.contains(&fate));
                assert_eq!(seen, [true; 2], "{}: the train shows too little: {train:?}", limit.name);
                let targets = [nginx.address, limpet.address];
                scope.spawn(move || compare(limit, n, &train, targets));
            }
        }
    });
}

/// Sends a train to both, until the machine was quiet enough to tell, and compares.
fn compare(limit: &Limit, n: u32, train: &Train, targets: [SocketAddr; 2]) {
    let mut seen = Vec::new();
    for attempt in 0..TRIES {
        let key = &format!("{}-{n}-{attempt}", limit.name);
        let both = thread::scope(|scope| {
            let runs = targets.map(|target| scope.spawn(move || send(target, limit.name, key, train)));
            runs.map(|run| run.join().expect("it ends"))
        });
        // A wrong fate is wrong in every try; one that comes from a busy machine is not.
        if both.iter().all(|fates| fates.as_ref() == Some(&train.fates)) {
            return;
        }
        seen.push(both);
    }
    panic!("{}: nginx and limpet never both fare as expected; {train:?}, but {seen:?}", limit.name);
}

/// Sends each request at its time on a connection of its own. Gives the fates, rounded to those of the train where they
/// are as near as can be told; nothing when a request was sent late or an answer fits no fate.
fn send(target: SocketAddr, path: &str, key: &str, train: &Train) -> Option<Vec<Fate>> {
    let connected = Arc::new(Barrier::new(train.times_ms.len()));
    let start = Arc::new(OnceLock::new());
    let senders: Vec<_> = train
        .times_ms
        .iter()
        .zip(&train.fates)
        .map(|(ms, expected)| {
            let (ms, expected, connected, start) = (*ms, *expected, Arc::clone(&connected), Arc::clone(&start));
            let request = format!("GET /{path} HTTP/1.1\r\nHost: h\r\nX-Key: {key}\r\n\r\n");
            thread::spawn(move || -> Option<Fate> {
                let mut client = RawClient::connect(target).expect("it accepts");
                client.set_limit(Duration::from_secs(20));
                connected.wait();
                let at = *start.get_or_init(|| Instant::now() + LATE) + Duration::from_millis(ms);
                thread::sleep(at.saturating_duration_since(Instant::now()));
                client.send(request.as_bytes()).expect("sent");
                let sent = Instant::now();
                let status = client.response().expect("an answer").status;
                let took = sent.elapsed();
                if sent.saturating_duration_since(at) > LATE {
                    return None;
                }
                match status {
                    503 => Some(None),
                    200 => {
                        let waited = expected.unwrap_or(0);
                        let difference = took.abs_diff(Duration::from_millis(waited));
                        // The wait depends on when the requests before arrived, so it may differ by twice that.
                        match expected {
                            Some(_) if difference <= 2 * LATE => Some(Some(waited)),
                            _ => Some(Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))),
                        }
                    }
                    other => panic!("status {other}"),
                }
            })
        })
        .collect();
    let fates: Vec<_> = senders.into_iter().map(|sender| sender.join().expect("it ends")).collect();
    fates.into_iter().collect()
}

/// Makes a train whose requests all stay clear of the times at which they would fare otherwise.
fn train(limit: &Limit, random: &mut Random) -> Train {
    let rate: Rate = limit.rate.parse().expect("a rate");
    let config =
        RateLimitConfig { burst: limit.burst, delay: limit.delay, ..RateLimitConfig::new(RateKey::Route, rate) };
    let flow = config.flow();
    let mut train = Train { times_ms: vec![0], fates: vec![Some(0)] };
    let mut bucket = Bucket::first(Millis(0));
    let mut now = 0;
    while train.times_ms.len() < LENGTH {
        // Bursts and pauses.
        let gap = if random.below(3) > 0 { random.below(100) } else { 100 + random.below(900) };
        if !is_clear(&bucket, &flow, now + gap) {
            now += 1;
            continue;
        }
        now += gap;
        train.times_ms.push(now);
        train.fates.push(bucket.offer(&flow, Millis(now)).ok().map(|excess| {
            bucket.take(&flow, Millis(now));
            u64::try_from(flow.delay_of(excess).as_millis()).expect("a short wait")
        }));
    }
    train
}

/// Whether a request fares the same if it comes a little earlier or later: refused, passed at once, or made to wait.
fn is_clear(bucket: &Bucket, flow: &Flow, ms: u64) -> bool {
    let kind = |ms| bucket.offer(flow, Millis(ms)).ok().map(|excess| flow.delay_of(excess).is_zero());
    // Behind an idle bucket nothing can be earlier.
    kind(ms.saturating_sub(MARGIN_MS)) == kind(ms) && kind(ms) == kind(ms + MARGIN_MS)
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
        "events {{ worker_connections 1024; }}\nhttp {{\n{zones}server {{ listen {LISTEN};\n{locations}}}\n}}\n"
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
        "[listener.web]\nbind = \"127.0.0.1:0\"\n{routes}[upstream.app]\nprobe = \"off\"\nendpoints = [\"{endpoint}\"]\n"
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
