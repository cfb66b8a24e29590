//! What a client sees when endpoints misbehave: the balancer as a black box before scripted endpoints.
//!
//! Probes are off, so that only the requests of a test reach an endpoint; there is one worker, so that connections
//! are reused as soon as they can be.

#[path = "misbehaving_endpoints/sessions.rs"]
mod sessions;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::misbehave::{Conduct, Endpoint, Event, RefusesConnections};
use limpet_testkit::raw::{RawClient, RawError, Response};

/// An answer that needs no timeout to pass comes within this time, even on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(15);

/// What tests of time-outs wait for at the most.
const PATIENCE: Duration = Duration::from_secs(30);

/// A balancer whose timeouts are all longer than [`AT_ONCE`].
fn balancer(endpoints: impl IntoIterator<Item = SocketAddr>) -> Limpet {
    launch(endpoints, "30s")
}

/// A balancer that waits for no endpoint longer than three seconds.
fn impatient(endpoints: impl IntoIterator<Item = SocketAddr>) -> Limpet {
    launch(endpoints, "3s")
}

fn launch(endpoints: impl IntoIterator<Item = SocketAddr>, response_timeout: &str) -> Limpet {
    let launch = Launch::proxy(env!("CARGO_BIN_EXE_limpet"), endpoints).arg("--no-probe").arg("--workers").arg("1");
    launch.arg("--response-timeout").arg(response_timeout).start().expect("it starts")
}

fn endpoint(conduct: Conduct) -> Endpoint {
    Endpoint::start(conduct).expect("a port")
}

fn client_of(limpet: &Limpet) -> RawClient {
    RawClient::connect(limpet.address).expect("the balancer accepts")
}

fn get(limpet: &Limpet, target: &str) -> Result<Response, RawError> {
    client_of(limpet).get(target)
}

fn post(limpet: &Limpet, body: &str) -> Result<Response, RawError> {
    let mut client = client_of(limpet);
    let length = body.len();
    let request = format!("POST /p HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: {length}\r\n\r\n{body}");
    client.send(request.as_bytes()).map_err(RawError::Io)?;
    client.response()
}

fn connections(endpoint: &Endpoint) -> usize {
    endpoint.events().iter().filter(|event| matches!(event, Event::Connected(_))).count()
}

#[test]
fn a_refused_connection_is_invisible_while_another_endpoint_accepts() {
    let refuses = RefusesConnections::start().expect("a port");
    let good = endpoint(Conduct::Answers("good"));
    let limpet = balancer([refuses.address(), good.address()]);
    for number in 0..8 {
        let target = format!("/{number}");
        assert_eq!(get(&limpet, &target).expect("an answer").text(), "good");
    }
    // A body that was not sent yet can go to another endpoint as well.
    assert_eq!(post(&limpet, "hello").expect("an answer").text(), "good");
    assert_eq!(good.requests().len(), 9);
}

#[test]
fn nobody_left_is_a_quick_503() {
    let [first, second] = [0, 1].map(|_| RefusesConnections::start().expect("a port"));
    let limpet = balancer([first.address(), second.address()]);
    for _ in 0..3 {
        let start = Instant::now();
        assert_eq!(get(&limpet, "/").expect("an answer").status, 503);
        assert!(start.elapsed() < AT_ONCE, "after {:?}", start.elapsed());
    }
}

#[test]
fn an_invalid_response_is_a_502_and_its_connection_is_not_used_again() {
    for conduct in [
        Conduct::SendsGarbage,
        Conduct::SendsHugeHead,
        Conduct::SendsTwoLengths,
        Conduct::SendsLengthTwice,
        Conduct::SwitchesUnasked,
    ] {
        let bad = endpoint(conduct);
        let limpet = balancer([bad.address()]);
        for round in 1..=2 {
            let response = post(&limpet, "hello").unwrap_or_else(|error| panic!("{conduct:?}: {error}"));
            assert_eq!(response.status, 502, "{conduct:?}");
            assert_eq!((bad.requests().len(), connections(&bad)), (round, round), "{conduct:?}");
        }
    }
}

