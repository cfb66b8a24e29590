//! A client and a server that talk to each other in random order, from a seed, with garbage now and then.
//!
//! The client keeps the rules, so the server may never hang up on it; what is said must arrive as it was said, in order,
//! and is passed over only if the server has put the client out. Garbage may make the server hang up, and nothing else.

use std::collections::VecDeque;

use super::*;
use crate::engineio::message::Message;

/// A small generator of random numbers, so that a seed is a whole run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn bytes(&mut self, limit: u64) -> Vec<u8> {
        (0..self.below(limit)).map(|_| self.below(256) as u8).collect()
    }
}

/// What a client believes of a namespace.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Belief {
    Out,
    Asked,
    In,
    /// Has left by itself, and asks again only when nothing is on its way any more: the two cannot be told apart.
    Left,
}

const NAMES: [&str; 4] = ["/", "/a", "/größe", "/b"];

struct Run {
    random: Random,
    parser: Parser,
    version: Version,
    server: Connection,
    client: Decoder,
    beliefs: [Belief; 4],
    /// With whether the message is the last of an event.
    to_server: VecDeque<(Message, bool)>,
    to_client: VecDeque<Message>,
    /// Events on their way to the server.
    said: VecDeque<(usize, Option<u64>, Arguments)>,
    /// Answers on their way to the client.
    answered: VecDeque<(usize, u64, Arguments)>,
    /// How many events have arrived, to see that the run is worth something.
    arrived: usize,
}

impl Run {
    fn new(seed: u64, parser: Parser, version: Version) -> Self {
        let server = Connection::new(parser, version, Limits::default(), Instant::now());
        let mut run = Self {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            parser,
            version,
            server,
            client: Decoder::new(parser, 10),
            beliefs: [Belief::Out; 4],
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            said: VecDeque::new(),
            answered: VecDeque::new(),
            arrived: 0,
        };
        if let Some(received) = run.server.handle_open() {
            run.beliefs[0] = Belief::Asked;
            run.take(received);
        }
        run
    }

    fn arguments(&mut self) -> Arguments {
        let number = self.random.below(1 << 40);
        let text = format!("\"größe\\ {}\u{1f980}\n", self.random.below(9));
        let mut bytes = || Bytes::from(self.random.bytes(40));
        let (one, two) = (bytes(), bytes());
        match self.random.below(4) {
            0 => Arguments::event("e", &()),
            1 => Arguments::event(&text, &(number, &text, serde_json::json!({ "a": [1.5, null, -3, true] }))),
            2 => Arguments::event("bytes", &(one, vec![two])),
            _ => Arguments::event("both", &(text, one, number)),
        }
        .unwrap()
    }

    /// Lets the client do something that it may.
    fn client_acts(&mut self) {
        let place = self.random.below(4) as usize;
        let name = NAMES[place];
        match (self.beliefs[place], self.random.below(8)) {
            (Belief::Out, 0..4) if self.version == Version::V4 || place != 0 => {
                self.beliefs[place] = Belief::Asked;
                let auth = serde_json::json!({ "token": 1 });
                let auth = (self.random.below(2) == 0).then_some(&auth);
                self.client_sends(self.parser.encode_control(Kind::Connect, name, auth), false);
            }
            (Belief::In, 0) => {
                self.beliefs[place] = Belief::Left;
                self.client_sends(self.parser.encode(Kind::Disconnect, name, None, None), false);
            }
            (Belief::In, _) => {
                let arguments = self.arguments();
                let id = (self.random.below(2) == 0).then(|| self.random.below(1 << 53));
                self.client_sends(self.parser.encode(Kind::Event, name, id, Some(&arguments)), true);
                self.said.push_back((place, id, arguments));
            }
            (Belief::Left, _) if self.to_server.is_empty() && self.to_client.is_empty() => {
                self.beliefs[place] = Belief::Out;
            }
            _ => {}
        }
    }

    fn client_sends(&mut self, messages: Vec<Message>, is_event: bool) {
        let last = messages.len() - 1;
        self.to_server.extend(messages.into_iter().enumerate().map(|(place, part)| (part, is_event && place == last)));
    }

    /// Lets the server do something by itself.
    fn server_acts(&mut self) {
        let place = self.random.below(4) as usize;
        let name = NAMES[place];
        if !self.server.is_joined(name) {
            return;
        }
        if self.random.below(6) == 0 {
            self.server.handle_left(name);
            self.to_client.extend(self.parser.encode(Kind::Disconnect, name, None, None));
        } else {
            self.answer(place, 5);
        }
    }

    fn answer(&mut self, place: usize, id: u64) {
        let values = self.arguments();
        self.to_client.extend(self.parser.encode(Kind::Ack, NAMES[place], Some(id), Some(&values)));
        self.answered.push_back((place, id, values));
    }

