use super::*;
use crate::engineio::packet::Packet;

mod ends;

const SECOND: Duration = Duration::from_secs(1);

fn config() -> Arc<Config> {
    Arc::new(Config {
        ping_interval: 25 * SECOND,
        ping_timeout: 20 * SECOND,
        upgrade_timeout: 10 * SECOND,
        max_payload_bytes: 1_000_000,
        max_queued_messages: 4,
        max_queued_bytes: 100,
    })
}

/// A session whose open packet has left.
fn session(version: Version, transport: Transport, now: Instant) -> Session {
    let mut session = Session::new(config(), version, transport, &Sid::parse("abc").unwrap(), true, None, now);
    match transport {
        Transport::Websocket => assert_eq!(session.poll_websocket().unwrap().len(), 1),
        _ => {
            session.handle_get().unwrap();
            session.poll_get().unwrap();
        }
    }
    session
}

/// The answer to the waiting GET, with `|` between packets.
fn answer(session: &mut Session) -> Option<String> {
    let batch = session.poll_get()?;
    let body = write_body(session.version(), &batch, true, None);
    Some(String::from_utf8(body.bytes).unwrap().replace('\u{1e}', "|"))
}

fn get(session: &mut Session) -> Option<String> {
    session.handle_get().unwrap();
    answer(session)
}

fn frames(session: &mut Session) -> Vec<PacketType> {
    session.poll_websocket().into_iter().flatten().map(|packet| packet.kind()).collect()
}

#[test]
fn the_open_packet_has_the_members_of_the_reference() {
    let now = Instant::now();
    let initial = Message::text("first");
    let sid = Sid::parse("lv_VI97HAXpY6yYWAAAC").unwrap();
    let mut session = Session::new(config(), Version::V4, Transport::Polling, &sid, true, Some(&initial), now);
    let open = r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}|4first"#;
    assert_eq!(get(&mut session).as_deref(), Some(open));
    let mut session = Session::new(config(), Version::V3, Transport::Polling, &sid, false, None, now);
    let open = r#"107:0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
    assert_eq!(get(&mut session).as_deref(), Some(open));
}

#[test]
fn a_ping_goes_out_and_its_pong_counts() {
    let start = Instant::now();
    let mut session = session(Version::V4, Transport::Websocket, start);
    assert_eq!(session.poll_deadline(), Some(start + 25 * SECOND));
    session.handle_timeout(start + 25 * SECOND);
    assert_eq!(frames(&mut session), [PacketType::Ping]);
    assert_eq!(session.poll_deadline(), Some(start + 45 * SECOND));
    session.handle_packet(PacketType::Pong, start + 30 * SECOND);
    assert_eq!(session.poll_deadline(), Some(start + 55 * SECOND));
    session.handle_timeout(start + 55 * SECOND);
    // Any other packet lengthens the wait, once.
    assert!(session.handle_packet(PacketType::Message, start + 60 * SECOND));
    assert!(session.handle_packet(PacketType::Message, start + 70 * SECOND));
    session.handle_timeout(start + 79 * SECOND);
    assert!(session.is_open());
    session.handle_timeout(start + 80 * SECOND);
    assert_eq!(session.closed(), Some(CloseReason::PingTimeout));
    assert_eq!(session.poll_deadline(), None);
}

#[test]
fn a_client_of_version_3_pings() {
    let start = Instant::now();
    let mut session = session(Version::V3, Transport::Websocket, start);
    assert_eq!(session.poll_deadline(), Some(start + 45 * SECOND));
    session.handle_packet(PacketType::Ping, start + 40 * SECOND);
    assert_eq!(frames(&mut session), [PacketType::Pong]);
    session.handle_timeout(start + 84 * SECOND);
    assert!(session.is_open());
    session.handle_timeout(start + 85 * SECOND);
    assert_eq!(session.closed(), Some(CloseReason::PingTimeout));
}

#[test]
fn a_heartbeat_in_the_wrong_direction_ends_the_session() {
    let now = Instant::now();
    for (version, kind) in [(Version::V4, PacketType::Ping), (Version::V3, PacketType::Pong)] {
        let mut session = session(version, Transport::Polling, now);
        assert!(!session.handle_packet(kind, now));
        assert_eq!(session.closed(), Some(CloseReason::TransportError));
    }
}

#[test]
fn messages_that_belong_together_wait_together_or_not_at_all() {
    let now = Instant::now();
    let mut session = session(Version::V4, Transport::Polling, now);
    let message = Message::text("x");
    session.send(&[message.clone(), message.clone(), message.clone()]).unwrap();
    assert_eq!(session.send(&[message.clone(), message.clone()]), Err(SendError::QueueFull));
    assert_eq!(session.closed(), Some(CloseReason::TransportError));
    assert_eq!(session.send(&[message]), Err(SendError::Closed));
}

