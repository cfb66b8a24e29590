//! Nodes that note what they get, and commands to the Redis below them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use limpet_bus::adapter::Receiver;
use limpet_bus::{Adapter, Envelope, Flags, Link, Message, NodeId, Offset, Streams, StreamsOptions, Targets, To};
use limpet_proto::socketio::arguments::Arguments;
use limpet_testkit::redis::Redis;
use redis::{Cmd, FromRedisValue};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// One node in one namespace.
pub(crate) struct Node {
    pub(crate) bus: Streams,
    pub(crate) id: NodeId,
    pub(crate) link: Box<dyn Link>,
    got: mpsc::UnboundedReceiver<Envelope>,
    places: Arc<Mutex<Vec<Offset>>>,
}

struct Ear {
    got: mpsc::UnboundedSender<Envelope>,
    places: Arc<Mutex<Vec<Offset>>>,
}

impl Receiver for Ear {
    fn receive(&self, envelope: Envelope) {
        self.places.lock().unwrap().extend(envelope.offset);
        self.got.send(envelope).ok();
    }

    fn advance(&self, offset: Offset) {
        self.places.lock().unwrap().push(offset);
    }

    fn left(&self, _: &NodeId) {}
}

impl Node {
    pub(crate) async fn start(redis: &Redis, namespace: &str) -> Self {
        Self::start_with(redis, namespace, StreamsOptions::default()).await
    }

    pub(crate) async fn start_with(redis: &Redis, namespace: &str, options: StreamsOptions) -> Self {
        Self::join(&Streams::connect_with(&redis.url(), options).await.unwrap(), namespace)
    }

    pub(crate) fn join(bus: &Streams, namespace: &str) -> Self {
        let (sender, got) = mpsc::unbounded_channel();
        let places = Arc::<Mutex<Vec<Offset>>>::default();
        let id = NodeId::random();
        let ear = Arc::new(Ear { got: sender, places: places.clone() });
        let link = bus.join(namespace, id.clone(), ear).unwrap();
        Self { bus: bus.clone(), id, link, got, places }
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Envelope {
        timeout(LIMIT, self.got.recv()).await.expect("a message").unwrap()
    }

    /// The text of the next message, which is an event.
    pub(crate) async fn text(&mut self) -> String {
        text(&self.next().await.message)
    }

    pub(crate) fn has_message(&self) -> bool {
        !self.got.is_empty()
    }

    /// The places of which the node has heard, in their order.
    pub(crate) fn places(&self) -> Vec<Offset> {
        self.places.lock().unwrap().clone()
    }

    pub(crate) fn emit(&self, what: impl ToString) {
        self.link.publish(To::All, event(what)).unwrap();
    }

    pub(crate) async fn emit_surely(&self, what: impl ToString) {
        timeout(LIMIT, self.link.publish_confirmed(To::All, event(what))).await.unwrap().unwrap();
    }
}

/// The event `["n", what]` for everybody.
pub(crate) fn event(what: impl ToString) -> Message {
    let arguments = Arguments::event("n", &what.to_string()).unwrap();
    Message::Broadcast { arguments, targets: Targets::all(), flags: Flags::default(), request: None }
}

/// The first argument of an event.
pub(crate) fn text(message: &Message) -> String {
    let Message::Broadcast { arguments, .. } = message else { panic!("{message:?}") };
    arguments.get(1).unwrap()
}

/// A connection of the test's own.
pub(crate) struct Raw(redis::aio::MultiplexedConnection);

impl Raw {
    pub(crate) async fn connect(redis: &Redis) -> Self {
        let client = redis::Client::open(redis.url()).unwrap();
        Self(client.get_multiplexed_async_connection().await.unwrap())
    }

    pub(crate) async fn ask<T: FromRedisValue>(&mut self, command: &str) -> T {
        self.run(words(command)).await
    }

    pub(crate) async fn run<T: FromRedisValue>(&mut self, command: Cmd) -> T {
        command.query_async(&mut self.0).await.unwrap()
    }

    pub(crate) async fn pipe(&mut self, pipeline: &redis::Pipeline) {
        pipeline.query_async::<redis::Value>(&mut self.0).await.unwrap();
    }

    /// Adds an entry to the stream, and returns its place.
    pub(crate) async fn add(&mut self, fields: &[(&str, &str)]) -> Offset {
        let mut command = redis::cmd("XADD");
        command.arg("socket.io").arg("*");
        for (name, value) in fields {
            command.arg(name).arg(value);
        }
        self.run::<String>(command).await.parse().unwrap()
    }
}

fn words(command: &str) -> Cmd {
    let mut words = command.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        command.arg(word);
    });
    command
}

/// The fields of a broadcast of `["n", what]` in `/`, as Node writes them.
pub(crate) fn data(what: &str) -> String {
    format!(
        r#"{{"packet":{{"type":2,"data":["n","{what}"],"nsp":"/"}},"opts":{{"rooms":[],"except":[],"flags":{{}}}}}}"#
    )
}
