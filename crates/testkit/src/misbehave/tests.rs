use super::*;
use crate::raw::{RawClient, RawError};

fn client_of(endpoint: &Endpoint) -> RawClient {
    RawClient::connect(endpoint.address()).unwrap()
}

#[test]
fn an_honest_endpoint_answers_and_tells_what_it_read() {
    let endpoint = Endpoint::start(Conduct::Answers("me")).unwrap();
    let mut client = client_of(&endpoint);
    assert_eq!(client.get("/a?b").unwrap().text(), "me");
    client.send(b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n").unwrap();
    assert_eq!(client.response().unwrap().text(), "me");
    let seen: Vec<_> = endpoint.requests().into_iter().map(|one| (one.connection, one.target, one.body)).collect();
    assert_eq!(seen, [(0, "/a?b".to_owned(), vec![]), (0, "/c".to_owned(), b"hi".to_vec())]);
    drop(client);
    endpoint.wait_for("end", |event| (*event == Event::Ended(0)).then_some(()));
}

#[test]
fn broken_answers_look_broken_to_a_strict_client() {
    for (conduct, is_right) in [
        (Conduct::ClosesBeforeResponse, (|error| matches!(error, RawError::Closed)) as fn(&RawError) -> bool),
        (Conduct::ResetsBeforeResponse, |error| matches!(error, RawError::Closed)),
        (Conduct::HalfCloses, |error| matches!(error, RawError::Closed)),
        (Conduct::ClosesMidBody, |error| matches!(error, RawError::CutShort(_))),
        (Conduct::ClosesMidChunks, |error| matches!(error, RawError::CutShort(_))),
        (Conduct::ResetsMidBody, |error| matches!(error, RawError::CutShort(_) | RawError::Closed)),
        (Conduct::SendsGarbage, |error| matches!(error, RawError::Malformed(_))),
        (Conduct::SendsTwoLengths, |error| matches!(error, RawError::Malformed(_))),
        (Conduct::SendsLengthTwice, |error| matches!(error, RawError::Malformed(_))),
    ] {
        let endpoint = Endpoint::start(conduct).unwrap();
        let error = client_of(&endpoint).get("/").unwrap_err();
        assert!(is_right(&error), "{conduct:?}: {error}");
        assert_eq!(endpoint.requests().len(), 1, "{conduct:?}");
    }
}

#[test]
fn extra_bytes_are_there_for_who_believes_them() {
    let endpoint = Endpoint::start(Conduct::SendsExtraBytes).unwrap();
    let mut client = client_of(&endpoint);
    assert_eq!(client.get("/").unwrap().text(), "ok");
    assert_eq!(client.response().unwrap().text(), "forged");
}

#[test]
fn connections_end_after_an_answer_or_on_reuse() {
    let silent = Endpoint::start(Conduct::ClosesSilently).unwrap();
    let mut client = client_of(&silent);
    assert_eq!(client.get("/").unwrap().text(), "ok");
    assert!(matches!(client.response(), Err(RawError::Closed)));
    let reuse = Endpoint::start(Conduct::ClosesOnReuse).unwrap();
    let mut client = client_of(&reuse);
    assert_eq!(client.get("/").unwrap().text(), "ok");
    assert!(matches!(client.get("/"), Err(RawError::Closed)));
    assert_eq!(reuse.requests().len(), 2);
}

#[test]
fn handshakes_give_different_sids() {
    let endpoint = Endpoint::start(Conduct::Handshakes).unwrap();
    let mut client = client_of(&endpoint);
    let first = client.get("/socket.io/?EIO=4&transport=polling").unwrap().text();
    let second = client.get("/socket.io/?EIO=4&transport=polling").unwrap().text();
    assert!(first.starts_with("0{\"sid\":\"session-000000000000\",") && first != second, "{first} {second}");
    assert_eq!(client.get("/socket.io/?EIO=4&transport=polling&sid=x").unwrap().text(), "ok");
}

#[test]
fn an_early_answer_comes_without_the_body() {
    let endpoint = Endpoint::start(Conduct::AnswersEarly).unwrap();
    let mut client = client_of(&endpoint);
    client.send(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n").unwrap();
    assert_eq!(client.response().unwrap().status, 413);
}

#[test]
fn a_stopped_endpoint_refuses() {
    let endpoint = Endpoint::start(Conduct::AcceptsAndStalls).unwrap();
    let mut client = client_of(&endpoint);
    client.send(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    endpoint.wait_for("request", |event| matches!(event, Event::Request(_)).then_some(()));
    endpoint.stop();
    assert!(matches!(client.response(), Err(RawError::Closed)));
    assert!(RawClient::connect(endpoint.address()).is_err());
    assert!(RawClient::connect(RefusesConnections::start().unwrap().address()).is_err());
}
