//! The PROXY protocol in both directions: whose connection it is, who may say so, and what endpoints are told.

use std::net::SocketAddr;
use std::path::Path;

use limpet_proto::proxy_header::{self, Origin, Progress, Version};
use limpet_testkit::haproxy::Haproxy;
use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::misbehave::RefusesConnections;
use limpet_testkit::nginx::Nginx;
use limpet_testkit::raw::{RawClient, RawError, Response};
use limpet_testkit::scripted::{Asked, Scripted};

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");
const SOURCE: &str = "203.0.113.9:4711";
const GET: &[u8] = b"GET /app HTTP/1.1\r\nHost: h\r\n\r\n";

/// A balancer with these lines in its listener and in its upstream, whose log shows every request.
fn balancer(endpoint: SocketAddr, listener: &str, upstream: &str) -> Limpet {
    let configuration = format!(
        "workers = 1\naccess_log = \"text\"\n[listener.web]\nbind = \"127.0.0.1:0\"\n{listener}\n\
         [upstream.app]\nendpoints = [\"{endpoint}\"]\n{upstream}\n"
    );
    Launch::run(BINARY, configuration).start().expect("it starts")
}

fn app() -> Scripted {
    let endpoint = Scripted::start().expect("a port");
    endpoint.answer_status("/", "200 OK", "hello");
    endpoint
}

fn header(version: Version, origin: Origin) -> Vec<u8> {
    let mut out = Vec::new();
    proxy_header::write(version, origin, &mut out);
    out
}

fn of(source: &str) -> Origin {
    let source = source.parse().expect("an address");
    let destination = if SocketAddr::is_ipv4(&source) { "198.51.100.1:443" } else { "[2001:db8::5]:443" };
    Origin::Proxied { source, destination: destination.parse().expect("an address") }
}

/// Sends these bytes on a new connection and reads the answer.
fn send(limpet: &Limpet, bytes: &[u8]) -> Result<Response, RawError> {
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    client.send(bytes).expect("sent");
    client.response()
}

fn forwarded_for(asked: &Asked) -> Vec<&str> {
    asked.head.lines().filter_map(|line| line.strip_prefix("X-Forwarded-For: ")).collect()
}

/// What the header at the start of a connection to an endpoint says.
#[track_caller]
fn read(asked: &Asked) -> (Version, Origin) {
    match proxy_header::parse(&asked.proxy) {
        Ok(Progress::Complete { consumed, header }) if consumed == asked.proxy.len() => (header.version, header.origin),
        other => panic!("{other:?} for {}", asked.proxy.escape_ascii()),
    }
}

#[track_caller]
fn wait_for_line(limpet: &Limpet, parts: &[&str]) {
    let has = |line: &str| parts.iter().all(|part| line.contains(part)).then_some(());
    limpet.process.wait_for(&format!("{parts:?}"), has).expect("it says so");
}

#[test]
fn the_client_is_the_one_that_the_header_names() {
    let endpoint = app();
    let limpet = balancer(endpoint.address(), "accept_proxy = \"any\"", "");
    for (version, source, ip) in [
        (Version::V1, SOURCE, "203.0.113.9"),
        (Version::V2, SOURCE, "203.0.113.9"),
        (Version::V1, "[2001:db8::7]:1", "2001:db8::7"),
        (Version::V2, "[2001:db8::7]:1", "2001:db8::7"),
    ] {
        let before = endpoint.asked("/app").len();
        // What the client itself claims is not believed.
        let forged = b"GET /app HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.66\r\nX-Real-IP: 192.0.2.66\r\n\r\n";
        let response = send(&limpet, &[&header(version, of(source))[..], forged].concat()).expect("an answer");
        assert_eq!(response.status, 200);
        let asked = endpoint.wait_for("/app", before + 1).remove(before);
        assert_eq!(forwarded_for(&asked), [ip], "{}", asked.head);
        assert!(asked.head.contains(&format!("X-Real-IP: {ip}\r\n")), "{}", asked.head);
        assert!(asked.proxy.is_empty(), "it goes no further");
        wait_for_line(&limpet, &["event=exchange", &format!("client={source}")]);
    }
}

