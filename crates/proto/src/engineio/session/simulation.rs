//! A client machine against the server machine, by seeds: delays, upgrades at any moment, and faults.
//!
//! Both sides number their messages. Whatever happens, each side sees those of the other in order, without a gap and
//! without one twice; without a fault all of them arrive; and every session ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::engineio::packet::{Data, Packet};
use crate::engineio::payload;

mod faults;
mod transports;

use faults::{FAULTS, Fault};

/// How many packets may wait in these sessions.
const MAX_QUEUED: usize = 200;

/// A generator of numbers that are random enough (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Get {
    No,
    Asked,
    /// The answer is on its way.
    Answered(String),
}

#[derive(Debug, PartialEq, Eq)]
enum Post {
    No,
    /// The head has arrived.
    Under(String),
    Answered,
}

#[derive(Debug, PartialEq, Eq)]
enum Moves {
    No,
    Connected(CandidateId),
    Probing(CandidateId),
    /// Waits for its GET and its POST to end.
    Pausing(CandidateId),
    Moved,
}

struct World {
    random: Random,
    fault: Fault,
    now: Instant,
    session: Session,
    // The application of the server.
    sent: u32,
    received: u32,
    // The client.
    version: Version,
    is_alive: bool,
    get: Get,
    post: Post,
    moves: Moves,
    outbox: Vec<String>,
    client_sent: u32,
    client_received: u32,
    /// What the WebSocket has been given and not written.
    unwritten: VecDeque<String>,
    to_client: VecDeque<String>,
    to_server: VecDeque<String>,
    candidate_answers: VecDeque<&'static str>,
    pings_at: Instant,
    was_told: bool,
}

impl World {
    fn new(seed: u64, version: Version, fault: Fault) -> Self {
        let config = Arc::new(Config {
            ping_interval: Duration::from_millis(300),
            ping_timeout: Duration::from_millis(200),
            upgrade_timeout: Duration::from_millis(1000),
            max_payload_bytes: 1000,
            max_queued_messages: MAX_QUEUED,
            max_queued_bytes: 1 << 20,
        });
        let now = Instant::now();
        let sid = Sid::parse("simulated").unwrap();
        Self {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            fault,
            now,
            session: Session::new(config, version, Transport::Polling, &sid, true, None, now),
            sent: 0,
            received: 0,
            version,
            is_alive: true,
            get: Get::No,
            post: Post::No,
            moves: Moves::No,
            outbox: Vec::new(),
            client_sent: 0,
            client_received: 0,
            unwritten: VecDeque::new(),
            to_client: VecDeque::new(),
            to_server: VecDeque::new(),
            candidate_answers: VecDeque::new(),
            pings_at: now + Duration::from_millis(300),
            was_told: false,
        }
    }

    /// Numbers that say where they come from; some of the server's are bytes.
    fn server_message(number: u32) -> Message {
        if number % 5 == 4 { Message::binary(&number.to_be_bytes()) } else { Message::text(&format!("s{number}")) }
    }

    fn client_takes(&mut self, packet: &Packet<'_>) {
        let number = match (&packet.kind, &packet.data) {
            (PacketType::Message, Data::Text(text)) => text.strip_prefix('s').unwrap().parse().unwrap(),
            (PacketType::Message, Data::Binary(bytes)) => u32::from_be_bytes(bytes[..].try_into().unwrap()),
            (PacketType::Ping, _) if self.version == Version::V4 => return self.outbox.push("3".to_owned()),
            (PacketType::Close, _) => {
                self.was_told = true;
                return;
            }
            _ => return,
        };
        assert_eq!(number, self.client_received, "the client lost a message or got one twice");
        self.client_received += 1;
    }

    fn server_takes(&mut self, packet: &Packet<'_>) {
        if !self.session.handle_packet(packet.kind, self.now) {
            return;
        }
        let Data::Text(text) = &packet.data else { panic!("no text") };
        assert_eq!(text.strip_prefix('c').unwrap().parse(), Ok(self.received), "the server lost a message");
        self.received += 1;
    }

    fn body(&self, packets: &[String]) -> String {
        match self.version {
            Version::V4 => packets.join("\u{1e}"),
            Version::V3 => packets.iter().map(|packet| format!("{}:{packet}", packet.len())).collect(),
        }
    }