#[test]
fn interim_answers_without_end_are_cut_off() {
    let bad = endpoint(Conduct::FloodsInterim);
    let limpet = balancer([bad.address()]);
    let mut client = client_of(&limpet);
    client.send(b"GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n").expect("sent");
    let mut interim = 0;
    let end = loop {
        match client.response() {
            Ok(response) if response.status == 103 => interim += 1,
            other => break other,
        }
    };
    assert!(interim < 100_000, "all {interim} interim answers came through");
    match end {
        Ok(response) => assert_eq!(response.status, 502),
        Err(error) => assert!(matches!(error, RawError::Closed), "{error}"),
    }
}

#[test]
fn a_cut_body_never_looks_complete() {
    for conduct in [Conduct::ClosesMidBody, Conduct::ClosesMidChunks, Conduct::ResetsMidBody] {
        let bad = endpoint(conduct);
        let limpet = balancer([bad.address()]);
        match get(&limpet, "/") {
            Err(RawError::CutShort(_) | RawError::Closed) => {}
            Ok(response) if response.status == 502 => {}
            other => panic!("{conduct:?}: {other:?}"),
        }
    }
}

#[test]
fn a_cut_body_never_looks_complete_to_an_old_client() {
    let bad = endpoint(Conduct::ClosesMidBody);
    let limpet = balancer([bad.address()]);
    let mut client = client_of(&limpet);
    client.send(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
    // Without the length the end of the connection would look like the end of the body.
    match client.response() {
        Err(RawError::CutShort(_) | RawError::Closed) => {}
        Ok(response) if response.status == 502 => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cut_body_without_a_length_ends_with_a_reset_for_an_old_client() {
    let bad = endpoint(Conduct::ClosesMidChunks);
    let limpet = balancer([bad.address()]);
    let mut client = TcpStream::connect(limpet.address).expect("the balancer accepts");
    client.set_read_timeout(Some(PATIENCE)).expect("a limit");
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
    let error = client.read_to_end(&mut Vec::new()).expect_err("an ordinary end would look complete");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn silence_is_a_504_after_the_response_timeout() {
    let bad = endpoint(Conduct::AcceptsAndStalls);
    let limpet = impatient([bad.address()]);
    let start = Instant::now();
    assert_eq!(post(&limpet, "hello").expect("an answer").status, 504);
    assert!(start.elapsed() >= Duration::from_millis(2900), "after {:?}", start.elapsed());
    // The endpoint learns that nobody waits any more.
    bad.wait_for("end", |event| (*event == Event::Ended(0)).then_some(()));
    assert_eq!(bad.requests().len(), 1);
}

#[test]
fn silence_within_a_body_cuts_the_client() {
    let bad = endpoint(Conduct::StallsMidBody);
    let limpet = impatient([bad.address()]);
    match get(&limpet, "/") {
        Err(RawError::CutShort(seen)) => assert!(seen.ends_with(b"0123456789"), "{}", seen.escape_ascii()),
        other => panic!("{other:?}"),
    }
    bad.wait_for("end", |event| (*event == Event::Ended(0)).then_some(()));
}

#[test]
fn an_endpoint_that_never_reads_holds_the_client_back() {
    let bad = endpoint(Conduct::NeverReads);
    let limpet = impatient([bad.address()]);
    let mut client = client_of(&limpet);
    client.set_limit(Duration::from_secs(2));
    let head = format!("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: {}\r\n\r\n", 64 << 20);
    client.send(head.as_bytes()).expect("sent");
    let chunk = vec![b'x'; 1 << 20];
    // Without backpressure all of it would be taken and kept.
    let taken = (0..64).take_while(|_| client.send(&chunk).is_ok()).count();
    assert!(taken < 64, "the balancer took a body that nobody read");
    // The endpoint is to blame, after the response timeout.
    client.set_limit(PATIENCE);
    assert_eq!(client.response().expect("an answer").status, 504);
}

#[test]
fn a_slow_body_is_delivered_whole() {
    let slow = endpoint(Conduct::DripsSlowly);
    let limpet = balancer([slow.address()]);
    assert_eq!(get(&limpet, "/").expect("an answer").body, [b'x'; 20]);
}

#[test]
fn a_connection_that_closed_silently_is_not_noticed() {
    let silent = endpoint(Conduct::ClosesSilently);
    let limpet = balancer([silent.address()]);
    let mut client = client_of(&limpet);
    for number in 0..10 {
        assert_eq!(client.get(&format!("/{number}")).expect("an answer").text(), "ok");
    }
    let post = b"POST /p HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 5\r\n\r\nhello";
    client.send(post).expect("sent");
    // The close may cross the request: then nobody knows whether it was processed, and an error is right.
    assert!(matches!(client.response().expect("an answer").status, 200 | 502 | 503));
    assert!(silent.requests().iter().filter(|request| request.method == "POST").count() <= 1);
}

#[test]
fn a_get_is_retried_when_a_used_connection_closes() {
    let reuse = endpoint(Conduct::ClosesOnReuse);
    let limpet = balancer([reuse.address()]);
    assert_eq!(get(&limpet, "/1").expect("an answer").text(), "ok");
    assert_eq!(get(&limpet, "/2").expect("an answer").text(), "ok");
    let seen: Vec<_> = reuse.requests().into_iter().map(|request| (request.connection, request.target)).collect();
    assert_eq!(seen, [(0, "/1".to_owned()), (0, "/2".to_owned()), (1, "/2".to_owned())]);
}

#[test]
fn a_post_that_may_have_been_processed_is_never_sent_twice() {
    let reuse = endpoint(Conduct::ClosesOnReuse);
    let other = endpoint(Conduct::ClosesBeforeResponse);
    let limpet = balancer([reuse.address()]);
    assert_eq!(get(&limpet, "/1").expect("an answer").text(), "ok");
    assert_eq!(post(&limpet, "once").expect("an answer").status, 502);
    let count = |endpoint: &Endpoint| endpoint.requests().iter().filter(|request| request.method == "POST").count();
    assert_eq!(count(&reuse), 1);
    let limpet = balancer([other.address(), reuse.address()]);
    for _ in 0..4 {
        // Either endpoint may get it; neither gets it after the other did.
        let before = count(&reuse) + count(&other);
        let status = post(&limpet, "once").expect("an answer").status;
        assert!(matches!(status, 200 | 502), "{status}");
        assert_eq!(count(&reuse) + count(&other), before + 1);
    }
}

#[test]
fn an_endpoint_that_ends_without_an_answer_is_a_502() {
    for conduct in [Conduct::ClosesBeforeResponse, Conduct::ResetsBeforeResponse, Conduct::HalfCloses] {
        let bad = endpoint(conduct);
        let limpet = balancer([bad.address()]);
        let start = Instant::now();
        assert_eq!(post(&limpet, "once").expect("an answer").status, 502, "{conduct:?}");
        assert!(start.elapsed() < AT_ONCE, "{conduct:?}: after {:?}", start.elapsed());
        assert_eq!(bad.requests().len(), 1, "{conduct:?}");
    }
}

#[test]
fn extra_bytes_are_never_the_next_response() {
    let bad = endpoint(Conduct::SendsExtraBytes);
    let limpet = balancer([bad.address()]);
    let mut client = client_of(&limpet);
    for number in 0..5 {
        assert_eq!(client.get(&format!("/{number}")).expect("an answer").text(), "ok");
        assert_eq!(get(&limpet, &format!("/other/{number}")).expect("an answer").text(), "ok");
    }
    assert_eq!(connections(&bad), bad.requests().len(), "a connection with extra bytes was used again");
}

#[test]
fn an_early_413_is_passed_on() {
    let early = endpoint(Conduct::AnswersEarly);
    let limpet = balancer([early.address()]);
    let mut client = client_of(&limpet);
    client.send(b"POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 1000000\r\n\r\nsome").expect("sent");
    let response = client.response().expect("an answer");
    assert_eq!((response.status, response.text().as_str()), (413, "large"));
    // The rest of the body was never asked for, so the connection cannot serve another request.
    assert_eq!(client.read_to_end().expect("the end"), b"");
}

#[test]
fn a_client_that_leaves_during_a_poll_is_told_to_the_endpoint_at_once() {
    let stalls = endpoint(Conduct::AcceptsAndStalls);
    let launch = Launch::proxy(env!("CARGO_BIN_EXE_limpet"), [stalls.address()]);
    // The default response timeout, so that only the client's leaving can end the request.
    let limpet = launch.arg("--no-probe").start().expect("it starts");
    let mut client = client_of(&limpet);
    client.send(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: limpet.test\r\n\r\n").expect("sent");
    stalls.wait_for("request", |event| matches!(event, Event::Request(_)).then_some(()));
    let start = Instant::now();
    drop(client);
    stalls.wait_for("end", |event| (*event == Event::Ended(0)).then_some(()));
    assert!(start.elapsed() < AT_ONCE, "after {:?}", start.elapsed());
}
