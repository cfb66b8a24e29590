//! Keys come to the same endpoints as with real HAProxy and nginx: 10,000 keys for each function, with weights, and with
//! an endpoint that is switched off.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use limpet_balancer::config::{AdminState, EndpointConfig, Hash, UpstreamConfig};
use limpet_balancer::upstream::Upstream;
use limpet_balancer::upstream::endpoint::{Endpoint, EndpointId};
use limpet_testkit::haproxy::Haproxy;
use limpet_testkit::limpet::Launch;
use limpet_testkit::misbehave::{self, Conduct};
use limpet_testkit::nginx::Nginx;
use limpet_testkit::raw::RawClient;

const KEYS: u32 = 10_000;
const AT_A_TIME: usize = 50;
const NAMES: [&str; 5] = ["0", "1", "2", "3", "4"];

/// Endpoints with these weights; the one at `off` is switched off.
struct Group {
    servers: Vec<misbehave::Endpoint>,
    weights: Vec<u32>,
    off: Option<usize>,
}

impl Group {
    fn start(weights: &[u32], off: Option<usize>) -> Self {
        let start = |name: &&'static str| misbehave::Endpoint::start(Conduct::Answers(name)).expect("a port");
        Self { servers: NAMES[..weights.len()].iter().map(start).collect(), weights: weights.to_vec(), off }
    }

    fn addresses(&self) -> impl Iterator<Item = (usize, SocketAddr, u32)> {
        self.servers.iter().zip(&self.weights).enumerate().map(|(n, (server, weight))| (n, server.address(), *weight))
    }

    fn haproxy(&self, lines: &str) -> Haproxy {
        let mut servers = String::new();
        for (n, address, weight) in self.addresses() {
            let off = if self.off == Some(n) { "disabled" } else { "" };
            writeln!(servers, "    server s{n} {address} weight {weight} {off}").expect("a string");
        }
        Haproxy::start(&format!(
            "defaults\n    mode http\n    timeout client 9s\n    timeout server 9s\n    timeout connect 9s\n\
             frontend f\n    bind {{listen}}\n    http-request set-src hdr(x-forwarded-for)\n    default_backend b\n\
             backend b\n    {lines}\n{servers}"
        ))
        .expect("HAProxy starts")
    }

    fn nginx(&self, line: &str) -> Nginx {
        let mut servers = String::new();
        for (n, address, weight) in self.addresses() {
            let off = if self.off == Some(n) { "down" } else { "" };
            writeln!(servers, "server {address} weight={weight} {off};").expect("a string");
        }
        Nginx::start(&format!(
            "events {{ worker_connections 1024; }}\nhttp {{\nkeepalive_requests 1000000;\nupstream u {{ {line};\n{servers}keepalive 16; }}\n\
             server {{ listen {{listen}};\nset_real_ip_from 127.0.0.1;\nreal_ip_header X-Forwarded-For;\n\
             location / {{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}"
        ))
        .expect("nginx starts")
    }

    fn ours(&self) -> Upstream {
        let upstream = Upstream::new(UpstreamConfig::new("test", Vec::new()));
        let endpoints = self.addresses().map(|(n, address, weight)| {
            let state = if self.off == Some(n) { AdminState::Maintenance } else { AdminState::Ready };
            let config =
                EndpointConfig { weight, state, ..EndpointConfig::new(address.ip().to_string(), address.port()) };
            Arc::new(Endpoint::new(EndpointId::derive(None, address), address, &config))
        });
        upstream.set_endpoints(endpoints.collect());
        upstream
    }
}

fn address(n: u32) -> IpAddr {
    // An odd multiplier meets every address once; its octets are spread.
    Ipv4Addr::from(n.wrapping_mul(2_654_435_761) | 0x0100_0000).into()
}

/// A header's value in one of the forms that lists take.
fn list(n: u32) -> String {
    match n % 8 {
        0 => format!("user-{n},other-{}", n / 3),
        1 => format!("user-{n} , other"),
        2 => format!("\"user-{n},b\" x,c"),
        3 => format!("user-{n},"),
        4 => format!("\"a\\\"{n},b\",c"),
        5 => format!("a\tb {n} ,\"c"),
        6 => format!("a=\"{n}, not closed"),
        _ => format!("\\\"{n},b\",c"),
    }
}

fn user(n: u32) -> String {
    format!("user-{n}@{}", n % 17)
}

/// Asks a program for the endpoint of every key.
fn asked(program: SocketAddr, header: &str, value: impl Fn(u32) -> String) -> Vec<String> {
    let mut client = RawClient::connect(program).expect("it accepts");
    let keys: Vec<u32> = (0..KEYS).collect();
    let mut answers = Vec::new();
    for some in keys.chunks(AT_A_TIME) {
        let requests: String =
            some.iter().map(|n| format!("GET / HTTP/1.1\r\nHost: h\r\n{header}: {}\r\n\r\n", value(*n))).collect();
        client.send(requests.as_bytes()).expect("sent");
        answers.extend(some.iter().map(|_| client.response().expect("an answer").text()));
    }
    answers
}

fn compare(name: &str, theirs: &[String], ours: impl Fn(u32) -> u16, group: &Group) {
    let name_of = |port: u16| {
        let found = group.addresses().find(|(_, address, _)| address.port() == port);
        NAMES[found.expect("one of ours").0]
    };
    let wrong: Vec<u32> =
        (0..KEYS).zip(theirs).filter(|(n, theirs)| name_of(ours(*n)) != *theirs).map(|(n, _)| n).collect();
    assert!(wrong.is_empty(), "{name}, weights {:?}: {} keys differ, first {:?}", group.weights, wrong.len(), wrong[0]);
    let used = theirs.iter().collect::<std::collections::HashSet<_>>().len();
    assert_eq!(used, group.weights.len() - usize::from(group.off.is_some()), "{name}: every endpoint has keys");
}

