//! Request bodies that are larger than their route allows.

use limpet_testkit::misbehave::{Conduct, Endpoint, Event};
use limpet_testkit::raw::RawClient;

use super::{answering, balancer, upstream};

const LIMITS: &str = r#"
    [[route]]
    path_prefix = "/small"
    upstream = "app"
    max_body = 4
    [[route]]
    path_prefix = "/any"
    upstream = "app"
    max_body = 0
    [[route]]
    path_prefix = "/here"
    serve = "respond"
    body = "here"
    max_body = 4
    [[route]]
    upstream = "app"
"#;

#[test]
fn a_body_has_the_size_that_its_route_allows() {
    let app = answering("app");
    let limpet = balancer(&format!("{LIMITS}{}max_body = 10\n", upstream("app", &app)));
    for (path, bytes, status) in [
        ("/small", 4, 200),
        ("/small", 5, 413),
        ("/any", 1000, 200),
        ("/", 10, 200),
        ("/", 11, 413),
        ("/here", 4, 200),
        ("/here", 5, 413),
    ] {
        let body = "x".repeat(bytes);
        let chunks =
            body.as_bytes().chunks(3).map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), "x".repeat(chunk.len())));
        let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunks.collect::<String>());
        for framed in [format!("Content-Length: {bytes}\r\n\r\n{body}"), chunked] {
            let seen = app.requests().len();
            let mut client = RawClient::connect(limpet.address).expect("it accepts");
            client.send(format!("POST {path} HTTP/1.1\r\nHost: h\r\n{framed}").as_bytes()).expect("sent");
            let response = client.response().expect("an answer");
            assert_eq!(response.status, status, "{path} {framed}");
            if status == 413 {
                assert_eq!(response.text(), "the request body is too large\n");
                assert_eq!(response.header("connection"), Some("close"));
                client.finish().expect("ended");
                assert_eq!(client.read_to_end().expect("the end"), b"");
                assert_eq!(app.requests().len(), seen, "no endpoint saw a request");
            } else {
                assert_eq!(client.get(path).expect("the connection goes on").status, 200);
            }
        }
    }
}

#[test]
fn whoever_waits_for_a_100_is_refused_at_once() {
    let app = answering("app");
    let limpet = balancer(&format!("{LIMITS}{}", upstream("app", &app)));
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    let head = "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    client.send(head.as_bytes()).expect("sent");
    let response = client.response().expect("an answer");
    assert_eq!((response.status, response.header("connection")), (413, Some("close")));
    assert!(app.events().is_empty(), "{:?}", app.events());
}

#[test]
fn a_body_that_grows_too_large_never_looks_complete() {
    let app = Endpoint::start(Conduct::Answers("app")).expect("a port");
    let limpet = balancer(&format!("{LIMITS}{}", upstream("app", &app)));
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    client.send(b"POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n").expect("sent");
    let connected = |event: &Event| if let Event::Connected(number) = event { Some(*number) } else { None };
    let connection = app.wait_for("connection", connected);
    client.send(b"1\r\ne\r\n0\r\n\r\n").expect("sent");
    let response = client.response().expect("an answer");
    assert_eq!((response.status, response.header("connection")), (413, Some("close")));
    app.wait_for("end", |event| (*event == Event::Ended(connection)).then_some(()));
    assert!(app.requests().is_empty(), "the endpoint must not take the part for the whole");
}

#[test]
fn a_body_that_is_held_for_a_look_up_is_bounded_too() {
    let app = Endpoint::start(Conduct::Handshakes).expect("a port");
    let limpet = balancer(&format!("{LIMITS}{}", upstream("app", &app)));
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    let target = "/small?EIO=3&transport=polling&sid=unknown-to-everybody";
    let head = format!("POST {target} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("{head}4\r\nabcd\r\n").as_bytes()).expect("sent");
    client.send(b"1\r\ne\r\n0\r\n\r\n").expect("sent");
    let response = client.response().expect("an answer");
    assert_eq!((response.status, response.header("connection")), (413, Some("close")));
    assert!(app.requests().is_empty());
}
