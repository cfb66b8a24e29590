//! Sessions whose endpoint is gone, and tags that nobody gave out.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use limpet_testkit::limpet::{KeyFile, Launch, Limpet};
use limpet_testkit::misbehave::{Conduct, Endpoint};
use limpet_testkit::raw::{RawClient, Response};

use super::{balancer, client_of, endpoint, get};

const UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

/// How many characters of a sid are the endpoint's.
const PLAIN: usize = 20;

/// Opens a session and returns its sid as the client sees it.
fn open(limpet: &Limpet) -> String {
    let response = get(limpet, "/socket.io/?EIO=4&transport=polling").expect("a handshake");
    let text = response.text();
    let packet: serde_json::Value = serde_json::from_str(&text[1..]).expect("an open packet");
    let sid = packet["sid"].as_str().expect("a sid").to_owned();
    assert!(sid.len() > PLAIN && sid.is_ascii(), "the sid {sid:?} has no tag");
    sid
}

fn poll(limpet: &Limpet, sid: &str) -> Response {
    poll_with(&mut client_of(limpet), sid, "")
}

fn poll_with(client: &mut RawClient, sid: &str, fields: &str) -> Response {
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    client.send(format!("GET {target} HTTP/1.1\r\nHost: limpet.test\r\n{fields}\r\n").as_bytes()).expect("sent");
    client.response().expect("an answer")
}

#[track_caller]
fn assert_unknown(response: &Response) {
    assert_eq!((response.status, response.text().as_str()), (400, UNKNOWN));
}

#[test]
fn a_session_reaches_its_endpoint_without_the_tag() {
    let [first, second] = [Conduct::Handshakes; 2].map(endpoint);
    let limpet = balancer([first.address(), second.address()]);
    for _ in 0..4 {
        let sid = open(&limpet);
        assert_eq!(poll(&limpet, &sid).text(), "ok");
        let plain = format!("&sid={}", &sid[..PLAIN]);
        let polls = |endpoint: &Endpoint| {
            let requests = endpoint.requests().into_iter();
            requests.filter(|request| request.target.ends_with(&plain)).count()
        };
        assert!(polls(&first) + polls(&second) >= 1, "no endpoint saw {plain}");
    }
    for endpoint in [&first, &second] {
        let requests = endpoint.requests();
        let handshakes = requests.iter().filter(|request| !request.target.contains("sid=")).count();
        assert_eq!(requests.len(), 2 * handshakes, "a poll went to the endpoint of another session");
    }
}

#[test]
fn a_refused_handshake_goes_elsewhere_and_who_refuses_is_left_out_for_a_while() {
    let refusing = endpoint(Conduct::Refuses);
    let taking = endpoint(Conduct::Handshakes);
    let limpet = balancer([refusing.address(), taking.address()]);
    let sids: Vec<String> = (0..20).map(|_| open(&limpet)).collect();
    assert!(sids.iter().all(|sid| poll(&limpet, sid).text() == "ok"));
    // Having no sessions it is always the first choice, until five failures in a row eject it.
    assert_eq!(refusing.requests().len(), 5);
}

#[test]
fn when_everybody_refuses_the_refusal_is_passed_on() {
    let [first, second] = [Conduct::Refuses; 2].map(endpoint);
    let limpet = balancer([first.address(), second.address()]);
    let response = get(&limpet, "/socket.io/?EIO=4&transport=polling").expect("an answer");
    assert_eq!((response.status, response.text()), (503, "busy".to_owned()));
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
}

#[test]
fn a_sid_whose_endpoint_is_down_is_unknown_at_once() {
    let gone = endpoint(Conduct::Handshakes);
    let limpet = balancer([gone.address()]);
    let sid = open(&limpet);
    gone.stop();
    let mut client = client_of(&limpet);
    for _ in 0..2 {
        let start = std::time::Instant::now();
        let response = poll_with(&mut client, &sid, "Origin: https://app.example\r\n");
        assert_unknown(&response);
        assert!(start.elapsed() < super::AT_ONCE, "after {:?}", start.elapsed());
        assert_eq!(response.header("access-control-allow-origin"), Some("https://app.example"));
    }
}

#[test]
fn a_sid_of_a_removed_endpoint_is_unknown_and_reaches_nobody() {
    let (gone, stays) = (endpoint(Conduct::Handshakes), endpoint(Conduct::Handshakes));
    let key = KeyFile::create().expect("a key");
    let start = |endpoint: &Endpoint| {
        let launch = Launch::proxy(env!("CARGO_BIN_EXE_limpet"), [endpoint.address()]);
        launch.arg("--no-probe").key(&key).start().expect("it starts")
    };
    let (before, after) = (start(&gone), start(&stays));
    let sid = open(&before);
    assert_unknown(&poll(&after, &sid));
    assert_eq!(stays.requests(), []);
    // A new session on the same connection is served.
    let mut client = client_of(&after);
    assert_unknown(&poll_with(&mut client, &sid, ""));
    assert_eq!(client.get("/socket.io/?EIO=4&transport=polling").expect("a handshake").status, 200);
}

