//! Names that stand for endpoints, looked up with a real DNS server whose records change.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Instant;

use limpet_balancer::balancer;
use limpet_balancer::config::Draft;
use limpet_testkit::dnsmasq::Dnsmasq;
use limpet_testkit::http;
use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::misbehave::{Conduct, Endpoint};
use limpet_testkit::process::PATIENCE;
use limpet_testkit::wait;

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

/// Endpoints on one port of different loopback addresses; each answers with its letter.
fn endpoints<const N: usize>(letters: [&'static str; N]) -> (u16, Vec<Endpoint>) {
    for _ in 0..100 {
        let first = Endpoint::start_on(address(1, 0), Conduct::Answers(letters[0])).expect("a port");
        let port = first.address().port();
        let others = (2..).zip(&letters[1..]);
        // Somebody else may have that port there.
        let others: Result<Vec<_>, _> =
            others.map(|(n, letter)| Endpoint::start_on(address(n, port), Conduct::Answers(letter))).collect();
        if let Ok(others) = others {
            return (port, std::iter::once(first).chain(others).collect());
        }
    }
    panic!("no port is free on all of them");
}

fn address(n: u8, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 1, n), port))
}

fn configuration(dns: &Dnsmasq, endpoint: &str, more: &str) -> String {
    format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\n\
         [dns]\nservers = [\"{}\"]\n{more}\n\
         [upstream.app]\nbalance = \"round_robin\"\nprobe = false\nendpoints = [\"{endpoint}\"]\n",
        dns.address()
    )
}

fn start(dns: &Dnsmasq, endpoint: &str, more: &str) -> Limpet {
    Launch::run(BINARY, configuration(dns, endpoint, more)).start().expect("it starts")
}

/// What answers to so many requests, in alphabetical order, each once; statuses where nothing does.
fn answers(limpet: &Limpet, requests: usize) -> Vec<String> {
    let mut answers: Vec<String> = (0..requests)
        .map(|_| http::get(limpet.address, "/", &[]).expect("an answer"))
        .map(|answer| if answer.status == 200 { answer.body.trim().to_owned() } else { answer.status.to_string() })
        .collect();
    answers.sort();
    answers.dedup();
    answers
}

/// Asks until exactly these answer.
fn wait_for(limpet: &Limpet, expected: &[&str]) {
    let end = Instant::now() + PATIENCE;
    loop {
        let answers = answers(limpet, 6);
        if answers == expected {
            return;
        }
        assert!(Instant::now() < end, "{answers:?}, not {expected:?}\n{}", limpet.process.tail());
    }
}

fn says(limpet: &Limpet, after: usize, text: &str) {
    let has = |line: &str| line.contains(text).then_some(());
    limpet.process.wait_for_after(after, text, has).expect("it says so");
}

#[test]
fn every_address_is_an_endpoint_and_changes_follow_the_ttl() {
    let (port, _endpoints) = endpoints(["a", "b", "c"]);
    let mut dns = Dnsmasq::start(1).expect("dnsmasq starts");
    dns.set_hosts(&[("tasks.app.test", "127.0.1.1"), ("tasks.app.test", "127.0.1.2")]).expect("it reads them");
    let limpet = start(&dns, &format!("tasks.app.test:{port}"), "");
    assert_eq!(answers(&limpet, 6), ["a", "b"]);
    let seen = limpet.process.line_count();
    dns.set_hosts(&[("tasks.app.test", "127.0.1.2"), ("tasks.app.test", "127.0.1.3")]).expect("it reads them");
    wait_for(&limpet, &["b", "c"]);
    says(&limpet, seen, "endpoint added");
    says(&limpet, seen, "endpoint gone");
    let lines: Vec<String> = limpet.process.output().lines().skip(seen).map(str::to_owned).collect();
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!((count("endpoint added"), count("endpoint gone")), (1, 1), "the other was not touched: {lines:?}");
}

