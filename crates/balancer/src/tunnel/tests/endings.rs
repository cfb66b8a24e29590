//! One entry on a reactor of the test's own: how a tunnel ends, step by step.

use mio::{Events, Interest, Poll, Token};

use super::super::berth::From;
use super::super::close::{CloseReason, Closed};
use super::super::engine::Scratch;
use super::super::entry::{Entry, Turn};
use super::*;

const TEXT_TO_CLIENT: &[u8] = &[0x81, 3, b'a', b'b', b'c'];
const CLOSE_FROM_CLIENT: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
const CLOSE_TO_CLIENT: &[u8] = &[0x88, 2, 0x03, 0xe8];
const GOODBYE: &[u8] = &[0x88, 2, 0x03, 0xe9];

struct Driven {
    entry: Entry,
    poll: Poll,
    events: Events,
    scratch: Scratch,
    client: TcpStream,
    endpoint: TcpStream,
    ended: Option<CloseReason>,
}

impl Driven {
    fn new() -> Self {
        let ((client, client_far), (endpoint, endpoint_far)) = (pair(), pair());
        for socket in [&client_far, &endpoint_far] {
            socket.set_nonblocking(true).unwrap();
        }
        let (mut entry, turn) = Entry::begin(Tunnel {
            client: client_far.into(),
            upstream: endpoint_far.into(),
            head: Vec::new(),
            to_client: None,
            to_upstream: None,
            record: record(HOUR, false),
        });
        assert_eq!(turn, Turn::Idle);
        let poll = Poll::new().unwrap();
        for (number, from) in [From::Client, From::Upstream].into_iter().enumerate() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(entry.socket(from), Token(number), interest).unwrap();
        }
        let (events, scratch) = (Events::with_capacity(8), Scratch::new());
        Self { entry, poll, events, scratch, client, endpoint, ended: None }
    }

    /// Relays until `is_done` holds.
    fn drive_until(&mut self, mut is_done: impl FnMut(&mut Self) -> bool) {
        let since = Instant::now();
        while !is_done(self) {
            assert!(since.elapsed() < PATIENCE, "it never came");
            self.poll.poll(&mut self.events, Some(Duration::from_millis(5))).unwrap();
            for event in &self.events {
                let from = if event.token() == Token(0) { From::Client } else { From::Upstream };
                let mut turn = self.entry.handle_event(from, event, &mut self.scratch);
                while turn == Turn::Again {
                    turn = self.entry.resume(&mut self.scratch);
                }
                if let Turn::End(reason) = turn {
                    self.ended.get_or_insert(reason);
                }
            }
        }
    }

    /// Relays until the tunnel ends.
    fn closed(mut self) -> Closed {
        self.drive_until(|driven| driven.ended.is_some());
        self.entry.finish(self.ended.unwrap()).1
    }

    /// Relays until the endpoint or the client has these bytes.
    fn expect(&mut self, from: From, expected: &[u8]) {
        let mut got = Vec::new();
        self.drive_until(|driven| {
            let stream = if from == From::Client { &mut driven.client } else { &mut driven.endpoint };
            stream.set_nonblocking(true).unwrap();
            let mut bytes = vec![0; expected.len() - got.len()];
            let count = stream.read(&mut bytes).unwrap_or(0);
            stream.set_nonblocking(false).unwrap();
            got.extend_from_slice(&bytes[..count]);
            got.len() == expected.len()
        });
        assert_eq!(got, expected);
    }
}

#[test]
fn the_reason_names_the_side_that_began() {
    for (first, reason) in [(From::Client, CloseReason::ClientClosed), (From::Upstream, CloseReason::UpstreamClosed)] {
        let mut driven = Driven::new();
        let (beginner, other) = match first {
            From::Client => (&driven.client, driven.endpoint.try_clone().unwrap()),
            From::Upstream => (&driven.endpoint, driven.client.try_clone().unwrap()),
        };
        beginner.shutdown(Shutdown::Write).unwrap();
        other.set_nonblocking(true).unwrap();
        driven.drive_until(|_| matches!((&other).read(&mut [0]), Ok(0)));
        other.shutdown(Shutdown::Write).unwrap();
        assert_eq!(driven.closed().reason, reason);
    }
}

#[test]
fn a_close_frame_counts_as_the_beginning() {
    let mut driven = Driven::new();
    driven.client.write_all(CLOSE_FROM_CLIENT).unwrap();
    driven.expect(From::Upstream, CLOSE_FROM_CLIENT);
    driven.endpoint.write_all(CLOSE_TO_CLIENT).unwrap();
    driven.endpoint.shutdown(Shutdown::Write).unwrap();
    let closed = driven.closed();
    assert_eq!(closed.reason, CloseReason::ClientClosed);
    assert_eq!((closed.from_client.close_code, closed.from_upstream.close_code), (Some(1000), Some(1000)));
}

#[test]
fn a_reset_is_seen_while_the_other_side_is_slow() {
    let mut driven = Driven::new();
    let client = driven.client.try_clone().unwrap();
    client.set_nonblocking(true).unwrap();
    let mut quiet_since = Instant::now();
    // The endpoint reads nothing, so in the end the client can send no more.
    driven.drive_until(|_| {
        if (&client).write(&[0; 64 * 1024]).is_ok() {
            quiet_since = Instant::now();
        }
        quiet_since.elapsed() > Duration::from_millis(200)
    });
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    driven.client = driven.endpoint.try_clone().unwrap();
    assert_eq!(driven.closed().reason, CloseReason::ClientReset);
}

