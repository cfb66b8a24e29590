use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;

use super::hear::MAX_PASSED_ON;
use super::*;
use crate::adapter::Receiver;
use crate::envelope::Envelope;
use crate::local::Local;
use crate::recovery::Stamp;

/// The sockets of a node, as far as tests look at them.
#[derive(Default)]
struct Node {
    seen: Mutex<Vec<String>>,
    clients: usize,
    /// How many of the clients answer, and how many servers' events.
    answering: usize,
    is_replying: bool,
    kept: Mutex<Vec<Arc<OnAck>>>,
}

impl Node {
    fn note(&self, text: String) {
        self.seen.lock().unwrap().push(text);
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Sockets for Node {
    fn broadcast(&self, arguments: &Arguments, targets: &Targets, _: Flags, _: Stamp) {
        self.note(format!("{} to {}", arguments.text(), targets.rooms.join(",")));
    }

    fn broadcast_with_ack(&self, arguments: &Arguments, _: &Targets, _: Flags, on_ack: &Arc<OnAck>) -> usize {
        self.note(format!("{} asks", arguments.text()));
        for client in 0..self.answering {
            on_ack(Arguments::values(&client).unwrap());
        }
        self.kept.lock().unwrap().push(on_ack.clone());
        self.clients
    }

    fn join(&self, _: &Targets, rooms: &[Room]) {
        self.note(format!("join {}", rooms.join(",")));
    }

    fn leave(&self, _: &Targets, rooms: &[Room]) {
        self.note(format!("leave {}", rooms.join(",")));
    }

    fn disconnect(&self, _: &Targets, close: bool) {
        self.note(format!("disconnect {close}"));
    }

    fn fetch(&self, _: &Targets) -> Vec<SocketInfo> {
        let info = |index: usize| SocketInfo {
            id: index.to_string().into(),
            handshake: json!({}),
            rooms: Vec::new(),
            data: json!({}),
        };
        (0..self.clients).map(info).collect()
    }

    fn rooms(&self) -> Vec<Room> {
        (0..self.clients).map(|index| format!("room {index}").into()).collect()
    }

    fn server_side_emit(&self, node: &NodeId, arguments: Arguments, reply: Option<Reply>) {
        self.note(format!("{} from {node}", arguments.text()));
        if let Some(reply) = reply
            && self.is_replying
        {
            reply.send(Arguments::values(&"yes").unwrap()).unwrap();
        }
    }
}

fn member(adapter: &dyn Adapter, name: &str, node: Node) -> (Arc<Cluster>, Arc<Node>) {
    let node = Arc::new(node);
    let sockets: Weak<dyn Sockets> = Arc::downgrade(&node) as Weak<dyn Sockets>;
    let cluster =
        Cluster::new(name.into(), sockets, ClusterOptions { timeout: Duration::from_secs(5), recovery: None });
    cluster.join(adapter, "/");
    (cluster, node)
}

fn event() -> Arguments {
    Arguments::event("ev", &(1,)).unwrap()
}

const QUIET: Flags = Flags { volatile: false, local: false, compress: true, timeout: None };

#[test]
fn what_is_done_is_done_on_every_node() {
    let bus = Local::new();
    let (first, a) = member(&bus, "a", Node::default());
    let (_second, b) = member(&bus, "b", Node::default());
    first.broadcast(event(), Targets::room("r"), QUIET).unwrap();
    first.join_rooms(Targets::all(), vec!["x".into()], QUIET).unwrap();
    first.leave_rooms(Targets::all(), vec!["x".into()], QUIET).unwrap();
    first.disconnect(Targets::all(), true, QUIET).unwrap();
    first.server_side_emit(event()).unwrap();
    let done = ["[\"ev\",1] to r", "join x", "leave x", "disconnect true"];
    assert_eq!(a.seen(), done);
    assert_eq!(b.seen(), [done.as_slice(), &["[\"ev\",1] from a"]].concat());
}

#[test]
fn what_is_local_stays_on_the_node() {
    let bus = Local::new();
    let (first, a) = member(&bus, "a", Node::default());
    let (_second, b) = member(&bus, "b", Node::default());
    let local = Flags { local: true, ..QUIET };
    first.broadcast(event(), Targets::all(), local).unwrap();
    first.join_rooms(Targets::all(), vec!["x".into()], local).unwrap();
    assert_eq!(a.seen().len(), 2);
    assert_eq!(b.seen(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn answers_of_all_nodes_are_collected_at_once() {
    let bus = Local::new();
    let (first, _a) = member(&bus, "a", Node { clients: 1, answering: 1, ..Node::default() });
    let (_second, _b) = member(&bus, "b", Node { clients: 2, answering: 2, is_replying: true, ..Node::default() });
    let (_third, _c) = member(&bus, "c", Node { is_replying: true, ..Node::default() });
    let begin = Instant::now();
    let found = first.fetch(Targets::all(), QUIET).await;
    assert_eq!((found.answers.len(), found.missing.is_empty()), (3, true));
    let rooms = first.all_rooms(QUIET).await;
    assert_eq!((rooms.answers, rooms.missing.is_empty()), (vec!["room 0".into(), "room 1".into()], true));
    let acks = first.broadcast_with_ack(event(), Targets::all(), QUIET).await;
    assert_eq!((acks.answers.len(), acks.missing, acks.missing_nodes.is_empty()), (3, 0, true));
    let replies = first.server_side_emit_with_ack(event(), None).await;
    assert_eq!((replies.answers.len(), replies.missing.is_empty()), (2, true));
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(first.requests.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn clients_that_do_not_answer_are_counted_when_the_time_is_over() {
    let bus = Local::new();
    let (first, _a) = member(&bus, "a", Node { clients: 2, answering: 1, ..Node::default() });
    let (_second, b) = member(&bus, "b", Node { clients: 3, answering: 1, ..Node::default() });
    let begin = Instant::now();
    let flags = Flags { timeout: Some(Duration::from_millis(700)), ..QUIET };
    let acks = first.broadcast_with_ack(event(), Targets::all(), flags).await;
    assert_eq!((acks.answers.len(), acks.missing, acks.missing_nodes.is_empty()), (2, 3, true));
    assert_eq!(begin.elapsed(), Duration::from_millis(700));
    // An answer that comes too late is dropped.
    let late = b.kept.lock().unwrap().pop().unwrap();
    late(Arguments::values(&1).unwrap());
    assert_eq!(first.requests.len(), 0);
}

/// An adapter whose node `mute` hears nothing, and whose other nodes are counted only, if so told.
struct Lossy {
    bus: Local,
    mute: &'static str,
    is_counting: bool,
    named: &'static [&'static str],
}

struct LossyLink {
    link: Box<dyn Link>,
    is_counting: bool,
    /// Whom it names if it is asked, and nobody else.
    named: &'static [&'static str],
}

struct Deaf;

impl Receiver for Deaf {
    fn receive(&self, _: Envelope) {}

    fn left(&self, _: &NodeId) {}
}

impl Adapter for Lossy {
    fn join(&self, namespace: &str, node: NodeId, receiver: Arc<dyn Receiver>) -> Result<Box<dyn Link>, BusError> {
        let receiver = if node.as_str() == self.mute { Arc::new(Deaf) } else { receiver };
        let link = self.bus.join(namespace, node, receiver)?;
        Ok(Box::new(LossyLink { link, is_counting: self.is_counting, named: self.named }))
    }
}

impl Link for LossyLink {
    fn publish(&self, to: To<'_>, message: Message) -> Result<(), BusError> {
        self.link.publish(to, message)
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, BusError>> {
        async move {
            match self.link.peers().await? {
                Peers::Known(nodes) if self.is_counting => Ok(Peers::Count(nodes.len())),
                peers => Ok(peers),
            }
        }
        .boxed()
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<NodeId>, BusError>> {
        std::future::ready(Ok(self.named.iter().map(|name| NodeId::from(*name)).collect())).boxed()
    }

    fn close(&self) {
        self.link.close();
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_named_after_five_seconds() {
    for is_counting in [false, true] {
        let bus = Lossy { bus: Local::new(), mute: "b", is_counting, named: &[] };
        let (first, _a) = member(&bus, "a", Node { clients: 1, answering: 1, ..Node::default() });
        let (_second, _b) = member(&bus, "b", Node { clients: 9, ..Node::default() });
        let (_third, _c) = member(&bus, "c", Node { clients: 1, answering: 1, is_replying: true, ..Node::default() });
        let missing = match is_counting {
            true => Missing { nodes: Vec::new(), unnamed: 1 },
            false => Missing { nodes: vec!["b".into()], unnamed: 0 },
        };
        let begin = Instant::now();
        let found = first.fetch(Targets::all(), QUIET).await;
        assert_eq!((found.answers.len(), &found.missing), (2, &missing));
        assert_eq!(begin.elapsed(), Duration::from_secs(5));
        let acks = first.broadcast_with_ack(event(), Targets::all(), QUIET).await;
        assert_eq!((acks.answers.len(), acks.missing, &acks.missing_nodes), (2, 0, &missing));
        let replies = first.server_side_emit_with_ack(event(), Some(Duration::from_secs(1))).await;
        assert_eq!((replies.answers.len(), &replies.missing), (1, &missing));
        assert_eq!(begin.elapsed(), Duration::from_secs(11));
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_named_if_that_is_certain() {
    let table: [(&'static [&'static str], &[&str], usize); 4] = [
        (&[], &[], 1),
        (&["b", "c"], &["b"], 0),
        // The one that does not answer has gone since it was counted.
        (&["c"], &[], 1),
        // One of them may have answered without a name.
        (&["b", "c", "d"], &[], 1),
    ];
    for (named, nodes, unnamed) in table {
        let bus = Lossy { bus: Local::new(), mute: "b", is_counting: true, named };
        let (first, _a) = member(&bus, "a", Node::default());
        let (_second, _b) = member(&bus, "b", Node::default());
        let (_third, _c) = member(&bus, "c", Node { clients: 1, answering: 1, is_replying: true, ..Node::default() });
        let missing = Missing { nodes: nodes.iter().map(|name| NodeId::from(*name)).collect(), unnamed };
        assert_eq!(first.fetch(Targets::all(), QUIET).await.missing, missing);
        assert_eq!(first.all_rooms(QUIET).await.missing, missing);
        assert_eq!(first.broadcast_with_ack(event(), Targets::all(), QUIET).await.missing_nodes, missing);
        assert_eq!(first.server_side_emit_with_ack(event(), None).await.missing, missing);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_answered_by_name_before_is_named_beside_others_who_do_not() {
    let bus = Lossy { bus: Local::new(), mute: "", is_counting: true, named: &["b", "nameless"] };
    let (first, _a) = member(&bus, "a", Node::default());
    let (_second, _b) = member(&bus, "b", Node::default());
    assert!(first.fetch(Targets::all(), QUIET).await.missing.is_empty());
    let request = first.requests.begin("q".into(), Kind::Fetch(Vec::new()), Peers::Count(2));
    first.requests.with("q", |request| request.fetched(&"answer 0".into(), Vec::new()));
    let request = request.give_up();
    assert_eq!(first.missing(&request).await, Missing { nodes: vec!["b".into()], unnamed: 0 });
}

#[tokio::test(start_paused = true)]
async fn what_other_nodes_wait_for_is_bounded() {
    let bus = Local::new();
    let (first, _a) = member(&bus, "a", Node::default());
    let flags = Flags { timeout: Some(Duration::from_secs(1 << 40)), ..QUIET };
    for request in 0..MAX_PASSED_ON + 10 {
        let message = Message::Broadcast {
            arguments: event(),
            targets: Targets::all(),
            flags,
            request: Some(request.to_string().into()),
        };
        first.receive(Envelope { node: "x".into(), namespace: "/".into(), offset: None, message });
    }
    assert_eq!(first.passed_on.lock().unwrap().len(), MAX_PASSED_ON);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_node_that_has_left() {
    for is_counting in [false, true] {
        let bus = Lossy { bus: Local::new(), mute: "b", is_counting, named: &[] };
        let (first, _a) = member(&bus, "a", Node { clients: 1, ..Node::default() });
        let (second, _b) = member(&bus, "b", Node::default());
        let begin = Instant::now();
        let leave = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            second.close();
        };
        let (found, ()) = tokio::join!(first.fetch(Targets::all(), QUIET), leave);
        assert_eq!((found.answers.len(), found.missing), (1, Missing::default()));
        assert_eq!(begin.elapsed(), Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_counts_once_however_often_it_answers() {
    let bus = Lossy { bus: Local::new(), mute: "b", is_counting: true, named: &[] };
    let (first, _a) = member(&bus, "a", Node::default());
    let (_second, _b) = member(&bus, "b", Node::default());
    let (_third, _c) = member(&bus, "c", Node { clients: 1, ..Node::default() });
    let twice = async {
        tokio::task::yield_now().await;
        let request = first.requests.any().expect("a request waits");
        first.receive(Envelope {
            node: "c".into(),
            namespace: "/".into(),
            offset: None,
            message: Message::Fetched { request, sockets: Vec::new() },
        });
    };
    let (found, ()) = tokio::join!(first.fetch(Targets::all(), QUIET), twice);
    assert_eq!((found.answers.len(), found.missing.unnamed), (1, 1));
}

/// An adapter that gives a node's own messages back.
struct Echo(Arc<AtomicUsize>);

struct EchoLink {
    node: NodeId,
    receiver: Arc<dyn Receiver>,
    closed: Arc<AtomicUsize>,
}

impl Adapter for Echo {
    fn join(&self, _: &str, node: NodeId, receiver: Arc<dyn Receiver>) -> Result<Box<dyn Link>, BusError> {
        Ok(Box::new(EchoLink { node, receiver, closed: self.0.clone() }))
    }
}

impl Link for EchoLink {
    fn publish(&self, _: To<'_>, message: Message) -> Result<(), BusError> {
        self.receiver.receive(Envelope { node: self.node.clone(), namespace: "/".into(), offset: None, message });
        Ok(())
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, BusError>> {
        std::future::ready(Ok(Peers::Known(Vec::new()))).boxed()
    }

    fn close(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn own_messages_that_come_back_are_not_taken_twice() {
    let closed = Arc::new(AtomicUsize::new(0));
    let (first, a) = member(&Echo(closed.clone()), "a", Node::default());
    first.broadcast(event(), Targets::all(), QUIET).unwrap();
    first.join_rooms(Targets::all(), vec!["x".into()], QUIET).unwrap();
    first.server_side_emit(event()).unwrap();
    assert_eq!(a.seen(), ["[\"ev\",1] to ", "join x"]);
    drop(first);
    assert_eq!(closed.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_leaves_nothing_behind() {
    let bus = Lossy { bus: Local::new(), mute: "b", is_counting: false, named: &[] };
    let (first, _a) = member(&bus, "a", Node::default());
    let (_second, _b) = member(&bus, "b", Node::default());
    let fetch = first.fetch(Targets::all(), QUIET);
    assert!(tokio::time::timeout(Duration::from_secs(1), fetch).await.is_err());
    assert_eq!(first.requests.len(), 0);
}