#[test]
fn a_header_that_names_nobody_leaves_the_proxys_address() {
    let endpoint = app();
    let limpet = balancer(endpoint.address(), "accept_proxy = \"any\"", "");
    for (count, bytes) in (1..).zip([
        header(Version::V1, Origin::Unknown),
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
        header(Version::V2, Origin::Local),
        // PROXY with an unspecified family.
        b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0".to_vec(),
        // LOCAL with an address, which means nothing.
        b"\r\n\r\n\0\r\nQUIT\n\x20\x11\0\x0c\xcb\0\x71\x09\xc6\x33\x64\x01\0\x01\0\x02".to_vec(),
    ]) {
        assert_eq!(send(&limpet, &[&bytes[..], GET].concat()).expect("an answer").status, 200);
        let asked = endpoint.wait_for("/app", count).remove(count - 1);
        assert_eq!(forwarded_for(&asked), ["127.0.0.1"], "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_header_may_come_in_pieces_and_requests_follow_it() {
    let endpoint = app();
    let limpet = balancer(endpoint.address(), "accept_proxy = \"v2\"", "");
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    for byte in header(Version::V2, of(SOURCE)) {
        client.send(&[byte]).expect("sent");
    }
    for count in 1..=3 {
        client.send(GET).expect("sent");
        assert_eq!(client.response().expect("an answer").status, 200);
        assert_eq!(forwarded_for(&endpoint.wait_for("/app", count)[count - 1]), ["203.0.113.9"]);
    }
}

#[test]
fn what_a_client_behind_the_proxy_claims_counts_when_that_client_is_trusted() {
    let endpoint = app();
    // The PROXY header comes from one that is trusted itself, which says nothing about whom it names.
    let listener = "accept_proxy = \"v1\"\ntrusted = [\"127.0.0.0/8\", \"10.0.0.0/8\"]";
    let limpet = balancer(endpoint.address(), listener, "");
    let claim = b"GET /app HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.66\r\n\r\n";
    for (count, (source, told)) in
        (0..).zip([(SOURCE, "203.0.113.9"), ("10.1.2.3:5", "192.0.2.66, 10.1.2.3"), (SOURCE, "203.0.113.9")])
    {
        send(&limpet, &[&header(Version::V1, of(source))[..], claim].concat()).expect("an answer");
        let asked = endpoint.wait_for("/app", count + 1).remove(count);
        assert_eq!(forwarded_for(&asked), [told]);
    }
}

#[test]
fn what_is_no_sound_header_is_refused() {
    let endpoint = app();
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(200));
    let huge = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff";
    let limpet = balancer(endpoint.address(), "accept_proxy = \"v2\"", "");
    let v1 = header(Version::V1, of(SOURCE));
    let forged_sum = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xcb\0\x71\x09\xc6\x33\x64\x01\0\x01\0\x02\x03\0\x04\0\0\0\0";
    for (bytes, why) in [
        (GET, "no PROXY header"),
        (&v1[..], "leaves out"),
        (b"\r\n\r\n\0\r\nQUIT\r", "no PROXY header"),
        (&huge[..], "too long"),
        (&forged_sum[..], "checksum"),
    ] {
        let response = send(&limpet, &[bytes, GET].concat()).expect("an answer");
        assert_eq!(response.status, 400, "{}", bytes.escape_ascii());
        assert!(response.text().contains(why), "{why}: {}", response.text());
        wait_for_line(&limpet, &["event=exchange", "status=400", why]);
    }
    wait_for_line(&limpet, &["WARN", "connection refused", "listener=\"web\"", "peer=127.0.0.1"]);
    let limpet = balancer(endpoint.address(), "accept_proxy = \"v1\"", "");
    for bytes in [long.as_bytes(), b"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n", b"PROXY TCP4 1.2.3.4\r\n", huge] {
        assert_eq!(send(&limpet, bytes).expect("an answer").status, 400, "{}", bytes.escape_ascii());
    }
    assert!(endpoint.asked("/app").is_empty());
}

#[test]
fn only_named_proxies_speak_for_others() {
    let endpoint = app();
    for (listener, sent, status, why) in [
        ("", true, 400, "the listener accepts none"),
        ("", false, 200, ""),
        ("accept_proxy = \"any\"\nproxy_from = [\"10.0.0.0/8\"]", true, 400, "not in proxy_from"),
        ("accept_proxy = \"any\"\nproxy_from = [\"10.0.0.0/8\"]", false, 200, ""),
        ("accept_proxy = \"any\"\nproxy_from = [\"10.0.0.0/8\"]\nproxy_required = true", true, 403, "proxy_required"),
        ("accept_proxy = \"any\"\nproxy_from = [\"10.0.0.0/8\"]\nproxy_required = true", false, 403, "proxy_required"),
        ("accept_proxy = \"any\"\nproxy_from = [\"127.0.0.1\"]\nproxy_required = true", true, 200, ""),
        ("accept_proxy = \"any\"\nproxy_from = [\"127.0.0.1\"]", false, 400, "no PROXY header"),
    ] {
        let limpet = balancer(endpoint.address(), listener, "");
        for version in [Version::V1, Version::V2] {
            let before = endpoint.asked("/app").len();
            let header = if sent { header(version, of(SOURCE)) } else { Vec::new() };
            let response = send(&limpet, &[&header[..], GET].concat()).expect("an answer");
            assert_eq!(response.status, status, "{listener} {sent} {version:?}");
            let asked = endpoint.asked("/app").split_off(before);
            let told: Vec<_> = asked.iter().flat_map(forwarded_for).collect();
            match status {
                200 => assert_eq!(told, [if sent { "203.0.113.9" } else { "127.0.0.1" }]),
                _ => assert!(told.is_empty() && response.text().contains(why), "{}", response.text()),
            }
        }
        if status != 200 {
            wait_for_line(&limpet, &["WARN", "connection refused", why]);
        }
    }
}

#[test]
fn a_client_cannot_put_a_second_header_behind_the_proxys() {
    let endpoint = app();
    let limpet = balancer(endpoint.address(), "accept_proxy = \"any\"", "");
    for version in [Version::V1, Version::V2] {
        let twice = [&header(version, of(SOURCE))[..], &header(version, of("192.0.2.66:1")), GET].concat();
        assert_eq!(send(&limpet, &twice).expect("an answer").status, 400);
    }
    assert!(endpoint.asked("/app").is_empty());
}

#[test]
fn a_header_that_does_not_come_is_waited_for_in_bounds() {
    let endpoint = app();
    let limpet = balancer(endpoint.address(), "accept_proxy = \"any\"\nhead_timeout = \"300ms\"", "");
    for begun in [&b"PROXY TCP4 1.2.3.4"[..], b""] {
        assert_eq!(send(&limpet, begun).expect("an answer").status, 408, "{}", begun.escape_ascii());
    }
    wait_for_line(&limpet, &["event=exchange", "status=408"]);
    wait_for_line(&limpet, &["WARN", "connection refused", "no PROXY header in time"]);
}

#[test]
fn a_connection_without_a_word_is_not_held_against_who_made_it() {
    let endpoint = app();
    // Load balancers see by one whether we live. It has all the time that it wants: a busy machine may take some.
    let limpet = balancer(endpoint.address(), "accept_proxy = \"any\"", "");
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    client.finish().expect("closed");
    assert_eq!(client.read_to_end().expect("the end"), b"", "it is told nothing");
    assert_eq!(send(&limpet, &[&header(Version::V2, Origin::Local)[..], GET].concat()).expect("an answer").status, 200);
    // The one worker has served both, so that what it had to say of the first is there.
    wait_for_line(&limpet, &["event=exchange", "status=200"]);
    let lines = limpet.process.output();
    assert!(!["refused", "status=4"].iter().any(|word| lines.contains(word)), "{lines}");
}

#[test]
fn connections_count_for_the_client_that_the_header_names() {
    let endpoint = app();
    let limpet = balancer(endpoint.address(), "accept_proxy = \"v1\"\nmax_connections_per_client = 1", "");
    let open = |source: &str| {
        let mut client = RawClient::connect(limpet.address).expect("it accepts");
        client.send(&[&header(Version::V1, of(source))[..], GET].concat()).expect("sent");
        (client.response().expect("an answer").status, client)
    };
    let (first, _kept) = open("203.0.113.9:1");
    let (other, _kept_too) = open("203.0.113.10:1");
    let (again, _) = open("203.0.113.9:2");
    assert_eq!((first, other, again), (200, 200, 429));
}

#[test]
fn endpoints_are_told_of_the_client_on_connections_of_its_own() {
    for (word, version) in [("v1", Version::V1), ("v2", Version::V2)] {
        let endpoint = app();
        let limpet = balancer(endpoint.address(), "", &format!("send_proxy = \"{word}\"\nprobe = false"));
        let mut clients = [0, 1].map(|_| RawClient::connect(limpet.address).expect("it accepts"));
        for _ in 0..3 {
            for client in &mut clients {
                assert_eq!(client.get("/app").expect("an answer").status, 200);
            }
        }
        let asked = endpoint.wait_for("/app", 6);
        for (n, asked) in asked.iter().enumerate() {
            let source = clients[n % 2].local_address().expect("an address");
            assert_eq!(read(asked), (version, Origin::Proxied { source, destination: limpet.address }), "request {n}");
            assert_eq!(asked.connection, n % 2, "each client keeps its own connection");
        }
    }
}

#[test]
fn a_client_behind_proxies_is_told_on_whichever_way_it_came() {
    let endpoint = app();
    let listener = "accept_proxy = \"any\"\ntrusted = [\"10.0.0.0/8\"]";
    let limpet = balancer(endpoint.address(), listener, "send_proxy = \"v2\"\nprobe = false");
    // A header in is a header out, with the address that the client connected to.
    send(&limpet, &[&header(Version::V1, of(SOURCE))[..], GET].concat()).expect("an answer");
    // A trusted proxy sends the requests of several clients on one connection.
    let mut proxy = RawClient::connect(limpet.address).expect("it accepts");
    proxy.send(&header(Version::V2, of("10.0.0.7:99"))).expect("sent");
    for ip in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        let request = format!("GET /app HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {ip}\r\n\r\n");
        proxy.send(request.as_bytes()).expect("sent");
        assert_eq!(proxy.response().expect("an answer").status, 200);
    }
    let asked = endpoint.wait_for("/app", 4);
    let sources: Vec<(Version, Origin)> = asked.iter().map(read).collect();
    let expected = [SOURCE, "192.0.2.1:0", "192.0.2.1:0", "192.0.2.2:0"].map(|source| (Version::V2, of(source)));
    assert_eq!(sources, expected);
    let connections: Vec<usize> = asked.iter().map(|asked| asked.connection).collect();
    assert_eq!(connections, [0, 1, 1, 2], "no connection carries two clients");
}