#[test]
fn bytes_are_bounded_but_one_message_always_fits() {
    let now = Instant::now();
    let mut session = session(Version::V4, Transport::Websocket, now);
    session.send(&[Message::text(&"x".repeat(500))]).unwrap();
    assert_eq!(session.send_volatile(&[Message::text("x")]), Ok(false));
    assert_eq!(session.send(&[Message::text("x")]), Err(SendError::QueueFull));
}

#[test]
fn a_client_that_only_pings_costs_no_more() {
    let now = Instant::now();
    let mut session = session(Version::V3, Transport::Polling, now);
    for _ in 0..4 {
        session.handle_packet(PacketType::Ping, now);
    }
    assert!(session.is_open());
    session.handle_packet(PacketType::Ping, now);
    assert_eq!(session.closed(), Some(CloseReason::TransportError));
}

#[test]
fn volatile_messages_need_someone_who_takes_them() {
    let now = Instant::now();
    let message = [Message::text("x")];
    let mut polling = session(Version::V4, Transport::Polling, now);
    assert_eq!(polling.send_volatile(&message), Ok(false));
    assert_eq!(get(&mut polling), None);
    assert_eq!(polling.send_volatile(&message), Ok(true));
    assert_eq!(answer(&mut polling).as_deref(), Some("4x"));
    let mut websocket = session(Version::V4, Transport::Websocket, now);
    assert_eq!(websocket.send_volatile(&message), Ok(true));
    frames(&mut websocket);
    websocket.handle_blocked(true);
    assert_eq!(websocket.send_volatile(&message), Ok(false));
    websocket.handle_blocked(false);
    assert_eq!(websocket.send_volatile(&message), Ok(true));
}

#[test]
fn overlapping_requests_end_the_session() {
    let now = Instant::now();
    let mut first = session(Version::V4, Transport::Polling, now);
    assert_eq!(get(&mut first), None);
    assert_eq!(first.handle_get(), Err(Overlap));
    assert_eq!(answer(&mut first).as_deref(), Some("1"));
    assert_eq!(first.closed(), Some(CloseReason::TransportError));
    let mut first = session(Version::V3, Transport::Polling, now);
    assert_eq!(get(&mut first), None);
    first.handle_post().unwrap();
    assert_eq!(first.handle_post(), Err(Overlap));
    assert_eq!(answer(&mut first).as_deref(), Some("1:1"));
}

#[test]
fn the_end_by_the_client_releases_its_get() {
    let now = Instant::now();
    let mut session = session(Version::V4, Transport::Polling, now);
    assert_eq!(get(&mut session), None);
    assert!(!session.handle_packet(PacketType::Close, now));
    assert_eq!(answer(&mut session).as_deref(), Some("6"));
    assert_eq!(session.closed(), Some(CloseReason::TransportClose));
    // What was sent before still arrives.
    let mut session = self::session(Version::V4, Transport::Polling, now);
    assert_eq!(get(&mut session), None);
    session.send(&[Message::text("x")]).unwrap();
    session.handle_packet(PacketType::Close, now);
    assert_eq!(session.closed(), Some(CloseReason::TransportClose));
    assert_eq!(answer(&mut session).as_deref(), Some("4x"));
}

#[test]
fn the_end_by_the_server_waits_for_a_get_but_not_for_ever() {
    let now = Instant::now();
    // Nobody waits and nothing is queued.
    let mut session = session(Version::V4, Transport::Polling, now);
    session.close(CloseReason::ForcedClose, false, now);
    assert!(!session.is_open());
    assert_eq!(session.closed(), None);
    assert_eq!(get(&mut session).as_deref(), Some("6|1"));
    assert_eq!(session.closed(), Some(CloseReason::ForcedClose));
    // Nobody comes.
    let mut session = self::session(Version::V4, Transport::Polling, now);
    session.send(&[Message::text("x")]).unwrap();
    session.close(CloseReason::ForcedClose, false, now);
    assert_eq!(session.poll_deadline(), Some(now + CLOSE_TIMEOUT));
    session.handle_timeout(now + CLOSE_TIMEOUT);
    assert_eq!(session.closed(), Some(CloseReason::ForcedClose));
    // A GET waits.
    let mut session = self::session(Version::V4, Transport::Polling, now);
    assert_eq!(get(&mut session), None);
    session.close(CloseReason::ServerShuttingDown, true, now);
    assert_eq!(answer(&mut session).as_deref(), Some("1"));
    assert_eq!(session.closed(), Some(CloseReason::ServerShuttingDown));
}

