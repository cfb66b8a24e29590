//! How requests are placed and how they wait, seen from outside: real requests, endpoints that answer when they are told.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use limpet_testkit::limpet::{KeyFile, Launch, Limpet};
use limpet_testkit::misbehave::{Conduct, Endpoint};
use limpet_testkit::raw::RawClient;
use limpet_testkit::wait::{self, PATIENCE};

fn balancer(upstream: &str, endpoints: &str) -> Limpet {
    launch(upstream, endpoints).start().expect("it starts")
}

fn launch(upstream: &str, endpoints: &str) -> Launch {
    let configuration = format!(
        "workers = 1\n[listener.web]\nbind = \"127.0.0.1:0\"\n\
         [upstream.app]\nprobe = \"off\"\n{upstream}\nendpoints = [{endpoints}]\n"
    );
    Launch::run(env!("CARGO_BIN_EXE_limpet"), configuration)
}

fn answering(name: &'static str) -> Endpoint {
    Endpoint::start(Conduct::Answers(name)).expect("a port")
}

fn item(address: SocketAddr, more: &str) -> String {
    format!("{{ address = \"{address}\"{more} }}, ")
}

fn ask(limpet: &Limpet, target: &str) -> String {
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    let response = client.get(target).expect("an answer");
    if response.status == 200 { response.text() } else { response.status.to_string() }
}

fn sent(limpet: &Limpet, target: &str) -> RawClient {
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    client.set_limit(PATIENCE);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).expect("sent");
    client
}

/// An endpoint that answers `/now` and handshakes at once, and everything else, one for one, when it is told.
struct Slow {
    address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    asked: Vec<String>,
    /// Of those who were asked, how many may be answered.
    answers: usize,
    /// How many have been asked at a time, and the most.
    at_once: usize,
    most_at_once: usize,
}

impl Slow {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || Self::serve(stream, &state));
            }
        });
        Self { address, state }
    }

    fn serve(mut stream: TcpStream, (state, changed): &(Mutex<State>, Condvar)) -> Option<()> {
        let mut head = Vec::new();
        loop {
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).ok()?;
                head.push(byte[0]);
            }
            let target = String::from_utf8_lossy(&head).split(' ').nth(1)?.to_owned();
            head.clear();
            let body = if target.contains("EIO=4") && !target.contains("sid=") {
                r#"0{"sid":"AAAAAAAAAAAAAAAAAAAA","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1}"#
            } else {
                if target != "/now" {
                    let mut now = state.lock().ok()?;
                    let number = now.asked.len();
                    now.asked.push(target.split('&').next()?.to_owned());
                    now.at_once += 1;
                    now.most_at_once = now.most_at_once.max(now.at_once);
                    changed.notify_all();
                    let mut now = changed.wait_while(now, |now| now.answers <= number).ok()?;
                    now.at_once -= 1;
                }
                "ok"
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + body).as_bytes()).ok()?;
        }
    }

    /// Waits until this many requests have come, and returns their targets.
    fn asked(&self, count: usize) -> Vec<String> {
        let (state, changed) = &*self.state;
        let waited = changed.wait_timeout_while(state.lock().unwrap(), PATIENCE, |now| now.asked.len() < count);
        let (now, timed_out) = waited.unwrap();
        assert!(!timed_out.timed_out(), "only {:?} came", now.asked);
        now.asked.clone()
    }

    /// Lets one more request be answered.
    fn answer(&self) {
        let (state, changed) = &*self.state;
        state.lock().unwrap().answers += 1;
        changed.notify_all();
    }

    fn most_at_once(&self) -> usize {
        self.state.0.lock().unwrap().most_at_once
    }
}

