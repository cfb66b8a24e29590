use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use limpet_proto::socketio::arguments::Arguments;
use serde_json::{Value, json};

use super::*;
use crate::adapter::Adapter;
use crate::cluster::{Cluster, ClusterOptions, OnAck, Reply};
use crate::envelope::SocketInfo;
use crate::local::{Local, LocalOptions};
use crate::target::{Flags, Targets};

const RETENTION: Duration = Duration::from_secs(120);

/// The sockets of a node: what each of them was sent, with which offset.
#[derive(Default)]
struct Sockets {
    sockets: Mutex<Vec<Socket>>,
    fenced: Mutex<Vec<Room>>,
}

struct Socket {
    holding: Holding,
    rooms: Vec<Room>,
    data: Value,
    sent: Vec<String>,
    held: Option<Vec<(String, Stamp)>>,
}

impl Socket {
    fn take(&mut self, text: String, stamp: Stamp) {
        if let Some(held) = &mut self.held {
            held.push((text, stamp));
        } else if let Some(stamp) = self.holding.admit(stamp) {
            self.sent.push(match stamp.offset() {
                Some(_) => text,
                None => format!("{text} without"),
            });
        }
    }
}

impl Sockets {
    fn sent(&self, id: &str) -> Vec<String> {
        let mut sockets = self.sockets.lock().unwrap();
        let socket = sockets.iter_mut().find(|socket| &**socket.holding.id() == id);
        socket.map(|socket| std::mem::take(&mut socket.sent)).unwrap_or_default()
    }

    fn put(&self, holding: &Holding, rooms: &[Room], is_held: bool) {
        let (sent, held) = (Vec::new(), is_held.then(Vec::new));
        let socket = Socket { holding: holding.clone(), rooms: rooms.to_vec(), data: json!({}), sent, held };
        self.sockets.lock().unwrap().push(socket);
    }

    fn with<T>(&self, holding: &Holding, change: impl FnOnce(&mut Socket) -> T) -> T {
        change(self.sockets.lock().unwrap().iter_mut().find(|socket| socket.holding == *holding).unwrap())
    }

    fn take_out(&self, holding: &Holding) -> Option<Socket> {
        let mut sockets = self.sockets.lock().unwrap();
        let index = sockets.iter().position(|socket| socket.holding == *holding)?;
        Some(sockets.remove(index))
    }

    fn meant<'a>(sockets: &'a mut [Socket], targets: &Targets) -> impl Iterator<Item = &'a mut Socket> {
        sockets.iter_mut().filter(move |socket| {
            let is_in = |rooms: &[Room]| rooms.iter().any(|room| socket.rooms.contains(room));
            (targets.rooms.is_empty() || is_in(&targets.rooms)) && !is_in(&targets.except)
        })
    }
}

impl crate::cluster::Sockets for Sockets {
    fn broadcast(&self, arguments: &Arguments, targets: &Targets, _: Flags, stamp: Stamp) {
        let text: String = arguments.get(1).unwrap();
        Self::meant(&mut self.sockets.lock().unwrap(), targets).for_each(|socket| socket.take(text.clone(), stamp));
    }

    fn broadcast_with_ack(&self, arguments: &Arguments, targets: &Targets, _: Flags, _: &Arc<OnAck>) -> usize {
        let text: String = arguments.get(1).unwrap();
        let mut sockets = self.sockets.lock().unwrap();
        for socket in Self::meant(&mut sockets, targets) {
            socket.holding.mistake(&text);
            socket.sent.push(format!("{text}?"));
        }
        0
    }

    fn join(&self, targets: &Targets, rooms: &[Room]) {
        Self::meant(&mut self.sockets.lock().unwrap(), targets)
            .for_each(|socket| socket.rooms.extend_from_slice(rooms));
    }

    fn leave(&self, targets: &Targets, rooms: &[Room]) {
        let mut sockets = self.sockets.lock().unwrap();
        Self::meant(&mut sockets, targets).for_each(|socket| socket.rooms.retain(|room| !rooms.contains(room)));
    }

    fn disconnect(&self, targets: &Targets, _: bool) {
        Self::meant(&mut self.sockets.lock().unwrap(), targets)
            .for_each(|socket| socket.sent.push("disconnect".into()));
    }

    fn fetch(&self, _: &Targets) -> Vec<SocketInfo> {
        Vec::new()
    }

    fn rooms(&self) -> Vec<Room> {
        Vec::new()
    }

    fn server_side_emit(&self, _: &NodeId, _: Arguments, _: Option<Reply>) {}

