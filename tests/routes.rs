//! Which upstream a request goes to, what its endpoint is told about the client, and what routes answer by themselves.

#[path = "routes/actions.rs"]
mod actions;
#[path = "routes/bodies.rs"]
mod bodies;
#[path = "routes/conditions.rs"]
mod conditions;
#[path = "routes/headers.rs"]
mod headers;

use limpet_testkit::http;
use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::misbehave::{Conduct, Endpoint};
use limpet_testkit::raw::RawClient;

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

fn answering(body: &'static str) -> Endpoint {
    Endpoint::start(Conduct::Answers(body)).expect("a port")
}

/// Starts a balancer with one listener and these routes and upstreams.
fn balancer(rest: &str) -> Limpet {
    let configuration = format!("workers = 1\n[listener.web]\nbind = \"127.0.0.1:0\"\n{rest}\n");
    Launch::run(BINARY, configuration).start().expect("it starts")
}

/// Writes an upstream that leads to this endpoint.
fn upstream(name: &str, endpoint: &Endpoint) -> String {
    format!("[upstream.{name}]\nprobe = false\nendpoints = [\"{}\"]\n", endpoint.address())
}

#[test]
fn path_and_host_choose_the_upstream() {
    let (chat, admin, site) = (answering("chat"), answering("admin"), answering("site"));
    let configuration = format!(
        r#"
        [listener.web]
        bind = "127.0.0.1:0"
        [[route]]
        path_prefix = "/socket.io"
        upstream = "chat"
        [[route]]
        host = "*.admin.test"
        upstream = "admin"
        [[route]]
        host = "site.test"
        upstream = "site"
        [upstream.chat]
        endpoints = ["{}"]
        [upstream.admin]
        endpoints = ["{}"]
        [upstream.site]
        endpoints = ["{}"]
        "#,
        chat.address(),
        admin.address(),
        site.address()
    );
    let limpet = Launch::run(BINARY, configuration).start().expect("it starts");
    let get = |target: &str, host: &str| {
        let mut client = RawClient::connect(limpet.address).expect("it accepts");
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).expect("sent");
        let response = client.response().expect("an answer");
        (response.status, response.text())
    };
    assert_eq!(get("/socket.io/", "site.test"), (200, "chat".into()));
    assert_eq!(get("/a/..//%73ocket.io/", "site.test"), (200, "chat".into()), "no spelling escapes a route");
    assert_eq!(get("/", "eu.admin.test:8000"), (200, "admin".into()));
    assert_eq!(get("/", "SITE.test"), (200, "site".into()));
    assert_eq!(get("/", "other.test").0, 404);
}

#[test]
fn only_trusted_peers_speak_for_others() {
    for (trusted, told) in [("", "127.0.0.1"), ("trusted = [\"127.0.0.0/8\"]", "203.0.113.9, 127.0.0.1")] {
        let app = answering("app");
        let configuration = format!(
            "[listener.web]\nbind = \"127.0.0.1:0\"\n{trusted}\n[upstream.app]\nendpoints = [\"{}\"]\n",
            app.address()
        );
        let limpet = Launch::run(BINARY, configuration).start().expect("it starts");
        let answer = http::get(limpet.address, "/", &["X-Forwarded-For: 203.0.113.9"]).expect("an answer");
        assert_eq!(answer.status, 200);
        let request = app.requests().pop().expect("a request");
        assert!(request.head.contains(&format!("X-Forwarded-For: {told}\r\n")), "{}", request.head);
        assert_eq!(request.head.matches("X-Forwarded-For").count(), 1, "{}", request.head);
    }
}