/// A balancer of one worker before an endpoint with one slot, with another route whose answers show that the worker has
/// seen all that was sent before.
fn one_slot(slow: &Slow, upstream: &str, other: &Endpoint) -> Limpet {
    let configuration = format!(
        "workers = 1\n[listener.web]\nbind = \"127.0.0.1:0\"\n\
         [[route]]\npath_prefix = \"/fence\"\nupstream = \"other\"\n[[route]]\nupstream = \"app\"\n\
         [upstream.other]\nprobe = \"off\"\nendpoints = [\"{}\"]\n\
         [upstream.app]\nprobe = \"off\"\n{upstream}\nendpoints = [{}]\n",
        other.address(),
        item(slow.address, ", max_conn = 1"),
    );
    Launch::run(env!("CARGO_BIN_EXE_limpet"), configuration).start().expect("it starts")
}

fn fence(limpet: &Limpet) {
    for _ in 0..3 {
        assert_eq!(ask(limpet, "/fence"), "other");
    }
}

#[test]
fn turns_follow_weights() {
    let (a, b, c) = (answering("a"), answering("b"), answering("c"));
    let endpoints = item(a.address(), ", weight = 5") + &item(b.address(), "") + &item(c.address(), "");
    let limpet = balancer("balance = \"round_robin\"", &endpoints);
    let order: String = (0..14).map(|_| ask(&limpet, "/")).collect();
    assert_eq!(order, "aabacaaaabacaa");
}

#[test]
fn a_key_keeps_its_endpoint() {
    let endpoints = [answering("a"), answering("b"), answering("c")];
    let items: String = endpoints.iter().map(|endpoint| item(endpoint.address(), "")).collect();
    for hash in ["rendezvous", "ring", "ketama", "modulo", "source"] {
        let limpet = balancer(
            &format!("balance = \"hash\"\nhash = \"{hash}\"\nhash_key = \"query:room\"\naffinity = []"),
            &items,
        );
        let mut homes = HashMap::new();
        for n in 0..60 {
            let room = n % 20;
            let home = ask(&limpet, &format!("/?a=1&room={room}"));
            assert_eq!(*homes.entry(room).or_insert_with(|| home.clone()), home, "{hash} {room}");
        }
        let used = homes.values().collect::<std::collections::HashSet<_>>().len();
        assert!(used > 1, "{hash}: {homes:?}");
    }
}

#[test]
fn backups_wait_until_they_are_needed() {
    let (a, b, c) = (answering("a"), answering("b"), answering("c"));
    let backups = item(b.address(), ", backup = true") + &item(c.address(), ", backup = true");
    let limpet = balancer("", &(item(a.address(), "") + &backups));
    assert!((0..6).all(|_| ask(&limpet, "/") == "a"));
    let limpet = balancer("", &(item(a.address(), ", state = \"maintenance\"") + &backups));
    assert!((0..6).all(|_| ask(&limpet, "/") == "b"));
    let limpet = balancer("all_backups = true", &(item(a.address(), ", weight = 0") + &backups));
    let used: std::collections::HashSet<String> = (0..6).map(|_| ask(&limpet, "/")).collect();
    assert_eq!(used.len(), 2, "{used:?}");
}

#[test]
fn a_drained_endpoint_keeps_its_sessions_and_gets_no_others() {
    let (drained, other) = (Slow::start(), answering("other"));
    let key = KeyFile::create().expect("a file");
    let before = launch("", &item(drained.address, "")).key(&key).start().expect("it starts");
    let opened = ask(&before, "/socket.io/?EIO=4&transport=polling");
    let sid = opened.split('"').nth(3).expect("a sid").to_owned();
    for (state, answer) in [("drain", "ok"), ("maintenance", "400")] {
        let endpoints = item(drained.address, &format!(", state = \"{state}\"")) + &item(other.address(), "");
        let after = launch("", &endpoints).key(&key).start().expect("it starts");
        assert!((0..4).all(|_| ask(&after, "/now") == "other"), "{state}");
        drained.answer();
        assert_eq!(ask(&after, &format!("/socket.io/?EIO=4&transport=polling&sid={sid}")), answer, "{state}");
    }
}

#[test]
fn a_request_waits_for_a_slot_and_then_no_longer() {
    let (slow, other) = (Slow::start(), answering("other"));
    let limpet = one_slot(&slow, "queue_timeout = \"400ms\"", &other);
    let mut first = sent(&limpet, "/first");
    slow.asked(1);
    let begun = Instant::now();
    let mut second = RawClient::connect(limpet.address).expect("it accepts");
    let refused = second.get("/second").expect("an answer");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
    slow.answer();
    assert_eq!(first.response().expect("an answer").status, 200);
    assert_eq!(slow.most_at_once(), 1);
}