/// `socket.io-client` acts on the close packet of a body before the messages in front of it.
#[test]
fn a_message_and_the_end_by_the_server_come_in_two_answers() {
    let now = Instant::now();
    // A GET waits while both come.
    let mut session = session(Version::V4, Transport::Polling, now);
    session.handle_get().unwrap();
    session.send(&[Message::text("x")]).unwrap();
    session.close(CloseReason::ForcedClose, false, now);
    assert_eq!(answer(&mut session).as_deref(), Some("4x"));
    assert_eq!(session.closed(), None);
    assert_eq!(get(&mut session).as_deref(), Some("6|1"));
    assert_eq!(session.closed(), Some(CloseReason::ForcedClose));
    // The GET comes later, and the client closes by itself instead of asking again.
    let mut session = self::session(Version::V4, Transport::Polling, now);
    session.send(&[Message::text("x")]).unwrap();
    session.close(CloseReason::ForcedClose, false, now);
    assert_eq!(get(&mut session).as_deref(), Some("4x"));
    assert!(!session.handle_packet(PacketType::Close, now));
    assert_eq!(session.closed(), Some(CloseReason::ForcedClose));
    // Nothing is queued, and a GET waits.
    let mut session = self::session(Version::V4, Transport::Polling, now);
    assert_eq!(get(&mut session), None);
    session.close(CloseReason::ForcedClose, false, now);
    assert_eq!(answer(&mut session).as_deref(), Some("1"));
    assert_eq!(session.closed(), Some(CloseReason::ForcedClose));
}

#[test]
fn what_was_queued_before_the_end_moves_with_the_session() {
    let now = Instant::now();
    let mut session = session(Version::V4, Transport::Polling, now);
    let id = session.handle_candidate(now).unwrap();
    session.handle_get().unwrap();
    session.handle_candidate_packet(id, Some(&Packet::text(PacketType::Ping, "probe")), now);
    session.handle_timeout(now + NOOP_INTERVAL);
    // The GET is released, and the answer is not under way yet.
    session.send(&[Message::text("x")]).unwrap();
    session.close(CloseReason::ForcedClose, false, now);
    assert!(session.has_candidate(id));
    assert_eq!(answer(&mut session).as_deref(), Some("6"));
    let upgrade = Packet::empty(PacketType::Upgrade);
    assert_eq!(session.handle_candidate_packet(id, Some(&upgrade), now), CandidateStep::Upgraded);
    assert_eq!(frames(&mut session), [PacketType::Message]);
    assert_eq!(session.closed(), None);
    assert_eq!(frames(&mut session), []);
    assert_eq!(session.closed(), Some(CloseReason::ForcedClose));
}

#[test]
fn the_end_waits_until_a_websocket_has_written_what_it_took() {
    let now = Instant::now();
    let mut session = session(Version::V4, Transport::Websocket, now);
    session.send(&[Message::text("x")]).unwrap();
    assert_eq!(frames(&mut session), [PacketType::Message]);
    session.handle_blocked(true);
    session.close(CloseReason::ForcedClose, false, now);
    assert_eq!(session.closed(), None);
    assert!(session.has_frames());
    // To ask for more says that all has been written.
    assert_eq!(frames(&mut session), []);
    assert_eq!(session.closed(), Some(CloseReason::ForcedClose));
    // It is not waited for without end.
    let mut session = self::session(Version::V4, Transport::Websocket, now);
    session.close(CloseReason::ForcedClose, false, now);
    session.handle_timeout(now + CLOSE_TIMEOUT);
    assert_eq!(session.closed(), Some(CloseReason::ForcedClose));
}

#[test]
fn a_websocket_sends_what_waits_before_it_ends() {
    let now = Instant::now();
    let mut session = session(Version::V4, Transport::Websocket, now);
    session.send(&[Message::text("x")]).unwrap();
    session.close(CloseReason::ForcedClose, false, now);
    assert!(session.has_frames());
    assert_eq!(frames(&mut session), [PacketType::Message]);
    assert_eq!(session.closed(), None);
    assert_eq!(frames(&mut session), []);
    assert_eq!(session.closed(), Some(CloseReason::ForcedClose));
}

#[test]
fn an_upgrade_releases_polls_and_takes_what_waits_along() {
    let start = Instant::now();
    let mut session = session(Version::V4, Transport::Polling, start);
    let id = session.handle_candidate(start).unwrap();
    assert_eq!(session.handle_candidate(start), None);
    let probe = Packet::text(PacketType::Ping, "probe");
    assert_eq!(session.handle_candidate_packet(id, Some(&probe), start), CandidateStep::Pong);
    for n in 1..4 {
        assert_eq!(get(&mut session), None);
        let at = start + n * NOOP_INTERVAL;
        assert_eq!(session.poll_deadline(), Some(at));
        session.handle_timeout(at);
        assert_eq!(answer(&mut session).as_deref(), Some("6"));
    }
    session.send(&[Message::text("x")]).unwrap();
    let upgrade = Packet::empty(PacketType::Upgrade);
    assert_eq!(session.handle_candidate_packet(id, Some(&upgrade), start), CandidateStep::Upgraded);
    assert_eq!(session.transport(), Transport::Websocket);
    assert_eq!(frames(&mut session), [PacketType::Message]);
    assert_eq!(session.handle_candidate(start), None);
    assert_eq!(session.poll_deadline(), Some(start + 25 * SECOND));
}

