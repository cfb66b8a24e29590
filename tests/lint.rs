//! Mistakes: what `limpet check` says of a file, and what the log says of those that show at run time only.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use limpet_testkit::dnsmasq::Dnsmasq;
use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::misbehave::{Conduct, Endpoint};
use limpet_testkit::raw::RawClient;
use limpet_testkit::scripted::Scripted;

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

/// Returns the remarks of `limpet check`, whose file is called FILE.
fn remarks(text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("limpet.toml");
    fs::write(&path, text).expect("written");
    let output = Command::new(BINARY).env_clear().args(["check", "-c"]).arg(&path).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let name = path.display().to_string();
    text.lines().filter_map(|line| line.strip_prefix("remark: ")).map(|line| line.replace(&name, "FILE")).collect()
}

#[test]
fn check_says_each_mistake_once_with_its_line() {
    // What people make of tutorials: a factor without a hash, a short timeout, a limit, two endpoints without affinity.
    let found = remarks(
        "[listener.web]\nbind = \"127.0.0.1:0\"\n[[route]]\nupstream = \"app\"\n\
         rate_limit = { per = \"client\", rate = \"10/s\" }\n[upstream.app]\nbalance = \"round_robin\"\n\
         hash = \"ring\"\nhash_balance_factor = 150\naffinity = []\nresponse_timeout = \"3s\"\n\
         endpoints = [\n\"127.0.0.1:1\",\n{ address = \"127.0.0.1:2\", max_conn = 1024 },\n]\n\
         [upstream.old]\nendpoints = [\"127.0.0.1:3\"]\n",
    );
    let places: Vec<&str> = found.iter().filter_map(|line| line.split(": ").next()).collect();
    let lines = ["FILE:5", "FILE:8", "FILE:9", "FILE:10", "FILE:11", "FILE:14", "FILE:16"];
    assert_eq!(places, lines, "{found:#?}");
    for (remark, key) in found.iter().zip([
        "route[1].rate_limit",
        "upstream.app.hash",
        "upstream.app.hash_balance_factor",
        "upstream.app.affinity",
        "upstream.app.response_timeout",
        "upstream.app.endpoints[2].max_conn",
        "upstream.old",
    ]) {
        assert_eq!(remark.split(": ").nth(1), Some(key));
    }
}

#[test]
fn check_asks_whether_a_lone_address_is_virtual() {
    let mut dns = Dnsmasq::start(1).expect("it starts");
    dns.set_hosts(&[("chat.test", "127.0.1.1"), ("tasks.chat.test", "127.0.1.2"), ("tasks.chat.test", "127.0.1.3")])
        .expect("it reads them");
    for (name, expected) in [("chat.test", 1), ("tasks.chat.test", 0)] {
        let found = remarks(&format!(
            "[dns]\nservers = [\"{}\"]\n[listener.web]\nbind = \"127.0.0.1:0\"\n[upstream.app]\n\
             endpoints = [\"{name}:3000\"]\n",
            dns.address()
        ));
        let said = |line: &&String| line.starts_with("FILE:6: upstream.app.endpoints[1]: chat.test is one address.");
        assert_eq!((found.iter().filter(said).count(), found.len()), (expected, expected), "{found:?}");
    }
}

/// Starts a balancer with this affinity in front of one endpoint.
fn limpet(endpoint: SocketAddr, affinity: &str) -> Limpet {
    let text = format!(
        "workers = 1\n[listener.web]\nbind = \"127.0.0.1:0\"\n[upstream.app]\nprobe = false\naffinity = [{affinity}]\n\
         endpoints = [\"{endpoint}\"]\n"
    );
    Launch::run(BINARY, text).start().expect("it starts")
}

fn ask(client: &mut RawClient, lines: &str) {
    client.send(format!("GET / HTTP/1.1\r\nHost: chat.example.com\r\n{lines}\r\n").as_bytes()).expect("sent");
    assert_eq!(client.response().expect("an answer").status, 200);
}

/// Makes requests on one connection.
fn ask_often(limpet: &Limpet, count: usize, lines: &str) {
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    (0..count).for_each(|_| ask(&mut client, lines));
}

/// Stops a balancer and returns how often it has said something.
fn said(mut limpet: Limpet, text: &str) -> usize {
    assert!(limpet.process.terminate().expect("it ends").success());
    limpet.process.wait_for("its last word", |line| line.contains("stopping: ").then_some(())).expect("it is said");
    limpet.process.output().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn a_cookie_that_the_application_never_sets_is_said_once() {
    const SAID: &str = "Engine.IO 4";
    let endpoint = Endpoint::start(Conduct::Answers("hello")).expect("a port");
    for mode in ["prefix", "learn", "rewrite"] {
        let limpet = limpet(endpoint.address(), &format!("{{ by = \"cookie\", name = \"io\", mode = \"{mode}\" }}"));
        ask_often(&limpet, 99, "");
        assert!(!limpet.process.output().contains(SAID));
        ask_often(&limpet, 1, "");
        limpet.process.wait_for("the warning", |line| line.contains(SAID).then_some(())).expect("it is said");
        ask_often(&limpet, 150, "");
        let log = limpet.process.output();
        assert!(log.contains(&format!("mode = \"{mode}\"")) && log.contains("cookie=\"io\""), "{log}");
        assert_eq!(said(limpet, SAID), 1, "{log}");
    }
}

#[test]
fn a_cookie_that_is_there_needs_no_word() {
    let setting = Scripted::start().expect("a port");
    setting.answer("/", "HTTP/1.1 200 OK\r\nSet-Cookie: io=1\r\nContent-Length: 0\r\n\r\n");
    let silent = Endpoint::start(Conduct::Answers("hello")).expect("a port");
    for (endpoint, mode, lines) in [
        (setting.address(), "learn", ""),
        (setting.address(), "prefix", ""),
        (silent.address(), "learn", "Cookie: io=1\r\n"),
        (silent.address(), "insert", ""),
    ] {
        let limpet = limpet(endpoint, &format!("{{ by = \"cookie\", name = \"io\", mode = \"{mode}\" }}"));
        for _ in 0..120 {
            ask_often(&limpet, 1, lines);
        }
        assert_eq!(said(limpet, "Engine.IO 4"), 0, "{mode} {lines:?}");
    }
}

#[test]
fn pages_of_another_site_need_another_cookie() {
    const SAID: &str = "SameSite=None";
    let endpoint = Endpoint::start(Conduct::Answers("hello")).expect("a port");
    let plain = limpet(endpoint.address(), "{ by = \"cookie\", name = \"S\" }");
    ask_often(&plain, 3, "");
    ask_often(&plain, 3, "Origin: https://www.example.com\r\n");
    ask_often(&plain, 3, "Origin: https://shop.example.org\r\n");
    plain.process.wait_for("the warning", |line| line.contains(SAID).then_some(())).expect("it is said");
    ask_often(&plain, 3, "Origin: https://other.example.net\r\n");
    assert!(plain.process.output().contains("origin=\"shop.example.org\""), "{}", plain.process.output());
    assert_eq!(said(plain, SAID), 1);
    let right = limpet(endpoint.address(), "{ by = \"cookie\", name = \"S\", same_site = \"none\", secure = true }");
    ask_often(&right, 3, "Origin: https://shop.example.org\r\n");
    assert_eq!(said(right, SAID), 0);
}