#[test]
fn probes_send_the_header_without_a_client() {
    for (word, header) in [("v1", header(Version::V1, Origin::Unknown)), ("v2", header(Version::V2, Origin::Local))] {
        let endpoint = app();
        let upstream = format!("send_proxy = \"{word}\"\nprobe = {{ http = \"GET /health\", interval = \"50ms\" }}");
        let _limpet = balancer(endpoint.address(), "", &upstream);
        for asked in endpoint.wait_for("/health", 2) {
            assert_eq!(asked.proxy, header);
        }
    }
}

#[test]
fn an_endpoint_that_is_gone_is_still_found_out() {
    let gone = RefusesConnections::start().expect("a port");
    let limpet = balancer(gone.address(), "", "send_proxy = \"v2\"\nprobe = false");
    assert_eq!(send(&limpet, GET).expect("an answer").status, 503);
}

/// HAProxy that sends PROXY headers to the balancer.
fn haproxy_before(limpet: &Limpet, directive: &str) -> Haproxy {
    Haproxy::start(&format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
         frontend web\n bind {{listen}}\n default_backend app\n\
         backend app\n server limpet {} {directive}\n",
        limpet.address
    ))
    .expect("HAProxy starts")
}

#[test]
fn haproxy_speaks_to_us() {
    for (directive, accepted) in [("send-proxy", "v1"), ("send-proxy-v2", "v2"), ("send-proxy-v2", "any")] {
        let endpoint = app();
        let limpet = balancer(endpoint.address(), &format!("accept_proxy = \"{accepted}\""), "");
        let haproxy = haproxy_before(&limpet, directive);
        let mut client = RawClient::connect(haproxy.address).expect("it accepts");
        assert_eq!(client.get("/app").expect("an answer").status, 200);
        let source = client.local_address().expect("an address");
        wait_for_line(&limpet, &["event=exchange", &format!("client={source}"), "status=200"]);
    }
}

