use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use bytes::Bytes;
use limpet_proto::engineio::message::Message;
use limpet_proto::engineio::sid::Sid;
use limpet_proto::engineio::{Transport, Version};
use tokio::io::AsyncReadExt;

use super::*;
use crate::engine::handshake::{Facts, Handshake};
use crate::engine::{Connection, Engine, Options, Receiver};

struct Silent;

impl Application for Silent {
    type Receiver = Self;

    fn open(&self, _: &Connection, _: Arc<Handshake>) -> Self {
        Self
    }
}

impl Receiver for Silent {
    async fn message(&self, _: Incoming) {}

    fn close(&self, _: CloseReason) {}
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn open(engine: &Engine<Silent>) -> (Connection, Arc<Entry<Silent>>) {
    let facts = Facts {
        address: ([127, 0, 0, 1], 1).into(),
        version: Version::V4,
        transport: Transport::Websocket,
        secure: false,
        jsonp: false,
        base64: false,
    };
    let handshake = Arc::new(Handshake::new(&http::Request::new(()).into_parts().0.into(), facts));
    let core = Arc::new(engine.new_core(Sid::parse("abc").unwrap(), &handshake, false));
    let Ok(entry) = engine.open(Arc::clone(&core), handshake) else { panic!("the session opens") };
    (Connection(core), entry)
}

/// Whatever wakes the task of such a client, it does not wake itself again and again; and at the end all that was sent
/// leaves before the Close frame.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_costs_no_turns_and_gets_all_in_the_end() {
    let engine = Engine::new(Options::default(), Silent);
    let (connection, entry) = open(&engine);
    let (mut client, server) = tokio::io::duplex(1024);
    let mut socket = Socket::new(server, Asked::Upgrade, Version::V4, Bytes::new(), 1000, None);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut task = pin!(run(&engine.0, &entry, &mut socket));
    // As a runtime does: only when it was woken.
    waker.wake_by_ref();
    let mut turns = || {
        let mut turns = 0;
        while wakes.0.swap(0, Ordering::Relaxed) > 0 && turns < 100 {
            turns += 1;
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                break;
            }
        }
        turns
    };
    turns();
    connection.send(&[Message::text(&"a".repeat(5000))]).unwrap();
    assert!(turns() <= 2);
    connection.send(&[Message::text(&"b".repeat(5000))]).unwrap();
    assert!(turns() <= 2, "more waits behind what is not written");
    tokio::time::advance(Duration::from_secs(26)).await;
    assert!(turns() <= 3, "a ping waits as well");
    connection.close(CloseReason::ForcedClose, false);
    assert!(turns() <= 2, "the end waits");
    let mut all = Vec::new();
    let mut some = [0; 1000];
    while !all.ends_with(&[0x88, 0]) {
        let read = tokio::time::timeout(Duration::from_secs(1), client.read(&mut some)).await;
        match read.expect("the task goes on when it is read").unwrap() {
            0 => panic!("the end without a Close frame"),
            count => all.extend_from_slice(&some[..count]),
        }
        assert!(turns() <= 4);
    }
    let text = String::from_utf8_lossy(&all);
    assert!(text.contains(&"a".repeat(5000)) && text.contains(&"b".repeat(5000)));
    assert_eq!(engine.sessions(), 0);
}
