use std::net::Ipv4Addr;

use super::*;
use crate::config::EndpointConfig;
use crate::upstream::endpoint::{Endpoint, EndpointId};

fn endpoint() -> Arc<Endpoint> {
    Arc::new(Endpoint::new(EndpointId([1; 6]), (Ipv4Addr::LOCALHOST, 3000).into(), &EndpointConfig::new("app", 3000)))
}

fn opening(endpoint: &Arc<Endpoint>) -> Opening {
    Opening {
        load: Some(Load::take(endpoint)),
        upstream: "chat".into(),
        transport: Transport::Polling,
        client: Ipv4Addr::LOCALHOST.into(),
        user_agent: 3,
        idle_limit: Seconds(50),
    }
}

fn sid(text: &str) -> Sid {
    Sid::parse(text).unwrap()
}

/// Asks for a record in a table that has only one.
fn with_record<R>(sessions: &Sessions, now: u32, ask: impl Fn(&Record, Seconds) -> R) -> R {
    let mut answer = None;
    sessions.page(0, Seconds(now), |_, record, touched| {
        assert!(answer.replace(ask(record, touched)).is_none(), "one record");
    });
    answer.expect("one record")
}

#[test]
fn a_handshake_makes_a_record_that_counts() {
    let (sessions, endpoint) = (Sessions::new(10), endpoint());
    sessions.opened(sid("a"), opening(&endpoint), Seconds(7));
    assert!(sessions.touch("a", Seconds(9), || panic!("it is known")));
    sessions.count("a", 10, 200, Seconds(20));
    sessions.count("a", 1, 2, Seconds(30));
    sessions.count("b", 1, 2, Seconds(30));
    assert_eq!(endpoint.load(), 1);
    with_record(&sessions, 30, |record, touched| {
        assert_eq!((record.requests(), record.bytes_in(), record.bytes_out()), (2, 11, 202));
        assert_eq!((record.opened(), touched), (Seconds(7), Seconds(30)));
        assert_eq!((record.upstream(), record.transport()), ("chat", Transport::Polling));
        assert_eq!((record.client(), record.user_agent()), (Ipv4Addr::LOCALHOST.into(), 3));
        assert_eq!(record.load().unwrap().endpoint().id(), endpoint.id());
    });
}

#[test]
fn the_first_tag_makes_one_record() {
    let (sessions, endpoint) = (Sessions::new(10), endpoint());
    for now in [0, 30, 60] {
        assert!(sessions.touch("a", Seconds(now), || Some(opening(&endpoint))));
    }
    assert_eq!(endpoint.load(), 1);
    assert_eq!(with_record(&sessions, 60, |record, _| (record.requests(), record.opened())), (3, Seconds(0)));
    assert!(!sessions.touch("b", Seconds(60), || None));
    assert!(!sessions.touch("not a sid", Seconds(60), || Some(opening(&endpoint))));
    assert_eq!((sessions.len(), endpoint.load()), (1, 1));
}

#[test]
fn a_closed_session_gives_its_load_back() {
    let (sessions, endpoint) = (Sessions::new(10), endpoint());
    sessions.opened(sid("a"), opening(&endpoint), Seconds(0));
    assert_eq!(sessions.closed("a").unwrap().requests(), 1);
    assert_eq!((endpoint.load(), sessions.is_empty()), (0, true));
    assert!(sessions.closed("a").is_none());
}

#[test]
fn a_tunnel_takes_the_load_and_polls_take_no_second_one() {
    let (sessions, endpoint) = (Sessions::new(10), endpoint());
    assert!(sessions.upgraded("a", Seconds(0)).is_none());
    sessions.opened(sid("a"), opening(&endpoint), Seconds(0));
    let load = sessions.upgraded("a", Seconds(1)).expect("the record has it");
    assert!(sessions.upgraded("a", Seconds(1)).is_none(), "only one tunnel gets it");
    assert!(sessions.touch("a", Seconds(2), || panic!("it is known")));
    assert_eq!(endpoint.load(), 1);
    assert_eq!(with_record(&sessions, 2, |record, _| record.transport()), Transport::Websocket);
    drop(sessions.closed("a"));
    assert_eq!(endpoint.load(), 1, "it is the tunnel's now");
    drop(load);
    assert_eq!(endpoint.load(), 0);
}

#[test]
fn silence_ends_a_record_and_a_pending_poll_does_not() {
    let (sessions, endpoint) = (Sessions::new(10), endpoint());
    sessions.opened(sid("silent"), opening(&endpoint), Seconds(0));
    sessions.opened(sid("polling"), opening(&endpoint), Seconds(0));
    sessions.touch("polling", Seconds(20), || None);
    // It ends as late as a live session's poll can.
    sessions.count("polling", 0, 1, Seconds(65));
    assert_eq!(sessions.sweep(0, Seconds(69)), 1);
    assert_eq!((sessions.len(), endpoint.load()), (1, 1));
    assert_eq!(with_record(&sessions, 114, |record, _| record.bytes_out()), 1);
    assert_eq!(sessions.sweep(0, Seconds(115)), 1);
    assert_eq!(endpoint.load(), 0);
}

#[test]
fn an_expired_record_is_made_anew() {
    let (sessions, endpoint) = (Sessions::new(10), endpoint());
    sessions.opened(sid("a"), opening(&endpoint), Seconds(0));
    sessions.touch("a", Seconds(50), || Some(opening(&endpoint)));
    assert_eq!(endpoint.load(), 1);
    assert_eq!(with_record(&sessions, 50, |record, _| (record.requests(), record.opened())), (1, Seconds(50)));
}

#[test]
fn the_bound_holds_for_the_load_too() {
    let (sessions, endpoint) = (Sessions::new(10), endpoint());
    for at in 0..20 {
        sessions.opened(sid(&format!("handshake{at}")), opening(&endpoint), Seconds(at));
        sessions.touch(&format!("tag{at}"), Seconds(at), || Some(opening(&endpoint)));
    }
    assert_eq!((sessions.len(), endpoint.load()), (10, 10));
}

#[test]
fn a_record_is_as_small_as_documented() {
    assert!(size_of::<(Sid, Record)>() + 8 <= 104, "{}", size_of::<(Sid, Record)>());
}