#[test]
fn haproxy_sends_its_probes_to_us() {
    let endpoint = app();
    let limpet = balancer(endpoint.address(), "accept_proxy = \"any\"", "");
    let _haproxy =
        haproxy_before(&limpet, "send-proxy-v2 check inter 100ms check-send-proxy\n option httpchk HEAD /app");
    let asked = endpoint.wait_for("/app", 3).remove(2);
    assert_eq!(forwarded_for(&asked), ["127.0.0.1"]);
    assert!(!limpet.process.output().contains("refused"));
}

#[test]
fn we_speak_to_haproxy() {
    for word in ["v1", "v2"] {
        let app = app();
        let haproxy = Haproxy::start(&format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
             frontend web\n bind {{listen}} accept-proxy\n http-request set-header X-Seen %[src]:%[src_port]\n\
             http-request set-header X-Seen-To %[dst]:%[dst_port]\n default_backend app\n\
             backend app\n server app {}\n",
            app.address()
        ))
        .expect("HAProxy starts");
        let upstream = format!("send_proxy = \"{word}\"\nprobe = {{ http = \"GET /health\", interval = \"50ms\" }}");
        let limpet = balancer(haproxy.address, "", &upstream);
        let mut client = RawClient::connect(limpet.address).expect("it accepts");
        assert_eq!(client.get("/app").expect("an answer").status, 200);
        let head = app.wait_for("/app", 1).remove(0).head.to_ascii_lowercase();
        let seen = format!("x-seen: {}\r\n", client.local_address().expect("an address"));
        assert!(head.contains(&seen) && head.contains(&format!("x-seen-to: {}\r\n", limpet.address)), "{head}");
        let probe = app.wait_for("/health", 2).remove(0).head.to_ascii_lowercase();
        assert!(probe.contains("x-seen: 127.0.0.1:"), "{probe}");
    }
}

