//! Cookies, routes and addresses bind clients to endpoints, whatever clients send in them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::misbehave::{Conduct, Endpoint};
use limpet_testkit::peers;
use limpet_testkit::raw::{RawClient, Response};

const HANDSHAKE: &str = "/socket.io/?EIO=4&transport=polling";

/// Starts a balancer in front of these endpoints, whose plain ids are e1, e2 and so on.
fn limpet(endpoints: &[SocketAddr], lines: &str) -> Limpet {
    let endpoints: Vec<String> = (1..)
        .zip(endpoints)
        .map(|(n, address)| format!("{{ address = \"{address}\", id = \"e{n}\", cookie = \"e{n}\" }}"))
        .collect();
    let configuration = format!(
        "access_log = \"text\"\nworkers = 1\n[listener.web]\nbind = \"127.0.0.1:0\"\n[upstream.app]\nprobe = false\n\
         balance = \"round_robin\"\noutlier = {{ failures = 0 }}\nendpoints = [{}]\n{lines}\n",
        endpoints.join(", ")
    );
    Launch::run(env!("CARGO_BIN_EXE_limpet"), configuration).start().expect("it starts")
}

fn answering(bodies: &[&'static str]) -> Vec<Endpoint> {
    bodies.iter().map(|body| Endpoint::start(Conduct::Answers(body)).expect("a port")).collect()
}

fn addresses(endpoints: &[Endpoint]) -> Vec<SocketAddr> {
    endpoints.iter().map(Endpoint::address).collect()
}

fn get(limpet: &Limpet, target: &str, cookies: &[&[u8]]) -> Response {
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    let mut head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n").into_bytes();
    for cookie in cookies {
        head.extend_from_slice(b"Cookie: ");
        head.extend_from_slice(cookie);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    client.send(&head).expect("sent");
    client.response().expect("an answer")
}

/// Returns the pair that a response sets.
fn pair(response: &Response) -> String {
    let line = response.header("set-cookie").expect("a cookie is set");
    line.split(';').next().expect("a pair").to_owned()
}

#[test]
fn handshakes_and_upgrades_follow_a_signed_cookie() {
    let servers = peers::node_servers(&["a", "b"], &peers::QUICK_HEARTBEATS).expect("they start");
    let limpet = limpet(
        &peers::addresses(&servers),
        "affinity = [{ by = \"sid\" }, { by = \"cookie\", name = \"S\", indirect = true, http_only = true }]",
    );
    let first = get(&limpet, HANDSHAKE, &[]);
    let cookie = pair(&first);
    assert!(
        cookie.len() == "S=".len() + 36
            && first.header("set-cookie").is_some_and(|line| line.ends_with("; path=/; HttpOnly"))
    );
    for _ in 0..5 {
        let next = get(&limpet, HANDSHAKE, &[cookie.as_bytes()]);
        assert_eq!((next.status, next.header("set-cookie")), (200, None));
    }
    let sessions = |at: usize| servers[at].info().expect("it answers")["opened"].as_u64().expect("a number");
    assert_eq!(sessions(0) + sessions(1), 6);
    assert!(sessions(0) == 6 || sessions(1) == 6, "all went where the cookie says");
    // A 101 sets the cookie too.
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    client
        .send(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .expect("sent");
    let upgraded = client.response().expect("an answer");
    assert_eq!(upgraded.status, 101);
    assert!(pair(&upgraded).starts_with("S="));
    // Real clients with the cookie all land on its endpoint, and lose nothing.
    let client = peers::node_client(
        &limpet.url(),
        &["--count", "4", "--heartbeats", "1", "--header", &format!("Cookie: {cookie}")],
    );
    let verdict = client.expect("it starts").verdict().expect("a verdict");
    verdict.assert_good();
    assert_eq!(verdict.nodes().iter().map(|(_, count)| *count).collect::<Vec<_>>(), [4], "{:?}", verdict.nodes());
}

#[test]
fn whatever_a_cookie_holds_is_answered() {
    let endpoints = answering(&["one", "two"]);
    let limpet = limpet(&addresses(&endpoints), "affinity = [{ by = \"cookie\", name = \"S\", indirect = true }]");
    let good = pair(&get(&limpet, "/", &[]));
    let mut forged = good.clone().into_bytes();
    forged[8] ^= 1;
    let huge = format!("S={}", "A".repeat(6000));
    let many = "S=x; ".repeat(500);
    for wrong in [
        &forged[..],
        huge.as_bytes(),
        many.as_bytes(),
        b"S=",
        b"S",
        b"S=e1",
        b"S=\xff\xfe\x80",
        b";;=;S=;;",
        b"S=\"\t\"",
    ] {
        let answer = get(&limpet, "/", &[wrong]);
        assert_eq!(answer.status, 200, "{}", wrong.escape_ascii());
        assert_eq!(pair(&answer).len(), good.len(), "a new one: {}", wrong.escape_ascii());
    }
    let answer = get(&limpet, "/", &[b"a=1; S=x", format!("S={}; b=2", &good[2..]).as_bytes()]);
    assert_eq!((answer.status, answer.header("set-cookie")), (200, None), "the good one among wrong ones counts");
    let seen = endpoints.iter().flat_map(|endpoint| endpoint.requests()).find(|request| request.head.contains("b=2"));
    let head = seen.expect("it arrived").head;
    assert!(head.contains("Cookie: a=1\r\n") && head.contains("Cookie: b=2") && !head.contains("S="), "{head}");
    for letters in ["cookie=NI", "cookie=II", "cookie=VN"] {
        limpet.process.wait_for(letters, |line| line.contains(letters).then_some(())).expect("HAProxy's letters");
    }
}

#[test]
fn when_its_endpoint_is_gone_a_client_moves_or_fails_or_waits() {
    let cookie = "affinity = [{ by = \"cookie\", name = \"S\", value = \"plain\" }]";
    for (lines, status, body, set) in [
        ("", 200, "two", Some("S=e2")),
        ("when_gone = \"fail\"", 503, "", None),
        ("when_gone = \"wait\"\nwait = \"300ms\"", 200, "two", Some("S=e2")),
        ("when_gone = \"wait\"\nwait = \"300ms\"\nafter_wait = \"fail\"", 503, "", None),
    ] {
        let mut endpoints = answering(&["one", "two"]);
        let limpet = limpet(&addresses(&endpoints), &format!("{cookie}\n{lines}"));
        assert_eq!(get(&limpet, "/", &[b"S=e1"]).text(), "one");
        drop(endpoints.remove(0));
        let begun = Instant::now();
        let answer = get(&limpet, "/", &[b"S=e1"]);
        assert_eq!(answer.status, status, "{lines}");
        if status == 200 {
            assert_eq!((answer.text().as_str(), Some(pair(&answer).as_str())), (body, set), "{lines}");
        }
        if lines.contains("wait") {
            assert!(begun.elapsed() >= Duration::from_millis(300), "it waited: {lines}");
        }
        assert_eq!(get(&limpet, "/", &[b"S=e2"]).text(), "two", "others are not touched: {lines}");
    }
}

#[test]
fn a_route_binds_as_with_apache() {
    let endpoints = answering(&["one", "two"]);
    let limpet =
        limpet(&addresses(&endpoints), "affinity = [{ by = \"stickysession\", name = \"ROUTE\", set_cookie = true }]");
    assert!(pair(&get(&limpet, "/", &[])).starts_with("ROUTE=sticky.e"));
    for (target, cookie, body) in
        [("/", "ROUTE=sticky.e2", "two"), ("/;ROUTE=x.e1", "ROUTE=sticky.e2", "one"), ("/?a=b&ROUTE=x.e2", "", "two")]
    {
        for _ in 0..2 {
            let answer = get(&limpet, target, &[cookie.as_bytes()]);
            assert_eq!((answer.text().as_str(), answer.header("set-cookie")), (body, None), "{target} {cookie}");
        }
    }
    for wrong in ["ROUTE=e2", "ROUTE=sticky.e9", "ROUTE=sticky."] {
        assert!(pair(&get(&limpet, "/", &[wrong.as_bytes()])).starts_with("ROUTE=sticky.e"), "{wrong}");
    }
}

#[test]
fn addresses_headers_queries_and_paths_stay_with_their_endpoint() {
    let endpoints = answering(&["one", "two", "three"]);
    for (mode, target) in [
        ("{ by = \"client\" }", "/"),
        ("{ by = \"client\", remember = true }", "/"),
        ("{ by = \"header\", name = \"Host\" }", "/"),
        ("{ by = \"query\", name = \"room\" }", "/?room=7"),
        ("{ by = \"path\" }", "/a/b"),
    ] {
        let limpet = limpet(&addresses(&endpoints), &format!("affinity = [{mode}]"));
        let first = get(&limpet, target, &[]).text();
        for _ in 0..5 {
            assert_eq!(get(&limpet, target, &[]).text(), first, "{mode}");
        }
    }
}