#[test]
fn a_name_is_not_asked_for_before_its_ttl_is_over() {
    let mut long = Dnsmasq::start(3600).expect("dnsmasq starts");
    long.set_hosts(&[("app.test", "127.0.1.1")]).expect("it reads them");
    let _long_limpet = start(&long, "app.test:1", "max_ttl = \"1h\"");
    let mut short = Dnsmasq::start(1).expect("dnsmasq starts");
    short.set_hosts(&[("app.test", "127.0.1.1")]).expect("it reads them");
    let _short_limpet = start(&short, "app.test:1", "");
    short.wait_for_queries("A", "app.test", 3).expect("it asks again");
    assert_eq!((long.queries("A", "app.test"), long.queries("AAAA", "app.test")), (1, 1));
}

#[test]
fn a_long_ttl_is_bounded() {
    let mut dns = Dnsmasq::start(3600).expect("dnsmasq starts");
    dns.set_hosts(&[("app.test", "127.0.1.1")]).expect("it reads them");
    let _limpet = start(&dns, "app.test:1", "max_ttl = \"1s\"");
    dns.wait_for_queries("A", "app.test", 3).expect("it asks again");
}

#[test]
fn the_last_good_answer_is_kept_when_dns_fails() {
    let (port, _endpoints) = endpoints(["a", "b", "c"]);
    let mut dns = Dnsmasq::start(1).expect("dnsmasq starts");
    dns.set_hosts(&[("app.test", "127.0.1.1"), ("app.test", "127.0.1.2")]).expect("it reads them");
    let limpet = start(&dns, &format!("app.test:{port}"), "timeout = \"200ms\"\nmax_ttl = \"1s\"\nhold = \"1s\"");
    // Before a busy DNS server has answered in time there are none.
    wait_for(&limpet, &["a", "b"]);
    let seen = limpet.process.line_count();
    dns.stop().expect("it ends");
    says(&limpet, seen, "its last addresses stay in use");
    assert_eq!(answers(&limpet, 6), ["a", "b"]);
    dns.set_hosts(&[("app.test", "127.0.1.3")]).expect("they are written");
    dns.start_again().expect("it starts");
    wait_for(&limpet, &["c"]);
    says(&limpet, seen, "resolves again");

    // That it does not exist is an answer too, which is believed after a while.
    let seen = limpet.process.line_count();
    dns.set_hosts(&[]).expect("it reads them");
    says(&limpet, seen, "its last addresses stay in use");
    says(&limpet, seen, "has no address any more");
    wait_for(&limpet, &["503"]);
    dns.set_hosts(&[("app.test", "127.0.1.1")]).expect("it reads them");
    wait_for(&limpet, &["a"]);
}

#[test]
fn a_refusal_is_a_failure() {
    let dns = Dnsmasq::start(1).expect("dnsmasq starts");
    let limpet = start(&dns, "app.elsewhere.example:80", "");
    says(&limpet, 0, "app.elsewhere.example:80 does not resolve");
    assert_eq!(answers(&limpet, 1), ["503"]);
}

#[test]
fn the_balancer_may_be_there_before_the_dns_server() {
    let (port, _endpoints) = endpoints(["a"]);
    let mut dns = Dnsmasq::stopped(1).expect("an address");
    let limpet = start(&dns, &format!("app.test:{port}"), "timeout = \"200ms\"");
    assert!(limpet.process.output().contains(&format!("app.test:{port} does not resolve")));
    assert_eq!(answers(&limpet, 1), ["503"]);
    dns.set_hosts(&[("app.test", "127.0.1.1")]).expect("they are written");
    dns.start_again().expect("it starts");
    wait_for(&limpet, &["a"]);
}

