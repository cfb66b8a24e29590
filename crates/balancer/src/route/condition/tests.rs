use limpet_proto::http1::request_head::Slots;

use super::*;
use crate::config::{Draft, RouteConfig};

/// Reads a route with these conditions.
fn route(conditions: &str) -> RouteConfig {
    let text = format!(
        "[listener.a]\nbind = \":1\"\n[upstream.app]\nendpoints = [\"a:1\"]\n[[route]]\nupstream = \"app\"\n{conditions}\n"
    );
    let nothing = |_: &str| None;
    let config = Draft::from_file("test", &text, &nothing).check(&nothing);
    config.unwrap_or_else(|errors| panic!("{conditions}: {errors}")).routes.remove(0)
}

fn fulfils(conditions: &str, target: &str, lines: &str) -> bool {
    let lines = lines.split('|').filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect::<String>();
    let (method, target) = target.split_once(' ').unwrap_or(("GET", target));
    let head = format!("{method} {target} HTTP/1.1\r\n{lines}\r\n");
    let mut slots = Slots::new();
    let head = RequestHead::parse(head.as_bytes(), &mut slots).unwrap();
    Asked::new(&head, "10.1.2.3".parse().unwrap()).fulfils(&route(conditions).when)
}

/// Checks conditions against a target and lines that they hold for, and one that they do not.
#[track_caller]
fn holds(conditions: &str, yes: &[(&str, &str)], no: &[(&str, &str)]) {
    for (target, lines) in yes {
        assert!(fulfils(conditions, target, lines), "{conditions} should hold for {target} {lines}");
    }
    for (target, lines) in no {
        assert!(!fulfils(conditions, target, lines), "{conditions} should not hold for {target} {lines}");
    }
}

const H: &str = "Host: h";

#[test]
fn hosts() {
    holds(
        "host = \"Example.com\"",
        &[("/", "Host: example.COM:8000"), ("/", "Host: example.com.")],
        &[("/", "Host: a.example.com"), ("/", "Host: example.co")],
    );
    holds(
        "host = \"*.example.com\"",
        &[("/", "Host: a.b.example.com")],
        &[("/", "Host: example.com"), ("/", "Host: .example.com.evil")],
    );
    holds(
        "host = \"ws*\"",
        &[("/", "Host: WS.test"), ("/", "Host: ws")],
        &[("/", "Host: w"), ("/", "Host: a.ws"), ("/", "Host:")],
    );
    holds("host = \"[::1]\"", &[("/", "Host: [::1]:80")], &[("/", "Host: [::2]:80")]);
    holds("host = [\"a\", \"b\"]", &[("/", "Host: a"), ("/", "Host: b")], &[("/", "Host: c")]);
    holds("host = \"a\"", &[("http://a/", "Host: b")], &[("http://b/", "Host: a")]);
}

#[test]
fn paths() {
    holds(
        "path = \"/a/b\"",
        &[("/a/b", H), ("/a//%62?c", H), ("/a/c/../b", H)],
        &[("/a/b/", H), ("/a", H), ("/A/b", H)],
    );
    holds("path_prefix = \"/a\"", &[("/a", H), ("/ab/c", H), ("/x/../a", H)], &[("/b/a", H), ("/", H)]);
    holds(
        "path_prefix = \"/haproxy?stats\"",
        &[("/haproxy?stats", H), ("/haproxy?stats;csv", H)],
        &[("/haproxy", H), ("/haproxy?x&stats", H), ("/haproxy/x?stats", H)],
    );
    holds("path = [\"/a\", \"/b\"]", &[("/a", H), ("/b", H)], &[("/c", H)]);
}

#[test]
fn headers() {
    holds("header = \"Upgrade\"", &[("/", "Host: h|uPGRADE: x"), ("/", "Host: h|Upgrade:")], &[("/", H)]);
    let upgrade = "header = \"Upgrade: websocket\"";
    let yes = [
        ("/", "Host: h|Upgrade: WebSocket"),
        ("/", "Host: h|upgrade: h2c, websocket"),
        ("/", "Host: h|Upgrade: h2c|Upgrade: websocket"),
    ];
    holds(
        upgrade,
        &yes,
        &[
            ("/", H),
            ("/", "Host: h|Upgrade: websockets"),
            ("/", "Host: h|Upgrade: h2c"),
            ("/", "Host: h|X-Upgrade: websocket"),
        ],
    );
    holds(
        "header = \"Host: ws*\"",
        &[("/", "Host: WS1.test:80"), ("http://ws/", "Host: b")],
        &[("/", "Host: a"), ("http://b/", "Host: ws")],
    );
    holds("header = \"X: a, b\"", &[("/", "Host: h|X: a, b")], &[("/", "Host: h|X: a"), ("/", "Host: h|X: a,b")]);
    holds("header = \"X: be*\"", &[("/", "Host: h|X: a, Begin")], &[("/", "Host: h|X: abe")]);
}

#[test]
fn methods_and_parameters() {
    holds("method = \"POST\"", &[("POST /", H)], &[("/", H), ("post /", H)]);
    holds("method = [\"GET\", \"DELETE\"]", &[("/", H), ("DELETE /", H)], &[("POST /", H)]);
    holds(
        "query = \"transport\"",
        &[("/?transport", H), ("/?a=b&transport=x", H), ("/?tr%61nsport=", H)],
        &[("/", H), ("/?", H), ("/?Transport", H), ("/?x=transport", H)],
    );
    let yes =
        [("/?transport=websocket", H), ("/?transport=polling&transport=websocket", H), ("/?transport=web%73ocket", H)];
    holds(
        "query = \"transport=websocket\"",
        &yes,
        &[("/?transport", H), ("/?transport=websockets", H), ("/?transport=web%7", H)],
    );
    holds("query = \"q=a b%\"", &[("/?q=a+b%25", H), ("/?q=a%20b%", H)], &[("/?q=a%2Bb%", H)]);
    holds("query = \"q=\"", &[("/?q", H), ("/?q=", H)], &[("/?q=x", H), ("/?&", H)]);
}

#[test]
fn sources() {
    holds("source = \"10.1.0.0/16\"", &[("/", H)], &[]);
    holds("source = [\"192.0.2.0/24\", \"10.1.2.3\"]", &[("/", H)], &[]);
    holds("source = [\"::/0\", \"10.2.0.0/16\"]", &[], &[("/", H)]);
}

#[test]
fn lists_and_opposites() {
    let both = "path = \"/a\"\nmethod = \"POST\"";
    holds(both, &[("POST /a", H)], &[("/a", H), ("POST /b", H)]);
    holds(
        "all = [{ header = \"A\" }, { header = \"B\" }]",
        &[("/", "Host: h|A: 1|B: 2")],
        &[("/", "Host: h|A: 1"), ("/", "Host: h|B: 1")],
    );
    holds(
        "any = [{ path = \"/a\", method = \"POST\" }, { path = \"/b\" }]",
        &[("POST /a", H), ("/b", H)],
        &[("/a", H), ("/c", H)],
    );
    holds("not = { path_prefix = \"/a\" }", &[("/b", H)], &[("/a/b", H)]);
    holds(
        "path_prefix = \"/\"\nnot = { any = [{ path = \"/a\" }, { not = { header = \"B\" } }] }",
        &[("/b", "Host: h|B: 1")],
        &[("/a", "Host: h|B: 1"), ("/b", H)],
    );
}

#[test]
fn everything() {
    holds("", &[("/", H), ("OPTIONS *", H)], &[]);
}
