//! What probes send, and what takes an endpoint down, brings it up again, or takes its new sessions.

use limpet_testkit::haproxy::Haproxy;
use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::misbehave::{Conduct, Endpoint, RefusesConnections};
use limpet_testkit::raw::RawClient;
use limpet_testkit::scripted::Scripted;

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

/// A balancer with these endpoints and this probe, which is tried every 50 ms.
fn balancer(endpoints: &[String], probe: &str) -> Limpet {
    let configuration = format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\n[upstream.app]\nbalance = \"round_robin\"\nendpoints = {endpoints:?}\n\
         [upstream.app.probe]\ninterval = \"50ms\"\nrise = 2\nfall = 2\n{probe}\n"
    );
    Launch::run(BINARY, configuration).start().expect("it starts")
}

fn healthy() -> Scripted {
    let endpoint = Scripted::start().expect("a port");
    endpoint.answer_status("/health", "200 OK", "all is well");
    endpoint
}

/// Waits for a line of the log with all of these parts, from line number `first` on.
#[track_caller]
fn wait_for_line(limpet: &Limpet, first: usize, parts: &[&str]) {
    let has = |line: &str| parts.iter().all(|part| line.contains(part)).then_some(());
    limpet.process.wait_for_after(first, &format!("{parts:?}"), has).expect("it says so");
}

