//! What routes change in the heads that pass.

use limpet_testkit::misbehave::{Conduct, Endpoint, Event};
use limpet_testkit::raw::{RawClient, websocket};

use super::{answering, balancer, upstream};

const EDITS: &str = r#"
    [[route]]
    upstream = "app"
    request_headers = { set = { X-Forwarded-Proto = "https", Host = "app.internal", X-Client = "%{client}" }, add = { Via = ["one", "two"] }, remove = ["x-debug", "X-Real-IP"] }
    response_headers = { set = { Content-Type = "text/html", X-Served-By = "%{endpoint} for %{client}" }, add = { X-Literal = "%%{client}" } }
"#;

#[test]
fn requests_and_responses_are_changed() {
    let app = answering("app");
    let limpet = balancer(&format!("{EDITS}{}", upstream("app", &app)));
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    let lines = "Host: shop.test\r\nX-Debug: 1\r\nX-DEBUG: 2\r\nx-client: forged\r\nVia: zero\r\nX-Kept: Yes\r\n";
    client.send(format!("GET /a HTTP/1.1\r\n{lines}\r\n").as_bytes()).expect("sent");
    let response = client.response().expect("an answer");
    assert_eq!(response.text(), "app");
    let values = |name: &str| {
        let lines = response.headers.iter().filter(|(field, _)| field == name);
        lines.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(values("content-type"), ["text/html"]);
    assert_eq!(values("x-served-by"), [format!("{} for 127.0.0.1", app.address())]);
    assert_eq!(values("x-literal"), ["%{client}"]);

    let head = &app.requests()[0].head;
    let sent = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect::<Vec<_>>()
    };
    for (name, expected) in [
        ("host", &["app.internal"][..]),
        ("x-forwarded-proto", &["https"]),
        ("x-forwarded-host", &["shop.test"]),
        ("x-client", &["127.0.0.1"]),
        ("x-debug", &[]),
        ("x-real-ip", &[]),
        ("via", &["zero", "one", "two"]),
        ("x-kept", &["Yes"]),
    ] {
        assert_eq!(sent(name), expected, "{name} in {head}");
    }
}

#[test]
fn bodies_stay_framed_whatever_is_changed() {
    let app = answering("app");
    let limpet = balancer(&format!("{EDITS}{}", upstream("app", &app)));
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
        client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{body}").as_bytes()).expect("sent");
        assert_eq!(client.response().expect("an answer").text(), "app");
    }
    assert!(app.requests().iter().all(|request| request.body == b"hello"));
}

#[test]
fn an_upgrade_is_changed_and_stays_one() {
    let app = Endpoint::start(Conduct::SwitchesUnasked).expect("a port");
    let limpet = balancer(&format!("{EDITS}{}", upstream("app", &app)));
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    client.send(websocket::handshake("/chat").as_bytes()).expect("sent");
    let response = client.response().expect("an answer");
    assert_eq!((response.status, response.header("upgrade")), (101, Some("websocket")));
    assert_eq!(response.header("connection"), Some("Upgrade"));
    let served_by = format!("{} for 127.0.0.1", app.address());
    assert_eq!(response.header("x-served-by"), Some(served_by.as_str()));
    let head = app.wait_for("upgrade", |event| match event {
        Event::Request(request) => Some(request.head.clone()),
        _ => None,
    });
    assert!(head.contains("\r\nUpgrade: websocket\r\n") && head.contains("\r\nSec-WebSocket-Key: "), "{head}");
    assert!(
        head.contains("\r\nX-Forwarded-Proto: https\r\n") && !head.contains("X-Forwarded-Proto: http\r\n"),
        "{head}"
    );
}

#[test]
fn a_tagged_handshake_is_changed_too() {
    let app = Endpoint::start(Conduct::Handshakes).expect("a port");
    let limpet = balancer(&format!("{EDITS}{}", upstream("app", &app)));
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    let response = client.get("/socket.io/?EIO=4&transport=polling").expect("an answer");
    let body = response.text();
    let sid = body.split("\"sid\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a sid");
    assert_eq!(sid.len(), "session-000000000000".len() + 20, "{body}");
    assert_eq!(response.header("content-type"), Some("text/html"));
    assert_eq!(response.header("content-length"), Some(body.len().to_string().as_str()));
    let poll = client.get(&format!("/socket.io/?EIO=4&transport=polling&sid={sid}")).expect("an answer");
    assert_eq!((poll.status, poll.text()), (200, "ok".to_owned()));
}
