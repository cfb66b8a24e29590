//! What the end of a request, of a WebSocket and of a candidate does to a session, and what an end leaves behind.

use super::*;

#[test]
fn a_poll_that_is_left_ends_a_polling_session_alone() {
    let now = Instant::now();
    let mut session = session(Version::V4, Transport::Polling, now);
    session.handle_get_lost();
    assert!(session.is_open(), "there was none");
    assert_eq!(get(&mut session), None);
    session.handle_get_lost();
    assert_eq!(session.closed(), Some(CloseReason::TransportError));
    assert!(!session.has_answer(), "nobody waits");
}

#[test]
fn a_post_that_is_broken_ends_a_polling_session_alone() {
    let now = Instant::now();
    let mut polling = session(Version::V4, Transport::Polling, now);
    polling.handle_post().unwrap();
    assert!(polling.has_post());
    polling.handle_post_broken();
    assert!(!polling.has_post());
    assert_eq!(polling.closed(), Some(CloseReason::TransportError));
    // One from before the upgrade says nothing about the session.
    let mut moved = session(Version::V4, Transport::Polling, now);
    moved.handle_post().unwrap();
    let id = moved.handle_candidate(now).unwrap();
    moved.handle_candidate_packet(id, Some(&Packet::empty(PacketType::Upgrade)), now);
    moved.handle_post_broken();
    assert!(moved.is_open() && !moved.has_post());
    // One that ends well makes room for the next.
    let mut polling = session(Version::V4, Transport::Polling, now);
    for _ in 0..2 {
        polling.handle_post().unwrap();
        polling.handle_post_end();
        assert!(!polling.has_post());
    }
}

#[test]
fn the_end_of_its_websocket_ends_a_session_once() {
    let now = Instant::now();
    let mut session = session(Version::V4, Transport::Websocket, now);
    session.send(&[Message::text("x")]).unwrap();
    session.handle_websocket_end(CloseReason::TransportClose);
    assert_eq!(session.closed(), Some(CloseReason::TransportClose));
    assert!(!session.has_frames());
    session.handle_websocket_end(CloseReason::ParseError);
    assert_eq!(session.closed(), Some(CloseReason::TransportClose));
    // One that is about to end does not wait for a WebSocket that is gone.
    let mut session = self::session(Version::V4, Transport::Websocket, now);
    session.send(&[Message::text("x")]).unwrap();
    session.close(CloseReason::ForcedClose, false, now);
    session.handle_websocket_end(CloseReason::TransportClose);
    assert_eq!(session.closed(), Some(CloseReason::TransportClose));
    // And it is nothing to a session that polls.
    let mut session = self::session(Version::V4, Transport::Polling, now);
    session.handle_websocket_end(CloseReason::TransportClose);
    assert!(session.is_open());
}

#[test]
fn a_candidate_that_is_gone_makes_room_and_is_not_taken_for_the_next() {
    let now = Instant::now();
    let mut session = session(Version::V4, Transport::Polling, now);
    let first = session.handle_candidate(now).unwrap();
    session.handle_candidate_end(first);
    assert!(!session.has_candidate(first));
    let second = session.handle_candidate(now).unwrap();
    // What is left of the first one changes nothing.
    session.handle_candidate_end(first);
    let upgrade = Packet::empty(PacketType::Upgrade);
    assert_eq!(session.handle_candidate_packet(first, Some(&upgrade), now), CandidateStep::Dismissed);
    assert!(session.has_candidate(second));
    assert_eq!(session.handle_candidate_packet(second, Some(&upgrade), now), CandidateStep::Upgraded);
}

#[test]
fn what_waits_is_let_go_with_the_session() {
    let now = Instant::now();
    let mut session = session(Version::V4, Transport::Polling, now);
    session.send(&[Message::text("x")]).unwrap();
    session.close(CloseReason::ForcedClose, true, now);
    assert_eq!(session.closed(), Some(CloseReason::ForcedClose));
    assert_eq!(session.outbox.len(), 0);
    // Whoever asks now is told the end, and nothing else.
    assert_eq!(get(&mut session).as_deref(), Some("1"));
}

#[test]
fn what_has_left_makes_room_up_to_the_last_byte() {
    let now = Instant::now();
    let mut session = session(Version::V4, Transport::Websocket, now);
    // With the digit of a message in front of each, 100 bytes: all that may wait.
    let (most, rest) = (Message::text(&"x".repeat(59)), Message::text(&"x".repeat(39)));
    for _ in 0..3 {
        session.send(std::slice::from_ref(&most)).unwrap();
        session.send(std::slice::from_ref(&rest)).unwrap();
        assert_eq!(frames(&mut session), [PacketType::Message; 2]);
    }
    session.send(&[most]).unwrap();
    assert_eq!(session.send(&[rest, Message::binary(b"x")]), Err(SendError::QueueFull));
    assert_eq!(session.closed(), Some(CloseReason::TransportError));
}