#[test]
fn the_request_is_what_was_configured() {
    for (probe, version, host) in [
        ("http = \"HEAD /health?a=b\"\nversion = \"1.0\"", "HEAD /health?a=b HTTP/1.0", None),
        ("http = \"OPTIONS /health\"\nversion = \"1.0\"\nhost = \"a.b\"", "OPTIONS /health HTTP/1.0", Some("a.b")),
        ("http = \"/health\"", "GET /health HTTP/1.1", Some("")),
        ("http = \"GET /health\"\nhost = \"a.b:8\"", "GET /health HTTP/1.1", Some("a.b:8")),
    ] {
        let endpoint = healthy();
        let _limpet = balancer(&[endpoint.address().to_string()], probe);
        let head = endpoint.wait_for("/health", 2).remove(1).head;
        assert!(head.starts_with(&format!("{version}\r\n")), "{head}");
        let hosts: Vec<&str> = head.lines().filter_map(|line| line.strip_prefix("Host: ")).collect();
        // An endpoint without a configured host is called by its own name.
        let own_name = endpoint.address().to_string();
        let expected = host.map(|host| if host.is_empty() { own_name.as_str() } else { host });
        assert_eq!(hosts, Vec::from_iter(expected), "{head}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    }
}

#[test]
fn a_wrong_status_takes_down_and_the_right_one_brings_up() {
    let (changing, other) = (healthy(), healthy());
    let endpoints = [changing.address().to_string(), other.address().to_string()];
    let limpet = balancer(&endpoints, "http = \"GET /health\"\nexpect = \"200,204\"");
    let answers = || {
        for _ in 0..4 {
            let mut client = RawClient::connect(limpet.address).expect("it accepts");
            client.get("/app").expect("an answer");
        }
        [changing.asked("/app").len(), other.asked("/app").len()]
    };
    assert_eq!(answers(), [2, 2], "both are up after the first look");

    let first = limpet.process.line_count();
    changing.answer_status("/health", "503 Busy", "");
    let parts = ["endpoint down", &endpoints[0], "L7STS/503", "Layer7 wrong status", "Busy"];
    wait_for_line(&limpet, first, &parts);
    assert_eq!(answers(), [2, 6]);

    let first = limpet.process.line_count();
    changing.answer_status("/health", "204 Fine", "");
    wait_for_line(&limpet, first, &["endpoint up", &endpoints[0], "L7OK/204"]);
    assert_eq!(answers(), [4, 8]);
}

#[test]
fn every_way_to_fail_has_its_word() {
    let (garbage, silent, refuses) = (
        Endpoint::start(Conduct::SendsGarbage).expect("a port"),
        Endpoint::start(Conduct::AcceptsAndStalls).expect("a port"),
        RefusesConnections::start().expect("a port"),
    );
    let (closes, texts, wrong) = (healthy(), healthy(), healthy());
    closes.answer("/health", "");
    texts.answer_status("/health", "200 OK", "all is lost");
    wrong.answer_status("/health", "302 Found", "all is well");
    let good = healthy();
    // The text comes in pieces, behind an interim response and in chunks.
    good.answer(
        "/health",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nall is w\r\n3\r\nell\r\n0\r\n\r\n",
    );
    let words = [
        (garbage.address(), "L7RSP"),
        (silent.address(), "L7TOUT"),
        (refuses.address(), "L4CON"),
        (closes.address(), "L7RSP"),
        (texts.address(), "L7RSP/200"),
        (wrong.address(), "L7STS/302"),
    ];
    let mut endpoints: Vec<String> = words.iter().map(|(address, _)| address.to_string()).collect();
    endpoints.push(good.address().to_string());
    let limpet = balancer(&endpoints, "http = \"GET /health\"\nexpect = \"2xx\"\nbody = \"is well\"\ntimeout = \"2s\"");
    for (address, word) in words {
        wait_for_line(&limpet, 0, &["endpoint down", &address.to_string(), word]);
    }
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    client.get("/app").expect("an answer");
    assert_eq!(good.asked("/app").len(), 1, "{}", limpet.process.output());
}

#[test]
fn a_404_takes_new_sessions_and_leaves_the_old() {
    let nodes = [healthy(), healthy()];
    for (node, name) in nodes.iter().zip(["a", "b"]) {
        let open = format!(
            "0{{\"sid\":\"{}\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}}",
            name.repeat(20)
        );
        node.answer_status("/socket.io/", "200 OK", &open);
        node.answer_status("/socket.io/?EIO=4&transport=polling&sid=", "200 OK", "6");
    }
    let limpet = balancer(
        &nodes.each_ref().map(|node| node.address().to_string()),
        "http = \"GET /health\"\nexpect = \"200\"\ndrain_on_404 = true",
    );
    let get = |target: &str| {
        let mut client = RawClient::connect(limpet.address).expect("it accepts");
        client.get(target).expect("an answer").text()
    };
    let handshake = || {
        let open = get("/socket.io/?EIO=4&transport=polling");
        let (_, rest) = open.split_once("\"sid\":\"").expect("a handshake");
        rest.split('"').next().expect("a sid").to_owned()
    };
    let sids: Vec<String> = (0..4).map(|_| handshake()).collect();
    let of_a: Vec<&String> = sids.iter().filter(|sid| sid.starts_with("aaa")).collect();
    assert_eq!(of_a.len(), 2, "{sids:?}");

    let first = limpet.process.line_count();
    nodes[0].answer_status("/health", "404 Not Found", "");
    wait_for_line(&limpet, first, &["asks for no new sessions", &nodes[0].address().to_string(), "L7OKC/404"]);
    assert!((0..6).all(|_| handshake().starts_with("bbb")), "no new session");
    assert!(of_a.iter().all(|sid| get(&format!("/socket.io/?EIO=4&transport=polling&sid={sid}")) == "6"));
    assert_eq!(nodes[0].asked("/socket.io/?EIO=4&transport=polling&sid=").len(), 2, "its own sessions go on");

    let first = limpet.process.line_count();
    nodes[0].answer_status("/health", "200 OK", "");
    wait_for_line(&limpet, first, &["takes new sessions again", &nodes[0].address().to_string()]);
    assert!((0..6).any(|_| handshake().starts_with("aaa")));
}

#[test]
fn another_port_can_tell_the_health() {
    let page = healthy();
    let app = Endpoint::start(Conduct::Answers("hello")).expect("a port");
    let probe = format!("http = \"GET /health\"\nport = {}", page.address().port());
    let limpet = balancer(&[app.address().to_string()], &probe);
    let _ = page.wait_for("/health", 3);
    assert!(app.requests().is_empty());
    let first = limpet.process.line_count();
    page.answer_status("/health", "500 Oh", "");
    wait_for_line(&limpet, first, &["endpoint down", &app.address().to_string()]);
}

#[test]
fn probes_of_an_endpoint_that_is_down_are_rarer() {
    let (endpoint, other) = (healthy(), healthy());
    let probe = "http = \"GET /health\"\ndown_interval = \"1h\"\nfast_interval = \"1ms\"";
    let limpet = balancer(&[endpoint.address().to_string(), other.address().to_string()], probe);
    let first = limpet.process.line_count();
    endpoint.answer("/health", "");
    wait_for_line(&limpet, first, &["endpoint down"]);
    let count = endpoint.asked("/health").len();
    endpoint.answer_status("/health", "200 OK", "");
    let _ = other.wait_for("/health", other.asked("/health").len() + 10);
    assert_eq!(endpoint.asked("/health").len(), count, "the next is an hour away");
}

/// HAProxy and the balancer look at the same endpoints with the same rules, and give the same reasons.
#[test]
fn reasons_are_those_of_haproxy() {
    let (garbage, silent, refuses) = (
        Endpoint::start(Conduct::SendsGarbage).expect("a port"),
        Endpoint::start(Conduct::AcceptsAndStalls).expect("a port"),
        RefusesConnections::start().expect("a port"),
    );
    let scripted = ["200 OK", "302 Found", "404 Not Found", "503 Busy", "200 OK"].map(|status| {
        let endpoint = Scripted::start().expect("a port");
        endpoint.answer_status("/health", status, "all is well");
        endpoint
    });
    scripted[4].answer_status("/health", "200 OK", "all is lost");
    let mut addresses: Vec<String> = scripted.iter().map(|endpoint| endpoint.address().to_string()).collect();
    addresses.extend([garbage.address(), silent.address(), refuses.address()].map(|address| address.to_string()));
    let limpet = balancer(
        &addresses,
        "http = \"GET /health\"\nversion = \"1.0\"\nexpect = \"200\"\nbody = \"is well\"\ntimeout = \"2s\"\n\
         drain_on_404 = true",
    );
    let servers: String = (0..)
        .zip(&addresses)
        .map(|(n, address)| format!(" server s{n} {address} check inter 50ms fall 2 rise 2\n"))
        .collect();
    let haproxy = Haproxy::start(&format!(
        "defaults\n mode http\n timeout connect 2s\n timeout check 2s\n timeout client 30s\n timeout server 30s\n\
         frontend web\n bind {{listen}}\n default_backend app\n\
         backend app\n option httpchk GET /health\n http-check disable-on-404\n http-check expect status 200\n \
         http-check expect string \"is well\"\n{servers}"
    ))
    .expect("HAProxy starts");

    for (n, address) in addresses.iter().enumerate() {
        if n == 0 {
            continue;
        }
        // "Server app/s3 is DOWN, reason: Layer7 wrong status, code: 503, ..." or "Server app/s2 is stopping, ..."
        let name = format!("app/s{n} is ");
        let theirs = |line: &str| {
            let (_, said) = line.split_once(&name)?;
            let (_, reason) = said.split_once("reason: ")?;
            Some(reason.split(", ").next().unwrap_or_default().trim().to_owned())
        };
        let theirs = haproxy.process.wait_for(&name, theirs).expect("HAProxy says so");
        let ours = |line: &str| {
            let is_ours = line.contains(address) && line.contains("reason=\"");
            let (_, reason) = line.split_once("reason=\"").filter(|_| is_ours)?;
            Some(reason.split('"').next().unwrap_or_default().to_owned())
        };
        let ours = limpet.process.wait_for(address, ours).expect("we say so");
        assert_eq!(ours, theirs, "endpoint {n}");
    }
    let output = haproxy.process.output();
    assert!(!output.contains("app/s0 is DOWN"), "{output}");
}
