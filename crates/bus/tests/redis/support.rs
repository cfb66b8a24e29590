//! A node without sockets, which keeps what it hears.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use limpet_bus::{Adapter, Envelope, Flags, Health, Link, Message, NodeId, Receiver, Redis, RedisOptions, Targets, To};
use limpet_proto::socketio::arguments::Arguments;
use limpet_testkit::raw::RawClient;

/// How long something may take that happens by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One namespace of one node.
pub(crate) struct Node {
    pub(crate) bus: Redis,
    pub(crate) link: Box<dyn Link>,
    ear: Arc<Ear>,
}

/// Keeps what it hears.
#[derive(Default)]
pub(crate) struct Ear(Mutex<Vec<Envelope>>);

impl Receiver for Ear {
    fn receive(&self, envelope: Envelope) {
        self.0.lock().unwrap().push(envelope);
    }

    fn left(&self, _: &NodeId) {}
}

impl Ear {
    /// What was heard, as texts of arguments.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().filter_map(|envelope| text(&envelope.message)).collect()
    }

    /// How many messages were heard.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Node {
    /// Joins, and waits until Redis has agreed that this node listens.
    pub(crate) async fn join(url: &str, options: RedisOptions) -> Self {
        let bus = Redis::connect_with(url, options).await.unwrap();
        let ear = Arc::new(Ear::default());
        let link = bus.join("/", NodeId::random(), ear.clone()).unwrap();
        link.peers().await.unwrap();
        Self { bus, link, ear }
    }

    pub(crate) fn publish(&self, name: &str, rooms: &[&str]) {
        self.link.publish(To::All, event(name, rooms)).unwrap();
    }

    /// What was heard, as texts of arguments.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.ear.heard()
    }

    /// All messages that were heard.
    pub(crate) fn messages(&self) -> Vec<Envelope> {
        self.ear.0.lock().unwrap().clone()
    }

    pub(crate) fn health(&self) -> Health {
        self.bus.health()
    }

    /// Waits until exactly these events have come, in this order.
    pub(crate) async fn hears(&self, names: &[String]) {
        let expected: Vec<_> = names.iter().map(|name| format!("[\"{name}\"]")).collect();
        until(|| self.heard().len() >= expected.len()).await;
        assert_eq!(self.heard(), expected);
    }

    pub(crate) async fn is_ok(&self, is_ok: bool) {
        until(|| self.health().is_ok() == is_ok).await;
    }
}

pub(crate) fn event(name: &str, rooms: &[&str]) -> Message {
    let rooms = rooms.iter().map(|room| (*room).into()).collect();
    Message::Broadcast {
        arguments: Arguments::event(name, &()).unwrap(),
        targets: Targets { rooms, except: Vec::new() },
        flags: Flags::default(),
        request: None,
    }
}

fn text(message: &Message) -> Option<String> {
    match message {
        Message::Broadcast { arguments, .. } => Some(arguments.text().to_owned()),
        _ => None,
    }
}

pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("event {number}")).collect()
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn until(mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let end = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < end, "it does not happen: {caller}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Gives Redis a command, and returns what it answers until it closes.
pub(crate) fn ask(redis: &limpet_testkit::redis::Redis, words: &[&[u8]]) -> String {
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        command.extend_from_slice(word);
        command.extend_from_slice(b"\r\n");
    }
    command.extend_from_slice(b"QUIT\r\n");
    let mut client = RawClient::connect(redis.address).unwrap();
    client.send(&command).unwrap();
    String::from_utf8_lossy(&Bytes::from(client.read_to_end().unwrap())).into_owned()
}