#[test]
fn we_speak_to_nginx() {
    for word in ["v1", "v2"] {
        let app = app();
        let nginx = nginx_with_proxy_protocol(app.address());
        let limpet = balancer(nginx.address, "", &format!("send_proxy = \"{word}\"\nprobe = false"));
        let mut client = RawClient::connect(limpet.address).expect("it accepts");
        assert_eq!(client.get("/app").expect("an answer").status, 200);
        let head = app.wait_for("/app", 1).remove(0).head;
        let seen = format!("X-Seen: {}\r\n", client.local_address().expect("an address"));
        assert!(head.contains(&seen), "{head}");
    }
}

#[test]
fn nginx_speaks_to_us() {
    // Debian has it as a module, others built in.
    let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
    let load = if Path::new(module).exists() { format!("load_module {module};\n") } else { String::new() };
    let app = app();
    let limpet = balancer(app.address(), "accept_proxy = \"v1\"", "");
    let nginx = Nginx::start(&format!(
        "{load}events {{ worker_connections 64; }}\nstream {{\n server {{\n listen {{listen}};\n proxy_pass {};\n \
         proxy_protocol on;\n }}\n}}\n",
        limpet.address
    ))
    .expect("nginx with its stream module starts");
    for (count, source) in (1..).zip(["127.0.0.1", "127.6.7.8"]) {
        let mut client =
            RawClient::connect_from(source.parse().expect("an address"), nginx.address).expect("it accepts");
        // The connection is the client's own: the header counts for every request on it.
        for more in [1, 2] {
            assert_eq!(client.get("/app").expect("an answer").status, 200);
            let asked = app.wait_for("/app", (count - 1) * 2 + more).pop().expect("the last one");
            assert_eq!(forwarded_for(&asked), [source], "{}", asked.head);
        }
        wait_for_line(&limpet, &[&format!("client={}", client.local_address().expect("an address"))]);
    }
}

fn nginx_with_proxy_protocol(app: SocketAddr) -> Nginx {
    Nginx::start(&format!(
        "events {{ worker_connections 64; }}\nhttp {{\n server {{\n listen {{listen}} proxy_protocol;\n \
         set_real_ip_from 127.0.0.0/8;\n real_ip_header proxy_protocol;\n location / {{\n proxy_pass http://{app};\n \
         proxy_set_header X-Seen $proxy_protocol_addr:$proxy_protocol_port;\n }}\n }}\n}}\n"
    ))
    .expect("nginx starts")
}

#[test]
fn nearly_all_clients_of_one_address_are_pointed_out() {
    let endpoint = app();
    let limpet = balancer(endpoint.address(), "max_connections_per_client = 100", "");
    for _ in 0..1000 {
        let mut client = RawClient::connect(limpet.address).expect("it accepts");
        client.send(b"GET /app HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("sent");
        assert_eq!(client.response().expect("an answer").status, 200);
    }
    wait_for_line(&limpet, &["WARN", "are of one address", "client=127.0.0.1", "accept_proxy"]);
}
