//! Redirects and fixed responses: framing, connections, and clients that try to write lines of their own.

use limpet_testkit::limpet::Launch;
use limpet_testkit::raw::{Answers, RawClient, Response};
use serde_json::Value;

use super::{BINARY, balancer};

const REDIRECT: &str = "[[route]]\nserve = \"redirect\"\nto = \"https://%{host}%{path}%{query}\"\nresponse_headers = { set = { X-From = \"%{client}\" } }\n";

fn location(response: &Response) -> &str {
    response.header("location").expect("a place")
}

#[test]
fn a_redirect_keeps_what_was_asked_for() {
    let limpet = balancer(REDIRECT);
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    let response = client.get("/a/b?c=d").expect("an answer");
    assert_eq!((response.status, location(&response)), (302, "https://limpet.test/a/b?c=d"));
    assert_eq!((response.header("content-length"), response.header("x-from")), (Some("0"), Some("127.0.0.1")));

    client.send(b"HEAD /h HTTP/1.1\r\nHost: a:1\r\n\r\n").expect("sent");
    let response = client.response_to(Answers::Head).expect("an answer");
    assert_eq!((response.status, location(&response)), (302, "https://a/h"));

    // Its body is read, so that the next request is seen as one.
    client.send(b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel").expect("sent");
    client.send(b"loGET /next HTTP/1.1\r\nHost: b\r\n\r\n").expect("sent");
    assert_eq!(location(&client.response().expect("an answer")), "https://a/p");
    assert_eq!(location(&client.response().expect("an answer")), "https://b/next");
    client
        .send(b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        .expect("sent");
    assert_eq!(location(&client.response().expect("an answer")), "https://a/c");

    client.send(b"GET /last HTTP/1.0\r\nHost: a\r\n\r\n").expect("sent");
    let response = client.response().expect("an answer");
    assert_eq!((location(&response), response.header("connection")), ("https://a/last", Some("close")));
    assert_eq!(client.read_to_end().expect("the end"), b"");
}

#[test]
fn a_body_that_is_not_read_ends_the_connection() {
    let limpet = balancer(REDIRECT);
    for head in ["Content-Length: 1000000\r\nExpect: 100-continue", "Content-Length: 10\r\nExpect: 100-continue"] {
        let mut client = RawClient::connect(limpet.address).expect("it accepts");
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n").as_bytes()).expect("sent");
        let response = client.response().expect("an answer");
        assert_eq!((response.status, response.header("connection")), (302, Some("close")), "{head}");
        client.finish().expect("ended");
        assert_eq!(client.read_to_end().expect("the end"), b"");
    }
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n").expect("sent");
    // More than is read is on its way when the answer comes. It may be lost, and so may the answer's reader's patience.
    let _ = client.send(&vec![b'x'; 70 * 1024]);
    let response = client.response().expect("an answer");
    assert_eq!((response.status, response.header("connection")), (302, Some("close")));
}

#[test]
fn no_request_writes_a_line_of_the_answer() {
    let redirect_to = |to: &str| format!("[[route]]\nserve = \"redirect\"\nto = \"{to}\"\n");
    for (to, target, host, expected) in [
        (
            "https://%{host}%{path}%{query}",
            "/a%0d%0aX-Evil:%201?b%0D%0A",
            "a",
            Some("https://a/a%0d%0aX-Evil:%201?b%0D%0A"),
        ),
        ("https://%{host}%{path}%{query}", "/a\"<b>\\?{c}|", "a", Some("https://a/a%22%3Cb%3E%5C?%7Bc%7D%7C")),
        ("%{path}%{query}", "//evil.test/x", "a", Some("/evil.test/x")),
        ("%{path}", "/\\evil.test", "a", Some("/%5Cevil.test")),
        ("/%{path}", "/evil.test", "a", Some("/evil.test")),
        ("https://%{host}%{path}", "/a\rX-Evil:1", "a", None),
        ("https://%{host}%{path}", "/", "a\rX-Evil: 1", None),
        ("https://%{host}%{path}", "/", "evil.test/..@a", None),
        ("https://%{host}%{path}", "/", "", None),
    ] {
        let limpet = balancer(&redirect_to(to));
        let mut client = RawClient::connect(limpet.address).expect("it accepts");
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).expect("sent");
        let response = client.response().expect("an answer");
        assert_eq!(response.header("x-evil"), None);
        match expected {
            Some(expected) => assert_eq!((response.status, location(&response)), (302, expected), "{to} {target}"),
            None => assert_eq!(response.status, 400, "{to} {target} {host}"),
        }
    }
}

#[test]
fn a_fixed_response_is_logged_as_the_routes() {
    let configuration = "access_log = \"json\"\n[listener.web]\nbind = \"127.0.0.1:0\"\n\
        [[route]]\nserve = \"respond\"\nstatus = 503\nbody = \"<b>later</b>\"\ncontent_type = \"text/html\"\n";
    let limpet = Launch::run(BINARY, configuration).start().expect("it starts without any upstream");
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    let response = client.get("/x?y").expect("an answer");
    assert_eq!((response.status, response.text()), (503, "<b>later</b>".to_owned()));
    assert_eq!(response.header("content-type"), Some("text/html"));
    let pick = |line: &str| serde_json::from_str::<Value>(line).ok().filter(|line| line["event"] == "exchange");
    let line = limpet.process.wait_for("its line", pick).expect("the line comes");
    assert_eq!((&line["status"], &line["target"], &line["reason"]), (&503.into(), &"/x?y".into(), &"route".into()));
    assert_eq!((&line["upstream"], &line["endpoint"], &line["sent_bytes"]), (&"".into(), &"".into(), &12.into()));
}

#[test]
fn an_empty_response_has_no_length_to_be_wrong_about() {
    let limpet = balancer("[[route]]\nserve = \"respond\"\nstatus = 204\n");
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    for _ in 0..2 {
        let response = client.get("/").expect("an answer on the same connection");
        assert_eq!((response.status, response.header("content-length")), (204, None));
    }
}