#[test]
fn whoever_waits_when_a_slot_comes_free_is_served() {
    let (slow, other) = (Slow::start(), answering("other"));
    let limpet = one_slot(&slow, "queue_timeout = \"60s\"", &other);
    let mut first = sent(&limpet, "/first");
    slow.asked(1);
    let mut second = sent(&limpet, "/second");
    fence(&limpet);
    slow.answer();
    assert_eq!(first.response().expect("an answer").status, 200);
    assert_eq!(slow.asked(2)[1], "/second");
    slow.answer();
    assert_eq!(second.response().expect("an answer").status, 200);
    assert_eq!(slow.most_at_once(), 1);
}

#[test]
fn a_full_queue_and_full_sessions_are_503s_at_once() {
    let (slow, other) = (Slow::start(), answering("other"));
    let limpet = one_slot(&slow, "queue_timeout = \"60s\"\nmax_queue = 1", &other);
    let _first = sent(&limpet, "/first");
    slow.asked(1);
    let waits = sent(&limpet, "/waits");
    fence(&limpet);
    assert_eq!(ask(&limpet, "/refused"), "503");
    // The one that waits leaves, and makes room.
    drop(waits);
    fence(&limpet);
    let mut next = sent(&limpet, "/next");
    fence(&limpet);
    slow.answer();
    assert_eq!(slow.asked(2)[1], "/next");
    slow.answer();
    assert_eq!(next.response().expect("an answer").status, 200);

    let limpet = balancer("", &item(slow.address, ", max_sessions = 1"));
    let handshake = "/socket.io/?EIO=4&transport=polling";
    assert!(ask(&limpet, handshake).starts_with('0'));
    assert_eq!(ask(&limpet, handshake), "503");
    assert_eq!(ask(&limpet, "/now"), "ok", "what opens no session may still come");
}

#[test]
fn requests_of_live_sessions_go_before_new_ones() {
    let (slow, other) = (Slow::start(), answering("other"));
    let limpet = one_slot(&slow, "queue_timeout = \"60s\"", &other);
    let opened = ask(&limpet, "/socket.io/?EIO=4&transport=polling");
    let sid = opened.split('"').nth(3).expect("a sid").to_owned();
    let mut clients = vec![sent(&limpet, "/holds")];
    slow.asked(1);
    for target in ["/new1".to_owned(), "/new2".to_owned()] {
        clients.push(sent(&limpet, &target));
        fence(&limpet);
    }
    for n in 1..=2 {
        clients.push(sent(&limpet, &format!("/bound{n}?x&EIO=4&transport=polling&sid={sid}")));
        fence(&limpet);
    }
    for count in 2..=5 {
        slow.answer();
        slow.asked(count);
    }
    slow.answer();
    assert_eq!(slow.asked(5), ["/holds", "/bound1?x", "/bound2?x", "/new1", "/new2"]);
    assert!(clients.iter_mut().all(|client| client.response().is_ok_and(|response| response.status == 200)));
    assert_eq!(slow.most_at_once(), 1);
}

#[test]
fn a_tunnel_has_its_slot_for_as_long_as_it_lives() {
    let endpoint = Endpoint::start(Conduct::SwitchesUnasked).expect("a port");
    let limpet = balancer("queue_timeout = \"300ms\"", &item(endpoint.address(), ", max_conn = 1"));
    let upgrade = b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let open = || {
        let mut client = RawClient::connect(limpet.address).expect("it accepts");
        client.set_limit(PATIENCE);
        client.send(upgrade).expect("sent");
        let status = client.response().expect("an answer").status;
        (client, status)
    };
    let (tunnel, status) = open();
    assert_eq!(status, 101);
    assert_eq!(open().1, 503);
    drop(tunnel);
    wait::until("the slot is given back", || open().1 == 101);
}