fn groups() -> [Group; 3] {
    [Group::start(&[1, 1, 1], None), Group::start(&[1, 2, 3, 1, 5], None), Group::start(&[10, 10, 20, 30, 10], Some(2))]
}

fn by_address(group: &Group, hash: Hash) -> impl Fn(u32) -> u16 {
    let upstream = group.ours();
    move |n| upstream.choose_by_address(hash, address(n), &[]).expect("one").endpoint().address().port()
}

fn by_user(group: &Group, hash: Hash) -> impl Fn(u32) -> u16 {
    let upstream = group.ours();
    move |n| upstream.choose_by_hash(hash, user(n).as_bytes(), &[]).expect("one").endpoint().address().port()
}

fn haproxy(lines: &str, hash: Hash, of_address: bool) {
    for group in groups() {
        let program = group.haproxy(lines);
        if of_address {
            let theirs = asked(program.address, "X-Forwarded-For", |n| address(n).to_string());
            compare(lines, &theirs, by_address(&group, hash), &group);
        } else {
            let theirs = asked(program.address, "X-User", user);
            compare(lines, &theirs, by_user(&group, hash), &group);
        }
    }
}

fn haproxy_list(lines: &str, hash: Hash) {
    for group in groups() {
        let theirs = asked(group.haproxy(lines).address, "X-User", list);
        let upstream = group.ours();
        let ours = |n| {
            let value = list(n);
            let key = hash.part_of_header(value.as_bytes());
            upstream.choose_by_hash(hash, key, &[]).expect("one").endpoint().address().port()
        };
        compare(lines, &theirs, ours, &group);
    }
}

fn nginx(line: &str, hash: Hash, of_address: bool) {
    for group in groups() {
        let program = group.nginx(line);
        if of_address {
            let theirs = asked(program.address, "X-Forwarded-For", |n| address(n).to_string());
            compare(line, &theirs, by_address(&group, hash), &group);
        } else {
            let theirs = asked(program.address, "X-User", user);
            compare(line, &theirs, by_user(&group, hash), &group);
        }
    }
}

#[test]
fn haproxys_balance_source() {
    haproxy("balance source", Hash::Source, true);
}

#[test]
fn haproxys_balance_source_on_the_ring() {
    haproxy("balance source\n    hash-type consistent", Hash::Ring, true);
}

#[test]
fn haproxys_balance_by_header() {
    haproxy("balance hdr(x-user)", Hash::Source, false);
}

#[test]
fn haproxys_balance_by_header_on_the_ring() {
    haproxy("balance hdr(x-user)\n    hash-type consistent sdbm avalanche", Hash::Ring, false);
}

#[test]
fn haproxys_avalanche() {
    haproxy("balance source\n    hash-type map-based sdbm avalanche", Hash::SourceAvalanche, true);
    haproxy("balance hdr(x-user)\n    hash-type map-based sdbm avalanche", Hash::SourceAvalanche, false);
}

#[test]
fn haproxys_headers_with_lists() {
    haproxy_list("balance hdr(x-user)", Hash::Source);
    haproxy_list("balance hdr(x-user)\n    hash-type consistent", Hash::Ring);
}

#[test]
fn a_list_goes_where_its_first_value_goes() {
    let servers = ["a", "b", "c"].map(|name| misbehave::Endpoint::start(Conduct::Answers(name)).expect("a port"));
    let endpoints = servers.each_ref().map(|server| format!("\"{}\"", server.address())).join(", ");
    let upstream = |name: &str, keys: &str| {
        format!(
            "[upstream.{name}]\nprobe = false\nendpoints = [{endpoints}]\n{keys}\n[[route]]\npath_prefix = \"/{name}\"\nupstream = \"{name}\"\n"
        )
    };
    let text = "[listener.web]\nbind = \"127.0.0.1:0\"\n".to_owned()
        + &upstream("balance", "balance = \"hash\"\nhash = \"ring\"\nhash_key = \"header:X-User\"")
        + &upstream("affinity", "affinity = [{ by = \"header\", name = \"X-User\", hash = \"source\" }]")
        + &upstream("whole", "affinity = [{ by = \"header\", name = \"X-User\" }]");
    let limpet = Launch::run(env!("CARGO_BIN_EXE_limpet"), text).start().expect("it starts");
    let answers = |path: &str, more: &str| -> Vec<String> {
        let mut client = RawClient::connect(limpet.address).expect("it accepts");
        let ask = |n| {
            let request = format!("GET /{path} HTTP/1.1\r\nHost: h\r\nX-User: user-{n}{more}\r\n\r\n");
            client.send(request.as_bytes()).expect("sent");
            client.response().expect("an answer").text()
        };
        (0..40).map(ask).collect()
    };
    for path in ["balance", "affinity"] {
        assert_eq!(answers(path, ""), answers(path, ", and-another"), "{path}");
    }
    assert_ne!(answers("whole", ""), answers("whole", ", and-another"), "no function of HAProxy's");
}

#[test]
fn nginxs_ip_hash() {
    nginx("ip_hash", Hash::IpHash, true);
}

#[test]
fn nginxs_hash_of_a_header() {
    nginx("hash $http_x_user", Hash::Modulo, false);
}

#[test]
fn nginxs_hash_of_the_address() {
    nginx("hash $remote_addr", Hash::Modulo, true);
}

#[test]
fn nginxs_consistent_hash() {
    nginx("hash $http_x_user consistent", Hash::Ketama, false);
}