    fn snapshot(&self, holding: &Holding) -> Option<Snapshot> {
        let sockets = self.sockets.lock().unwrap();
        let socket = sockets.iter().find(|socket| socket.holding == *holding)?;
        Some(Snapshot { rooms: socket.rooms.clone(), data: socket.data.clone() })
    }

    fn fenced(&self, holding: &Holding) {
        self.take_out(holding);
        self.fenced.lock().unwrap().push(holding.id().clone());
    }
}

struct Node {
    cluster: Arc<Cluster>,
    sockets: Arc<Sockets>,
}

impl Node {
    fn new(bus: &dyn Adapter, name: &str) -> Self {
        let sockets = Arc::new(Sockets::default());
        let weak: Weak<dyn crate::cluster::Sockets> = Arc::downgrade(&sockets) as _;
        let options = ClusterOptions { timeout: Duration::from_secs(5), recovery: Some(RETENTION) };
        let cluster = Cluster::new(name.into(), weak, options);
        cluster.join(bus, "/");
        Self { cluster, sockets }
    }

    fn recovery(&self) -> &Recovery {
        self.cluster.recovery().unwrap()
    }

    async fn connect(&self, name: &str, rooms: &[&str]) -> Holding {
        let rooms = [name].iter().chain(rooms).map(|room| Room::from(*room)).collect::<Vec<_>>();
        let snapshot = Snapshot { rooms: rooms.clone(), data: json!({}) };
        let holding = self.recovery().begin(&name.into(), &format!("secret of {name}"), None, snapshot);
        assert!(self.recovery().saved(&holding).await);
        self.sockets.put(&holding, &rooms, false);
        self.recovery().changed(&holding);
        holding
    }

    fn emit(&self, text: &str, room: &str) {
        let arguments = Arguments::event("ev", &(text,)).unwrap();
        self.cluster.broadcast(arguments, Targets::room(room), Flags::default()).unwrap();
    }

    fn cut(&self, holding: &Holding) {
        self.recovery().leaving(holding);
        let socket = self.sockets.take_out(holding).unwrap();
        self.recovery().end(holding, Some(Snapshot { rooms: socket.rooms, data: socket.data }));
    }

    /// Brings a client back: what it gets before it is told so, and its holding.
    async fn recover(&self, name: &str, offset: Option<Offset>) -> Option<(Vec<String>, Holding)> {
        let offset = offset.map(|offset| offset.to_string());
        let adoption = self.recovery().adopt(&format!("secret of {name}"), offset.as_deref()).await.unwrap()?;
        self.sockets.put(adoption.holding(), &adoption.session().rooms, true);
        let Ok(missed) = self.recovery().missed(&adoption).await else {
            self.sockets.take_out(adoption.holding());
            return None;
        };
        let texts = missed.events.iter().map(|(_, arguments)| arguments.get(1).unwrap()).collect();
        self.sockets.with(adoption.holding(), |socket| {
            let held = socket.held.take().unwrap();
            held.into_iter().for_each(|(text, stamp)| socket.take(text, stamp));
        });
        Some((texts, self.recovery().resume(adoption)?))
    }

    fn position(&self) -> Offset {
        self.recovery().position().unwrap()
    }
}