#[test]
fn a_poll_that_waits_when_the_session_moves_is_released() {
    let now = Instant::now();
    let mut session = session(Version::V4, Transport::Polling, now);
    let id = session.handle_candidate(now).unwrap();
    assert_eq!(get(&mut session), None);
    let upgrade = Packet::empty(PacketType::Upgrade);
    session.handle_candidate_packet(id, Some(&upgrade), now);
    session.send(&[Message::text("x")]).unwrap();
    assert_eq!(answer(&mut session).as_deref(), Some("6"));
    assert_eq!(frames(&mut session), [PacketType::Message]);
    // A poll that is left now says nothing about the session.
    session.handle_get_lost();
    assert!(session.is_open());
}

#[test]
fn a_pong_that_was_due_before_an_upgrade_is_due_after_it() {
    let start = Instant::now();
    let mut session = session(Version::V4, Transport::Polling, start);
    let id = session.handle_candidate(start + 24 * SECOND).unwrap();
    session.handle_timeout(start + 25 * SECOND);
    let upgrade = Packet::empty(PacketType::Upgrade);
    session.handle_candidate_packet(id, Some(&upgrade), start + 30 * SECOND);
    assert_eq!(session.poll_deadline(), Some(start + 50 * SECOND));
    session.handle_timeout(start + 50 * SECOND);
    assert_eq!(session.closed(), Some(CloseReason::PingTimeout));
}

#[test]
fn candidates_are_dismissed_alone() {
    let start = Instant::now();
    let mut session = session(Version::V4, Transport::Polling, start);
    for packet in [None, Some(&Packet::text(PacketType::Message, "x")), Some(&Packet::empty(PacketType::Ping))] {
        let id = session.handle_candidate(start).unwrap();
        assert_eq!(session.handle_candidate_packet(id, packet, start), CandidateStep::Dismissed);
        assert!(!session.has_candidate(id));
        // What it says later is nobody's.
        let upgrade = Packet::empty(PacketType::Upgrade);
        assert_eq!(session.handle_candidate_packet(id, Some(&upgrade), start), CandidateStep::Dismissed);
    }
    let id = session.handle_candidate(start).unwrap();
    session.handle_timeout(start + 10 * SECOND);
    assert!(!session.has_candidate(id));
    assert!(session.is_open());
    let id = session.handle_candidate(start).unwrap();
    session.handle_garbage();
    assert!(!session.has_candidate(id));
    assert_eq!(session.handle_candidate(start), None);
}

#[test]
fn bodies_take_the_form_that_the_client_takes() {
    let now = Instant::now();
    let batch = |version| {
        let mut session = session(version, Transport::Polling, now);
        session.send(&[Message::text("a\"ß\u{2028}"), Message::binary(&[1, 2])]).unwrap();
        session.handle_get().unwrap();
        session.poll_get().unwrap()
    };
    let text = |body: PollBody| (body.content_type, String::from_utf8(body.bytes).unwrap());
    let v4 = text(write_body(Version::V4, &batch(Version::V4), true, None));
    assert_eq!(v4, ("text/plain; charset=UTF-8", "4a\"ß\u{2028}\u{1e}bAQI=".to_owned()));
    let script = text(write_body(Version::V4, &batch(Version::V4), true, Some("1x2")));
    assert_eq!(script.1, r#"___eio[12]("4a\"ß\u2028\u001ebAQI=");"#);
    let v3 = text(write_body(Version::V3, &batch(Version::V3), false, None));
    assert_eq!(v3, ("text/plain; charset=UTF-8", "5:4a\"ß\u{2028}6:b4AQI=".to_owned()));
    let v3 = write_body(Version::V3, &batch(Version::V3), true, None);
    assert_eq!(v3.content_type, "application/octet-stream");
    assert_eq!(v3.bytes, b"\x00\x08\xff4a\"\xc3\x9f\xe2\x80\xa8\x01\x03\xff\x04\x01\x02");
}

#[test]
fn a_form_field_loses_one_escape() {
    for (field, text) in [
        ("", ""),
        ("a b", "a b"),
        (r"a\nb", "a\nb"),
        (r"a\\nb", r"a\nb"),
        (r"a\\\nb", r"a\\nb"),
        (r"\\n\n", "\\n\n"),
        (r"\", r"\"),
        (r#"4["\"ß\""]"#, r#"4["\"ß\""]"#),
    ] {
        assert_eq!(read_form(field), text, "{field}");
    }
}