    fn read_body(&mut self, body: &str, mut take: impl FnMut(&mut Self, &Packet<'_>)) {
        for packet in payload::read(self.version, payload::Body::Text(body)).unwrap() {
            take(self, &packet.unwrap());
        }
    }

    /// Lets one thing happen.
    fn step(&mut self, with_traffic: bool) {
        match self.random.below(12) {
            0 if with_traffic => {
                for _ in 0..=self.random.below(3) {
                    if self.session.send(&[Self::server_message(self.sent)]).is_ok() {
                        self.sent += 1;
                    }
                }
            }
            1 if with_traffic && self.is_alive && !self.was_told => {
                self.outbox.push(format!("4c{}", self.client_sent));
                self.client_sent += 1;
            }
            2 | 3 => {
                let time = Duration::from_millis(self.random.below(6));
                self.pass(time);
            }
            4 => self.begin_get(),
            5 => self.begin_post(),
            6 => self.end_post(),
            7 => self.end_get(),
            8 => self.upgrade(),
            9 => self.websocket_to_client(),
            10 => self.websocket_to_server(),
            _ => self.server_writes(),
        }
        assert!(self.session.outbox.len() <= MAX_QUEUED + 1);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.session.poll_deadline().is_some_and(|at| self.now >= at) {
            self.session.handle_timeout(self.now);
        }
        if self.version == Version::V3 && self.is_alive && self.now >= self.pings_at {
            self.pings_at = self.now + Duration::from_millis(300);
            self.outbox.push("2".to_owned());
        }
    }
}

/// Returns whether the fault has come about.
fn run(seed: u64, version: Version, fault: Fault) -> bool {
    let mut world = World::new(seed, version, fault);
    let breaks_after = match fault {
        // A step of an upgrade may be over soon, and so may be polling.
        Fault::ServerClosesAt(_) => 0,
        Fault::AbortedGet | Fault::AbortedPost | Fault::DoubledGet | Fault::DoubledPost => world.random.below(60),
        _ => world.random.below(1500),
    };
    let mut is_broken = false;
    for n in 0..2500 {
        world.step(n < 1800);
        is_broken |= !is_broken && n >= breaks_after && world.break_something();
    }
    // What is under way arrives; the client does what clients do.
    for _ in 0..1500 {
        world.step(false);
    }
    match fault {
        Fault::Nothing | Fault::BadCandidate => {
            assert_eq!(world.session.closed(), None);
            assert_eq!(world.client_received, world.sent);
            assert_eq!(world.received, world.client_sent);
            assert!(world.sent > 20 && world.received > 20, "nothing happened");
        }
        Fault::AbortedGet | Fault::AbortedPost if is_broken => {
            assert_eq!(world.session.closed(), Some(CloseReason::TransportError));
        }
        Fault::ServerCloses | Fault::ServerClosesAt(_) if is_broken => {
            assert_eq!(world.session.closed(), Some(CloseReason::ForcedClose));
            assert_eq!(world.client_received, world.sent, "what waited was to leave first");
        }
        _ => {}
    }
    // Without a client every session ends.
    world.is_alive = false;
    let mut passed = Duration::ZERO;
    while world.session.closed().is_none() {
        world.pass(Duration::from_millis(50));
        passed += Duration::from_millis(50);
        assert!(passed < CLOSE_TIMEOUT + Duration::from_secs(2), "a session that does not end");
    }
    assert_eq!(world.session.poll_deadline(), None);
    assert!(world.session.candidate.is_none());
    is_broken
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order_and_every_session_ends() {
    for fault in FAULTS {
        let mut broken = 0;
        for seed in 0..60 {
            for version in [Version::V4, Version::V3] {
                match std::panic::catch_unwind(|| run(seed, version, fault)) {
                    Ok(is_broken) => broken += usize::from(is_broken),
                    Err(panic) => {
                        eprintln!("seed {seed}, {version:?}, {fault:?}");
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        }
        let expected = !matches!(fault, Fault::Nothing | Fault::BadCandidate);
        assert!(broken >= 40 || !expected, "{fault:?} has come about {broken} times of 120");
    }
}