#[test]
fn goodbye_waits_for_the_rest_of_a_frame_and_for_no_other_direction() {
    let mut driven = Driven::new();
    let (begun, rest) = TEXT_TO_CLIENT.split_at(3);
    driven.endpoint.write_all(begun).unwrap();
    driven.expect(From::Client, begun);
    assert_eq!(driven.entry.leave(GOING_AWAY), Turn::Idle);
    // The other direction is between two frames and need not wait.
    let mut endpoint = driven.endpoint.try_clone().unwrap();
    let at_endpoint = std::thread::spawn(move || read_to_end(&mut endpoint));
    driven.drive_until(|_| at_endpoint.is_finished());
    let frame = at_endpoint.join().unwrap();
    assert_eq!((frame[0], frame[1], frame.len()), (0x88, 0x82, 8));
    // The next frame begins in the same bytes, and is not passed on.
    driven.endpoint.write_all(&[rest, TEXT_TO_CLIENT, &[0x81]].concat()).unwrap();
    driven.expect(From::Client, &[rest, GOODBYE].concat());
    assert_eq!(driven.client.read(&mut [0]).unwrap(), 0);
    driven.client.shutdown(Shutdown::Write).unwrap();
    driven.endpoint.shutdown(Shutdown::Write).unwrap();
    assert_eq!(driven.closed().reason, CloseReason::Shutdown);
}

#[test]
fn goodbye_is_not_said_twice() {
    let mut driven = Driven::new();
    driven.endpoint.write_all(CLOSE_TO_CLIENT).unwrap();
    driven.expect(From::Client, CLOSE_TO_CLIENT);
    assert_eq!(driven.entry.leave(GOING_AWAY), Turn::Idle);
    assert_eq!(driven.entry.leave(GOING_AWAY), Turn::Idle);
    assert_eq!(read_to_end(&mut driven.client), b"");
    assert_eq!(read_to_end(&mut driven.endpoint).len(), 8);
}

#[test]
fn half_a_frame_does_not_put_the_end_off_for_ever() {
    let mut driven = Driven::new();
    driven.endpoint.write_all(&TEXT_TO_CLIENT[..2]).unwrap();
    driven.expect(From::Client, &TEXT_TO_CLIENT[..2]);
    assert_eq!(driven.entry.leave(GOING_AWAY), Turn::Idle);
    assert_eq!(driven.entry.expired(crate::table::Seconds(60)), Some(CloseReason::Shutdown));
}

#[test]
fn a_tunnel_that_begins_too_late_ends_at_once() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(tokio::runtime::LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let engine = Engine::new(shared()).unwrap();
        engine.close_all(GOING_AWAY, Duration::ZERO).await;
        let ((mut client, client_far), (endpoint, endpoint_far)) = (pair(), pair());
        for socket in [&client_far, &endpoint_far] {
            socket.set_nonblocking(true).unwrap();
        }
        engine.adopt(Tunnel {
            client: client_far.into(),
            upstream: endpoint_far.into(),
            head: b"HTTP/1.1 101 \r\n\r\n".to_vec(),
            to_client: None,
            to_upstream: None,
            record: record(HOUR, false),
        });
        // Nobody relays: all was sent when the tunnel was adopted.
        assert_eq!(read_to_end(&mut client), [b"HTTP/1.1 101 \r\n\r\n", GOODBYE].concat());
        drop(endpoint);
    });
}

#[test]
fn a_tunnel_waits_once_among_those_that_continue() {
    let mut driven = Driven::new();
    let endpoint = driven.endpoint.try_clone().unwrap();
    endpoint.set_nonblocking(true).unwrap();
    while (&endpoint).write(&[0; 64 * 1024]).is_ok() {}
    driven.entry.continued = true;
    let mut passed = [0];
    driven.client.set_nonblocking(true).unwrap();
    driven.poll.poll(&mut driven.events, Some(PATIENCE)).unwrap();
    for event in &driven.events {
        let from = if event.token() == Token(0) { From::Client } else { From::Upstream };
        assert_eq!(driven.entry.handle_event(from, event, &mut driven.scratch), Turn::Idle);
    }
    assert!(driven.client.read(&mut passed).is_err(), "it read before its turn");
    driven.entry.continued = false;
    assert_eq!(driven.entry.resume(&mut driven.scratch), Turn::Again);
}

#[test]
fn what_comes_after_the_budget_of_a_turn_passes_in_the_next() {
    let mut driven = Driven::new();
    driven.endpoint.write_all(TEXT_TO_CLIENT).unwrap();
    driven.client.set_nonblocking(true).unwrap();
    let mut is_announced = false;
    while !is_announced {
        driven.poll.poll(&mut driven.events, Some(PATIENCE)).unwrap();
        for event in &driven.events {
            let from = if event.token() == Token(0) { From::Client } else { From::Upstream };
            is_announced |= from == From::Upstream && event.is_readable();
            assert_eq!(driven.entry.note_event(from, event), Turn::Again);
        }
    }
    assert!(driven.client.read(&mut [0]).is_err(), "it read before its turn");
    assert_eq!(driven.entry.resume(&mut driven.scratch), Turn::Idle);
    driven.client.set_nonblocking(false).unwrap();
    assert_eq!(read_exact(&mut driven.client, TEXT_TO_CLIENT.len()), TEXT_TO_CLIENT);
    assert_eq!(driven.scratch.spent, TEXT_TO_CLIENT.len());
}