#[test]
fn srv_records_bring_ports_and_weights() {
    let (one, two) = (Endpoint::start(Conduct::Answers("a")).expect("a port"), endpoints(["b"]));
    let mut dns = Dnsmasq::stopped(1).expect("an address");
    let hosts = [("one.test", "127.0.0.1"), ("two.test", "127.0.1.1")];
    dns.set_hosts(&hosts).expect("they are written");
    let (one, two) = (one.address().port(), two.0);
    let service = "_http._tcp.app.test";
    let records = [format!("{service},one.test,{one},10,300"), format!("{service},two.test,{two},20,600")];
    dns.set_services(&[&records[0], &records[1]]);
    dns.start_again().expect("it starts");

    let state = tempfile::tempdir().expect("a folder");
    let text = format!(
        "state_directory = {:?}\nworkers = 1\n{}",
        state.path(),
        configuration(&dns, &format!("srv:{service}"), "")
    );
    let config = Draft::from_file("limpet.toml", &text, &|_| None).check(&|_| None).expect("it is right");
    let running = balancer::start(config).expect("it starts");
    let show = || -> Vec<_> {
        let endpoints = running.upstreams()[0].endpoints();
        endpoints.iter().map(|one| (one.address().to_string(), one.weight(), one.is_backup())).collect()
    };
    let (one_is, two_is) = (format!("127.0.0.1:{one}"), format!("127.0.1.1:{two}"));
    assert_eq!(show(), [(one_is.clone(), 128, false), (two_is.clone(), 256, true)]);

    let before = running.upstreams()[0].endpoints();
    dns.set_services(&[&format!("{service},one.test,{one},10,3"), &format!("{service},two.test,{two},10,1")]);
    dns.start_again().expect("it starts");
    let expected = [(one_is, 3, false), (two_is, 1, false)];
    wait::until("the new weights", || show() == expected);
    let after = running.upstreams()[0].endpoints();
    let serials = |endpoints: &[std::sync::Arc<limpet_balancer::upstream::endpoint::Endpoint>]| {
        endpoints.iter().map(|endpoint| endpoint.serial()).collect::<Vec<_>>()
    };
    assert_eq!(serials(&before), serials(&after), "the same endpoints, with other weights");
    running.stop().expect("it stops");
}

#[test]
fn check_looks_names_up_as_the_balancer_does() {
    let mut dns = Dnsmasq::stopped(1).expect("an address");
    dns.set_hosts(&[("one.test", "127.0.0.1"), ("one.test", "127.0.0.2")]).expect("they are written");
    dns.set_services(&["_http._tcp.app.test,one.test,81,10,3"]);
    dns.start_again().expect("it starts");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("limpet.toml");
    for (endpoint, code, expected) in [
        ("one.test:80", 0, "-> 127.0.0.1:80, 127.0.0.2:80\n"),
        ("srv:_http._tcp.app.test", 0, "-> 127.0.0.1:81 (weight 3), 127.0.0.2:81 (weight 3)\n"),
        ("two.test:80", 1, "-> FAILED: DNS knows no address of it\n"),
    ] {
        std::fs::write(&path, configuration(&dns, endpoint, "")).expect("a file");
        let output = Command::new(BINARY).args(["check", "-c"]).arg(&path).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(&format!("endpoint {endpoint} {expected}")), "{text}");
    }
}

#[test]
fn an_answer_may_be_larger_than_a_packet() {
    let addresses: Vec<String> = (0..200).map(|n| format!("127.0.2.{n}")).collect();
    let records: Vec<(&str, &str)> = addresses.iter().map(|address| ("app.test", address.as_str())).collect();
    let mut dns = Dnsmasq::start(1).expect("dnsmasq starts");
    dns.set_hosts(&records).expect("it reads them");
    let limpet = start(&dns, "app.test:80", "");
    let output = limpet.process.output();
    assert!(output.contains("upstream app: 200 endpoints"), "{output}");
}

#[test]
fn localhost_finds_a_server_on_either_address() {
    for ip in ["127.0.0.1", "::1"] {
        let any = SocketAddr::new(ip.parse().expect("an address"), 0);
        let endpoint = Endpoint::start_on(any, Conduct::Answers("a")).expect("a port");
        let port = endpoint.address().port();
        let configuration =
            format!("[listener.web]\nbind = \"127.0.0.1:0\"\n[upstream.app]\nendpoints = [\"localhost:{port}\"]\n");
        let limpet = Launch::run(BINARY, configuration).start().expect("it starts");
        assert!(limpet.process.output().contains("upstream app: 1 endpoints"), "{}", limpet.process.output());
        assert_eq!(answers(&limpet, 2), ["a"], "{ip}");
    }
}
