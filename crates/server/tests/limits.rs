//! Clients that do not read, and clients that ask for too much: each meets its own limit, and nobody else notices.

use limpet_testkit::conformance::{Maker, Subject};
use limpet_testkit::raw::RawClient;
use limpet_testkit::raw::socketio::RawSocket;
use limpet_testkit::wait::until;

const MIB: u64 = 1 << 20;

/// A server with one client that only watches.
struct Scene {
    subject: Subject,
    watcher: RawSocket,
    began: u64,
}

impl Scene {
    fn start() -> Self {
        Self::with(&[])
    }

    fn with(options: &[&str]) -> Self {
        let subject = Subject::features(Maker::Limpet, options).expect("the server starts");
        let watcher = RawSocket::connect(subject.addresses[0]).expect("a client gets in");
        let began = subject.process.memory_bytes().expect("the server runs");
        Self { subject, watcher, began }
    }

    fn client(&self) -> RawSocket {
        RawSocket::connect(self.subject.addresses[0]).expect("a client gets in")
    }

    /// A client in the room `slow`, which from now on does not read.
    fn slow(&self) -> RawSocket {
        let mut client = self.client();
        client.ask(r#"["join",["slow"]]"#).expect("it joins");
        client
    }

    /// Sends an event of 64 KiB to the room.
    fn cast(&mut self, flags: &str) {
        let text = "x".repeat(64 << 10);
        self.watcher.ask(&format!(r#"["cast",{{"to":["slow"],"flags":[{flags}]}},"large",["{text}"]]"#)).expect("sent");
    }

    /// How many sockets are in the room.
    fn left(&mut self) -> usize {
        let found = self.watcher.ask(r#"["fetch",{"to":["slow"]}]"#).expect("an answer");
        found.matches("\"rooms\"").count()
    }

    fn grown(&self) -> u64 {
        self.subject.process.memory_bytes().expect("the server runs").saturating_sub(self.began)
    }

    /// The watcher is served, and no other socket is left.
    fn is_well(&mut self) {
        until("no client that was cut is left", || {
            self.watcher.ask(r#"["fetch",{}]"#).expect("an answer").matches("\"rooms\"").count() <= 1
        });
        assert_eq!(self.watcher.ask(r#"["echo-ack",1]"#).expect("an answer"), "[1]");
    }
}

/// Broadcasts until the room is empty, at most 128 MiB: far more than the queue and the sockets' buffers hold.
fn broadcast_until_gone(scene: &mut Scene) {
    let mut peak = 0;
    for round in 0..128 {
        for _ in 0..16 {
            scene.cast("");
        }
        peak = peak.max(scene.grown());
        if scene.left() == 0 {
            eprintln!("gone after {} MiB, memory grew by {} MiB at most", round + 1, peak / MIB);
            assert!(peak < 48 * MIB, "memory grew by {} MiB", peak / MIB);
            return;
        }
    }
    panic!("a client that does not read keeps its place after 128 MiB; memory grew by {} MiB", peak / MIB);
}

#[test]
fn a_websocket_that_does_not_read_is_disconnected() {
    let mut scene = Scene::start();
    let slow = scene.slow();
    broadcast_until_gone(&mut scene);
    drop(slow);
    scene.is_well();
}

#[test]
fn a_polling_client_that_does_not_poll_is_disconnected() {
    let mut scene = Scene::start();
    let mut client = RawClient::connect(scene.subject.addresses[0]).expect("a connection");
    let opened = client.get("/socket.io/?EIO=4&transport=polling").expect("a handshake");
    let text = opened.text();
    let sid = text.split('"').nth(3).expect("a sid").to_owned();
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    for body in ["40", r#"42["join",["slow"]]"#] {
        let head = format!("POST {target} HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: {}\r\n\r\n", body.len());
        client.send((head + body).as_bytes()).expect("it is sent");
        assert_eq!(client.response().expect("an answer").status, 200);
    }
    assert_eq!(scene.left(), 1);
    broadcast_until_gone(&mut scene);
    scene.is_well();
}

#[test]
fn volatile_events_for_a_client_that_does_not_read_are_dropped() {
    let mut scene = Scene::start();
    let mut slow = scene.slow();
    for _ in 0..512 {
        scene.cast("\"volatile\"");
    }
    assert_eq!(scene.left(), 1, "it keeps its place");
    assert!(scene.grown() < 16 * MIB, "memory grew by {} MiB", scene.grown() / MIB);
    scene.watcher.ask(r#"["cast",{"to":["slow"]},"last",[]]"#).expect("it is sent");
    let mut large = 0;
    while slow.receive().expect("what was sent arrives") != r#"42["last"]"# {
        large += 1;
    }
    assert!(large > 0 && large < 512, "{large} of 512 arrived");
}

#[test]
fn a_client_cannot_join_any_number_of_namespaces() {
    let mut scene = Scene::start();
    let mut greedy = scene.client();
    for n in 0..200 {
        if greedy.send(&format!("40/room-{n},")).is_err() {
            break;
        }
    }
    let mut joined = 0;
    while let Ok(packet) = greedy.receive() {
        joined += usize::from(packet.starts_with("40/room-"));
    }
    assert!((32..=128).contains(&joined), "it joined {joined}");
    scene.is_well();
}

/// Each question waits for an answer of the client, which never comes. The client is not read any more then, which costs
/// it the heartbeat.
#[test]
fn a_client_cannot_make_any_number_of_events_wait() {
    let mut scene = Scene::with(&["--ping-interval", "1000", "--ping-timeout", "2000"]);
    let mut greedy = scene.client();
    let padding = "x".repeat(10_000);
    for n in 0..500 {
        greedy.send(&format!(r#"42{n}["ask",60000,"never",["{padding}"]]"#)).expect("it is sent");
    }
    assert_eq!(scene.watcher.ask(r#"["echo-ack",1]"#).expect("an answer"), "[1]", "others are served");
    assert!(scene.grown() < 16 * MIB, "memory grew by {} MiB", scene.grown() / MIB);
    scene.is_well();
    drop(greedy);
}

#[test]
fn garbage_ends_its_connection_and_no_other() {
    let mut scene = Scene::start();
    let mut seed: u64 = 0x2545_f491_4f6c_dd1d;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..300 {
        let mut client = scene.client();
        let alphabet = b"0123456789[]{}\",:-/ab\\\xc3\xa4 \x1e_placeholder";
        for _ in 0..random() % 8 {
            let length = random() % 40;
            let bytes: Vec<u8> = (0..length).map(|_| alphabet[random() as usize % alphabet.len()]).collect();
            let text = format!("4{}", String::from_utf8_lossy(&bytes));
            if client.send(&text).is_err() {
                break;
            }
        }
    }
    scene.is_well();
}