/// Lets everything be done that is due now.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_comes_back_elsewhere_with_what_it_missed() {
    let bus = Local::new();
    let (first, second) = (Node::new(&bus, "a"), Node::new(&bus, "b"));
    let holding = first.connect("me", &["room"]).await;
    first.emit("1", "room");
    second.emit("2", "room");
    assert_eq!(first.sockets.sent("me"), ["1", "2"]);
    let has = first.position();
    first.cut(&holding);
    settle().await;
    second.emit("3", "room");
    second.emit("not mine", "other");
    first.emit("4", "me");
    let (missed, holding) = second.recover("me", Some(has)).await.unwrap();
    assert_eq!((missed, holding.epoch(), holding.id().as_ref()), (vec!["3".to_owned(), "4".to_owned()], 2, "me"));
    first.emit("5", "room");
    assert_eq!(second.sockets.sent("me"), ["5"]);
    assert_eq!(first.sockets.fenced.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_dies_leaves_its_sessions_to_others() {
    let bus = Local::new();
    let (first, second) = (Node::new(&bus, "a"), Node::new(&bus, "b"));
    first.connect("me", &["room"]).await;
    let has = first.position();
    first.emit("1", "room");
    drop(first);
    second.emit("2", "room");
    let (missed, _) = second.recover("me", Some(has)).await.unwrap();
    assert_eq!(missed, ["1", "2"]);
    // It has got nothing of that, and tries again.
    let (missed, _) = second.recover("me", Some(has)).await.unwrap();
    assert_eq!(missed, ["1", "2"]);
    assert_eq!(*second.sockets.fenced.lock().unwrap(), [Room::from("me")]);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_does_not_know_that_its_client_has_gone_is_fenced() {
    let bus = Local::new();
    let (first, second) = (Node::new(&bus, "a"), Node::new(&bus, "b"));
    let holding = first.connect("me", &[]).await;
    let has = first.position();
    second.recover("me", Some(has)).await.unwrap();
    assert_eq!(*first.sockets.fenced.lock().unwrap(), [Room::from("me")]);
    assert!(!first.recovery().saved(&holding).await);
    // News that is older than what this node knows is none.
    let (_, holding) = first.recover("me", Some(has)).await.unwrap();
    assert_eq!(holding.epoch(), 3);
    for epoch in [1, 2, 3] {
        second.cluster.fence(&"a".into(), "me".into(), epoch);
    }
    assert_eq!(first.sockets.fenced.lock().unwrap().len(), 1);
    second.cluster.fence(&"a".into(), "me".into(), 4);
    assert_eq!(first.sockets.fenced.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_hears_no_fence_learns_of_it_at_the_next_save() {
    let bus = Local::new();
    let first = Node::new(&bus, "a");
    let holding = first.connect("me", &[]).await;
    let log = bus.log(RETENTION).unwrap();
    log.adopt("/", "secret of me", &"b".into()).await.unwrap().unwrap();
    first.recovery().changed(&holding);
    tokio::time::sleep(Duration::from_millis(110)).await;
    assert_eq!(*first.sockets.fenced.lock().unwrap(), [Room::from("me")]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_missed_too_much_gets_a_fresh_session() {
    let bus = Local::with_options(LocalOptions { max_events: 3, ..LocalOptions::default() });
    let node = Node::new(&bus, "a");
    let quiet = node.connect("quiet", &[]).await;
    let spoken = node.connect("spoken", &["room"]).await;
    let has = node.position();
    node.emit("0", "quiet");
    assert_eq!(node.sockets.sent("quiet"), ["0"]);
    let after = node.position();
    node.cut(&spoken);
    for text in ["1", "2", "3", "4", "5"] {
        node.emit(text, "room");
    }
    settle().await;
    assert!(node.recover("spoken", Some(has)).await.is_none());
    settle().await;
    assert!(node.recover("spoken", Some(node.position())).await.is_none(), "it is forgotten");
    // Who had nothing to miss has missed nothing, however far behind.
    node.cut(&quiet);
    let (missed, _) = node.recover("quiet", Some(after)).await.unwrap();
    assert_eq!(missed, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_node_catches_up_before_it_takes_a_client() {
    let bus = Local::new();
    let node = Node::new(&bus, "a");
    let holding = node.connect("me", &[]).await;
    node.cut(&holding);
    let ahead = Offset { millis: node.position().millis + 1000, counter: 0 };
    let later = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        node.recovery().places().finish(ahead);
    };
    let (recovered, ()) = tokio::join!(node.recover("me", Some(ahead)), later);
    let (missed, holding) = recovered.unwrap();
    assert_eq!(missed, [""; 0]);
    node.cut(&holding);
    let begin = Instant::now();
    let far = Offset { millis: u64::MAX, counter: 0 };
    assert!(node.recover("me", Some(far)).await.is_none(), "nobody waits for ever for an offset that was made up");
    assert_eq!(begin.elapsed(), CATCH_UP);
}

#[tokio::test(start_paused = true)]
async fn changes_are_saved_together_and_soon() {
    let bus = Local::new();
    let node = Node::new(&bus, "a");
    let log = bus.log(RETENTION).unwrap();
    let holding = node.connect("me", &[]).await;
    let rooms = async || {
        let adopted = log.adopt("/", "secret of me", &"a".into()).await.unwrap().unwrap();
        adopted.session.rooms.len()
    };
    tokio::time::sleep(Duration::from_millis(150)).await;
    node.sockets.with(&holding, |socket| socket.rooms.push("x".into()));
    node.recovery().changed(&holding);
    tokio::time::sleep(Duration::from_millis(60)).await;
    node.sockets.with(&holding, |socket| socket.rooms.push("y".into()));
    node.recovery().changed(&holding);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(rooms().await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_session_lives_as_long_as_its_node_and_then_for_its_time() {
    let bus = Local::new();
    let node = Node::new(&bus, "a");
    let holding = node.connect("me", &[]).await;
    tokio::time::sleep(5 * RETENTION).await;
    let has = node.position();
    node.cut(&holding);
    tokio::time::sleep(RETENTION - Duration::from_secs(1)).await;
    let (_, holding) = node.recover("me", Some(has)).await.unwrap();
    node.cut(&holding);
    tokio::time::sleep(RETENTION + Duration::from_secs(1)).await;
    assert!(node.recover("me", Some(has)).await.is_none());
    // One that left on purpose is gone at once.
    let other = node.connect("other", &[]).await;
    node.sockets.take_out(&other);
    node.recovery().end(&other, None);
    settle().await;
    assert!(node.recover("other", Some(has)).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_store_has_lost_is_saved_again() {
    let bus = Local::new();
    let node = Node::new(&bus, "a");
    let holding = node.connect("me", &[]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let lease = holding.lease().clone();
    let log = bus.log(RETENTION).unwrap();
    log.forget("/", "secret of me", &lease).await.unwrap();
    tokio::time::sleep(RETENTION / 3).await;
    let refreshed = log.refresh("/", &[("secret of me".into(), lease)]).await.unwrap();
    assert_eq!(refreshed, [crate::log::Refreshed::Kept]);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_does_reaches_the_client_in_that_order() {
    let bus = Local::new();
    let node = Node::new(&bus, "a");
    node.connect("me", &[]).await;
    node.emit("1", "me");
    let local = Flags { local: true, ..Flags::default() };
    let volatile = Flags { volatile: true, ..Flags::default() };
    let event = |text: &str| Arguments::event("ev", &(text,)).unwrap();
    node.cluster.broadcast(event("2"), Targets::room("me"), local).unwrap();
    node.cluster.broadcast(event("3"), Targets::room("me"), volatile).unwrap();
    node.emit("4", "me");
    node.cluster.join_rooms(Targets::room("me"), vec!["room".into()], Flags::default()).unwrap();
    node.emit("5", "room");
    node.cluster.leave_rooms(Targets::room("me"), vec!["room".into()], Flags::default()).unwrap();
    node.emit("not for me", "room");
    node.cluster.broadcast_confirmed(event("6"), Targets::room("me"), Flags::default()).await.unwrap();
    node.cluster.broadcast_with_ack(event("7"), Targets::room("me"), Flags::default()).await;
    node.cluster.disconnect(Targets::room("me"), true, Flags::default()).unwrap();
    assert_eq!(node.sockets.sent("me"), ["1", "2", "3", "4", "5", "6", "7?", "disconnect"]);
}

#[tokio::test(start_paused = true)]
async fn what_happens_while_a_client_is_held_back_arrives_once() {
    let bus = Local::new();
    let (first, second) = (Node::new(&bus, "a"), Node::new(&bus, "b"));
    let holding = first.connect("me", &["room"]).await;
    let has = first.position();
    first.cut(&holding);
    settle().await;
    first.emit("1", "room");
    let adoption = second.recovery().adopt("secret of me", Some(&has.to_string())).await.unwrap().unwrap();
    second.sockets.put(adoption.holding(), &adoption.session().rooms, true);
    first.emit("2", "room");
    let missed = second.recovery().missed(&adoption).await.unwrap();
    first.emit("3", "room");
    assert_eq!(missed.events.len(), 2);
    let sent = second.sockets.with(adoption.holding(), |socket| {
        let held = socket.held.take().unwrap();
        assert_eq!(held.len(), 2);
        held.into_iter().for_each(|(text, stamp)| socket.take(text, stamp));
        std::mem::take(&mut socket.sent)
    });
    assert_eq!(sent, ["3"]);
    // Whoever is fenced now hears of it when it wants to go on.
    first.recover("me", Some(has)).await.unwrap();
    assert!(second.recovery().resume(adoption).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_saves_everything() {
    let bus = Local::new();
    let node = Node::new(&bus, "a");
    let mut holdings = HashMap::new();
    for name in ["x", "y", "z"] {
        holdings.insert(name, node.connect(name, &[]).await);
    }
    for holding in holdings.values() {
        node.sockets.with(holding, |socket| socket.data = json!({"is": "new"}));
        node.cut(holding);
    }
    node.recovery().flush(Duration::from_secs(1)).await;
    let log = bus.log(RETENTION).unwrap();
    for name in holdings.keys() {
        let adopted = log.adopt("/", &format!("secret of {name}"), &"b".into()).await.unwrap().unwrap();
        assert_eq!(adopted.session.data, json!({"is": "new"}));
    }
}