#[test]
fn an_upgrade_of_an_unknown_session_gets_the_raw_400() {
    let gone = endpoint(Conduct::Handshakes);
    let limpet = balancer([gone.address()]);
    let sid = open(&limpet);
    gone.stop();
    let mut client = client_of(&limpet);
    let target = format!("/socket.io/?EIO=4&transport=websocket&sid={sid}");
    client.send(limpet_testkit::raw::websocket::handshake(&target).as_bytes()).expect("sent");
    let response = client.response().expect("an answer");
    // engine.io writes this answer by hand: the message alone, as HTML, and the end of the connection.
    assert_eq!((response.status, response.text().as_str()), (400, "Session ID unknown"));
    assert_eq!(response.header("connection").map(str::to_ascii_lowercase).as_deref(), Some("close"));
    assert_eq!(client.read_to_end().expect("the end"), b"");
}

#[test]
fn a_preflight_with_a_sid_reaches_its_endpoint_without_the_tag() {
    let [first, second] = [Conduct::Handshakes; 2].map(endpoint);
    let limpet = balancer([first.address(), second.address()]);
    let sid = open(&limpet);
    let mut client = client_of(&limpet);
    // A preflight carries the URL, but never a cookie.
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    let fields = "Origin: http://page.test\r\nAccess-Control-Request-Method: POST\r\n";
    client.send(format!("OPTIONS {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes()).expect("sent");
    assert_eq!(client.response().expect("an answer").status, 200);
    let seen = [first.requests(), second.requests()];
    let opened_by = seen.iter().find(|requests| !requests.is_empty()).expect("one endpoint opened it");
    let methods: Vec<&str> = opened_by.iter().map(|request| request.method.as_str()).collect();
    assert_eq!(methods, ["GET", "OPTIONS"]);
    assert!(opened_by[1].target.ends_with(&format!("&sid={}", &sid[..PLAIN])), "{}", opened_by[1].target);
}

#[test]
fn forged_cut_and_replayed_tags_reach_nobody() {
    let good = endpoint(Conduct::Handshakes);
    let limpet = balancer([good.address()]);
    let (sid, other) = (open(&limpet), open(&limpet));
    assert_eq!(poll(&limpet, &sid).text(), "ok");
    let seen = good.requests().len();
    let mut bad = vec![
        ("without its tag", sid[..PLAIN].to_owned()),
        ("cut", sid[..sid.len() - 1].to_owned()),
        ("cut to half a tag", sid[..(PLAIN + sid.len()) / 2].to_owned()),
        ("longer", format!("{sid}A")),
        ("with another session's tag", format!("{}{}", &sid[..PLAIN], &other[PLAIN..])),
        ("tagged twice", format!("{sid}{}", &sid[PLAIN..])),
        ("a tag alone", sid[PLAIN..].to_owned()),
        ("padded", format!("{sid}%3D")),
    ];
    for index in 0..sid.len() {
        let mut forged = sid.clone().into_bytes();
        forged[index] = if forged[index] == b'B' { b'C' } else { b'B' };
        bad.push(("forged", String::from_utf8(forged).expect("still text")));
    }
    let mut client = client_of(&limpet);
    for (what, sid) in bad {
        let response = poll_with(&mut client, &sid, "");
        assert_eq!((response.status, response.text().as_str()), (400, UNKNOWN), "a sid that is {what}: {sid}");
    }
    assert_eq!(good.requests().len(), seen, "a request with a bad tag reached the endpoint");
}

/// Starts an endpoint without sessions that is slow with POSTs: it keeps each one until a GET comes, or for a second. It
/// tells what comes.
fn slow_stranger() -> (SocketAddr, Receiver<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let (release, released) = mpsc::channel();
        let mut released = Some(released);
        for stream in listener.incoming().flatten() {
            let (tell, release, released) = (tell.clone(), release.clone(), released.take());
            thread::spawn(move || refuse_slowly(stream, &tell, &release, released));
        }
    });
    (address, told)
}

/// Serves one connection of it. Only the first one waits.
fn refuse_slowly(
    mut stream: TcpStream,
    tell: &Sender<&'static str>,
    release: &Sender<()>,
    mut released: Option<Receiver<()>>,
) -> Option<RecvTimeoutError> {
    let mut seen = Vec::new();
    let mut byte = [0];
    loop {
        while !seen.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).ok()?;
            seen.push(byte[0]);
        }
        if seen.starts_with(b"POST") {
            stream.read_exact(&mut [0; 3]).ok()?;
            tell.send("POST").ok()?;
            released.take().and_then(|released| released.recv_timeout(Duration::from_secs(1)).err());
        } else {
            release.send(()).ok()?;
        }
        seen.clear();
        let head = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{UNKNOWN}", UNKNOWN.len());
        stream.write_all(head.as_bytes()).ok()?;
    }
}

#[test]
fn a_slow_endpoint_is_not_taken_for_that_of_a_session() {
    let (stranger, told) = slow_stranger();
    let own = endpoint(Conduct::Answers("own"));
    let limpet = balancer([stranger, own.address()]);
    let target = "/socket.io/?EIO=3&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA";
    let mut posting = client_of(&limpet);
    posting
        .send(format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n1:2").as_bytes())
        .expect("sent");
    assert_eq!(told.recv(), Ok("POST"), "it is asked first");
    // Whoever comes meanwhile waits until the session is found, and is not sent to the slow one.
    assert_eq!(get(&limpet, target).expect("an answer").text(), "own");
    assert_eq!(posting.response().expect("an answer").text(), "own");
}