    fn server_reads(&mut self) {
        let Some((message, is_event)) = self.to_server.pop_front() else { return };
        let received = if message.is_binary() {
            self.server.handle_binary(Bytes::copy_from_slice(message.payload()), Instant::now())
        } else {
            self.server.handle_text(std::str::from_utf8(&message.payload()[1..]).unwrap(), Instant::now())
        };
        match received {
            Ok(Some(received)) => self.take(received),
            Ok(None) if is_event => {
                let (place, ..) = self.said.pop_front().unwrap();
                assert!(!self.server.is_joined(NAMES[place]), "an event is lost");
            }
            Ok(None) => {}
            Err(error) => panic!("the server hangs up: {error}"),
        }
    }

    fn take(&mut self, received: Received) {
        let place = |namespace: &str| NAMES.iter().position(|name| *name == namespace).unwrap();
        match received {
            Received::Connect { namespace, .. } => {
                if self.random.below(4) == 0 && self.version == Version::V4 {
                    self.server.handle_left(&namespace);
                    let error = serde_json::json!({ "message": "no" });
                    self.to_client.extend(self.parser.encode_control(Kind::ConnectError, &namespace, Some(&error)));
                } else {
                    self.server.handle_joined(&namespace);
                    let payload = serde_json::json!({ "sid": "x" });
                    let payload = (self.version == Version::V4).then_some(&payload);
                    self.to_client.extend(self.parser.encode_control(Kind::Connect, &namespace, payload));
                }
            }
            Received::Event { namespace, id, arguments } => {
                let heard = (place(&namespace), id, arguments);
                assert_eq!(self.said.pop_front().as_ref(), Some(&heard));
                self.arrived += 1;
                if let Some(id) = id {
                    self.answer(heard.0, id);
                }
            }
            Received::Ack { .. } => panic!("the server has asked nothing"),
            Received::Disconnect { namespace } => assert!(!self.server.is_joined(&namespace)),
        }
    }

    fn client_reads(&mut self) {
        let Some(message) = self.to_client.pop_front() else { return };
        let bytes = Bytes::copy_from_slice(message.payload());
        let text = if message.is_binary() { "" } else { std::str::from_utf8(&bytes[1..]).unwrap() };
        let decoded =
            if message.is_binary() { self.client.handle_binary(&bytes) } else { self.client.handle_text(text) };
        let Some(packet) = decoded.unwrap() else { return };
        let place = NAMES.iter().position(|name| *name == packet.namespace).unwrap();
        match packet.kind {
            Kind::Connect => self.beliefs[place] = Belief::In,
            Kind::ConnectError | Kind::Disconnect if self.beliefs[place] != Belief::Left => {
                self.beliefs[place] = Belief::Out;
            }
            Kind::ConnectError | Kind::Disconnect => {}
            Kind::Ack => {
                let (answered, id, values) = self.answered.pop_front().unwrap();
                assert_eq!((answered, Some(id), Some(values)), (place, packet.id, packet.payload));
            }
            Kind::Event => panic!("the server has said nothing"),
        }
    }

    fn garbage(&mut self) {
        let bytes = self.random.bytes(30);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let digit = self.random.below(8);
        let _ = match self.random.below(3) {
            0 => self.server.handle_text(&format!("{digit}{text}"), Instant::now()),
            1 => self.server.handle_binary(bytes.into(), Instant::now()),
            _ => self.damaged(),
        };
    }

    /// Lets the server read something that the client has said, with a byte changed.
    fn damaged(&mut self) -> Result<Option<Received>, ProtocolError> {
        let arguments = self.arguments();
        let message = self.parser.encode(Kind::Event, "/", Some(7), Some(&arguments)).swap_remove(0);
        let mut payload = message.payload().to_vec();
        let place = self.random.below(payload.len() as u64) as usize;
        payload[place] = self.random.below(256) as u8;
        if message.is_binary() {
            self.server.handle_binary(payload.into(), Instant::now())
        } else {
            self.server.handle_text(String::from_utf8_lossy(&payload).get(1..).unwrap_or_default(), Instant::now())
        }
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0..3 => self.client_acts(),
            3 => self.server_acts(),
            4..8 => self.server_reads(),
            _ => self.client_reads(),
        }
    }
}

fn simulate(parser: Parser, version: Version) {
    let mut arrived = 0;
    for seed in 0..200 {
        let mut run = Run::new(seed, parser, version);
        (0..400).for_each(|_| run.step());
        arrived += run.arrived;
        // What comes from here on makes no sense, and may not be more than refused.
        (0..40).for_each(|_| run.garbage());
    }
    assert!(arrived > 1000, "only {arrived} events arrived");
}

#[test]
fn json_of_protocol_5() {
    simulate(Parser::Json, Version::V4);
}

#[test]
fn json_of_protocol_4() {
    simulate(Parser::Json, Version::V3);
}

#[test]
fn msgpack_of_protocol_5() {
    simulate(Parser::Msgpack, Version::V4);
}

#[test]
fn msgpack_of_protocol_4() {
    simulate(Parser::Msgpack, Version::V3);
}
