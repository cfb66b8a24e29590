//! What each socket can be asked for. The list is at the head of `tests/peers/node/features.js`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use limpet_proto::engineio::Transport;
use limpet_server::{Ack, Broadcast, DisconnectReason, Event, RemoteSocket, Socket};
use rmpv::Value;
use serde::ser::{Serialize, SerializeTuple as _, Serializer};
use serde::{Deserialize, Serialize as Derive};

use crate::same::Same;

/// What the servers of this process know in common.
#[derive(Default)]
pub(crate) struct Shared {
    /// Why sockets went away, by the key that they had themselves remembered by.
    pub(crate) reasons: Mutex<HashMap<String, Reason>>,
    /// The refused requests.
    pub(crate) errors: Mutex<Vec<Refused>>,
}

/// Why a socket went away, and where it was then.
#[derive(Clone, Derive)]
pub(crate) struct Reason {
    reason: String,
    disconnecting: String,
    rooms: Vec<String>,
}

/// A request that was refused.
#[derive(Clone, Derive)]
pub(crate) struct Refused {
    pub(crate) code: u8,
    pub(crate) message: String,
}

/// Several arguments whose number is known only at run time: written as a tuple is.
pub(crate) struct Spread(pub(crate) Vec<Value>);

impl Serialize for Spread {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for value in &self.0 {
            tuple.serialize_element(value)?;
        }
        tuple.end()
    }
}

/// Sockets to be reached: from where, in which rooms, and how.
#[derive(Deserialize)]
#[serde(default)]
struct Target {
    via: String,
    to: Vec<String>,
    except: Vec<String>,
    flags: Vec<String>,
}

impl Default for Target {
    fn default() -> Self {
        Self { via: "io".to_owned(), to: Vec::new(), except: Vec::new(), flags: Vec::new() }
    }
}

impl Target {
    fn of(self, socket: &Socket) -> Broadcast {
        let mut broadcast = if self.via == "io" { socket.namespace().all() } else { socket.broadcast() };
        if !self.to.is_empty() {
            broadcast = broadcast.to(self.to);
        }
        if !self.except.is_empty() {
            broadcast = broadcast.except(self.except);
        }
        for flag in &self.flags {
            broadcast = match flag.as_str() {
                "volatile" => broadcast.volatile(),
                "local" => broadcast.local(),
                _ => broadcast.compress(false),
            };
        }
        broadcast
    }
}

/// One room or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Rooms {
    One(String),
    Several(Vec<String>),
}

impl Rooms {
    fn names(self) -> Vec<String> {
        match self {
            Self::One(room) => vec![room],
            Self::Several(rooms) => rooms,
        }
    }
}

#[derive(Derive)]
struct Me {
    node: String,
    id: String,
    transport: String,
    namespace: String,
    rooms: Vec<String>,
}

#[derive(Derive)]
struct Found {
    id: String,
    rooms: Vec<String>,
    data: HashMap<String, serde_json::Value>,
    query: Option<serde_json::Value>,
}

#[derive(Derive)]
struct Answers {
    error: Option<&'static str>,
    answers: Vec<Value>,
}

#[derive(Derive)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Value(Value),
    Error(&'static str),
}

/// The keys of the data that clients keep with their sockets.
const KEYS: [&str; 3] = ["seen", "more", "index"];

/// Gives a socket its handlers.
pub(crate) fn serve(socket: &Socket, shared: &Arc<Shared>) {
    watch(socket);
    events(socket);
    broadcasts(socket);
    afar(socket);
    endings(socket, shared);
}

/// Handlers that see every event, and a middleware that refuses one.
fn watch(socket: &Socket) {
    let outgoing = Arc::new(Mutex::new(Vec::new()));
    let names = outgoing.clone();
    socket.on_any_outgoing(move |_: &Socket, event: &Event| lock(&names).push(event.name().into_owned()));
    socket.on("outgoing", move |_: Socket, ack: Ack| {
        let names = lock(&outgoing).clone();
        async move { drop(ack.send(names)) }
    });
    socket.on_any(|socket: Socket, event: Event| async move {
        if event.name().starts_with("any:") {
            drop(socket.emit("any-heard", (event.name(), values(&event))));
        }
    });
    socket.middleware(|event: &Event| if event.name() == "forbidden" { Err("forbidden here") } else { Ok(()) });
    socket.on_error(|socket, _, error| async move { drop(socket.emit("middleware-error", error.to_string())) });
}

/// Events between one client and the server.
fn events(socket: &Socket) {
    socket.on("whoami", |socket: Socket, ack: Ack| async move {
        let me = Me {
            node: socket.node().to_string(),
            id: socket.id().to_owned(),
            transport: if socket.transport() == Transport::Websocket { "websocket" } else { "polling" }.to_owned(),
            namespace: socket.namespace().name().to_owned(),
            rooms: rooms(&socket),
        };
        drop(ack.send(me));
    });
    socket.on("handshake", |socket: Socket, ack: Ack| async move { drop(ack.send(socket.handshake().to_json())) });
    socket.on("echo", |socket: Socket, event: Event| async move {
        drop(socket.emit("echo-back", Same(event)));
    });
    socket.on("echo-ack", |_: Socket, event: Event| async move { drop(event.ack().send(Same(event))) });
    socket.on("ask", |socket: Socket, ms: u64, event: String, args: Vec<Value>, ack: Ack| async move {
        let emitter = socket.timeout(Duration::from_millis(ms));
        let answer = match emitter.emit_with_ack::<Value>(&event, Spread(args)).await {
            Ok(value) => Answer::Value(value),
            Err(_) => Answer::Error("timeout"),
        };
        drop(ack.send(answer));
    });
    socket.on("slow", |_: Socket, ms: u64, ack: Ack| async move {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        drop(ack.send(ms));
    });
    socket.on("put", |socket: Socket, key: String, value: serde_json::Value, ack: Ack| async move {
        socket.set_data(&key, &value);
        let data = KEYS.into_iter().filter_map(|key| Some((key, socket.data::<serde_json::Value>(key)?)));
        drop(ack.send(data.collect::<HashMap<_, _>>()));
    });
    socket.on("burst", |socket: Socket, count: u32, ack: Ack| async move {
        for n in 0..count {
            drop(socket.volatile().emit("drop", n));
        }
        drop(ack.send(()));
    });
    socket.on("once", |socket: Socket, ack: Ack| async move {
        socket.off("once");
        drop(ack.send(true));
    });
    socket.on("panic", |_: Socket| async move { panic!("a handler that panics") });
}

/// Rooms, and events to many.
fn broadcasts(socket: &Socket) {
    socket.on("join", |socket: Socket, rooms: Rooms, ack: Ack| async move {
        socket.join(rooms.names());
        drop(ack.send(()));
    });
    socket.on("leave", |socket: Socket, room: String, ack: Ack| async move {
        socket.leave(room);
        drop(ack.send(()));
    });
    socket.on("cast", |socket: Socket, target: Target, event: String, args: Vec<Value>, ack: Ack| async move {
        drop(target.of(&socket).emit(&event, Spread(args)));
        drop(ack.send(true));
    });
    socket.on(
        "cast-ack",
        |socket: Socket, target: Target, ms: u64, event: String, args: Vec<Value>, ack: Ack| async move {
            let broadcast = target.of(&socket).timeout(Duration::from_millis(ms));
            let answers = match broadcast.emit_with_ack::<Value>(&event, Spread(args)).await {
                Ok(answers) => Answers { error: None, answers },
                Err(error) => Answers { error: Some("timeout"), answers: error.answers },
            };
            drop(ack.send(answers));
        },
    );
}

/// What is done with the sockets of every node, and with the other nodes.
fn afar(socket: &Socket) {
    socket.on("fetch", |socket: Socket, target: Target, ack: Ack| async move {
        let found = target.of(&socket).fetch_sockets().await;
        drop(ack.send(found.sockets.iter().map(describe).collect::<Vec<_>>()));
    });
    socket.on(
        "each",
        |socket: Socket, target: Target, operation: String, argument: serde_json::Value, ack: Ack| async move {
            let found = target.of(&socket).fetch_sockets().await;
            for remote in &found.sockets {
                let room = argument.as_str().unwrap_or_default();
                match operation.as_str() {
                    "emit" => drop(remote.emit("to-each", &argument)),
                    "join" => remote.join(room),
                    "leave" => remote.leave(room),
                    _ => remote.disconnect(argument == true),
                }
            }
            drop(ack.send(found.sockets.len()));
        },
    );
    socket.on("sockets-join", |socket: Socket, target: Target, rooms: Rooms, ack: Ack| async move {
        target.of(&socket).sockets_join(rooms.names());
        drop(ack.send(()));
    });
    socket.on("sockets-leave", |socket: Socket, target: Target, rooms: Rooms, ack: Ack| async move {
        target.of(&socket).sockets_leave(rooms.names());
        drop(ack.send(()));
    });
    socket.on("sockets-disconnect", |socket: Socket, target: Target, close: bool, ack: Ack| async move {
        target.of(&socket).disconnect_sockets(close);
        drop(ack.send(()));
    });
    socket.on("server-side", |socket: Socket, text: String, ack: Ack| async move {
        drop(socket.namespace().server_side_emit("say", (socket.node().to_string(), text)));
        drop(ack.send(true));
    });
    socket.on("server-side-ask", |socket: Socket, text: String, ack: Ack| async move {
        let arguments = (socket.node().to_string(), text);
        let answers = match socket.namespace().server_side_emit_with_ack::<Value>("ask", arguments).await {
            Ok(answers) => Answers { error: None, answers },
            Err(error) => Answers { error: Some("timeout"), answers: error.answers },
        };
        drop(ack.send(answers));
    });
}

/// How sockets go, and what is remembered of them.
fn endings(socket: &Socket, shared: &Arc<Shared>) {
    let going: Arc<Mutex<(Option<String>, Option<Reason>)>> = Arc::default();
    let own = going.clone();
    socket.on("remember", move |_: Socket, key: String, ack: Ack| {
        lock(&own).0 = Some(key);
        async move { drop(ack.send(())) }
    });
    let own = going.clone();
    socket.on_disconnecting(move |socket: Socket, reason: DisconnectReason| {
        let reason = reason.to_string();
        lock(&own).1 = Some(Reason { reason: String::new(), disconnecting: reason, rooms: rooms(&socket) });
        async {}
    });
    let known = shared.clone();
    socket.on_disconnect(move |_: Socket, reason: DisconnectReason| {
        let mut going = lock(&going);
        if let (Some(key), Some(mut seen)) = (going.0.take(), going.1.take()) {
            seen.reason = reason.to_string();
            lock(&known.reasons).insert(key, seen);
        }
        async {}
    });
    let known = shared.clone();
    socket.on("reason", move |_: Socket, key: String, ack: Ack| {
        let reason = lock(&known.reasons).get(&key).cloned();
        async move { drop(ack.send(reason)) }
    });
    socket.on("kick", |socket: Socket, close: bool| async move { socket.disconnect(close) });
    let known = shared.clone();
    socket.on("errors", move |_: Socket, ack: Ack| {
        let errors = lock(&known.errors).clone();
        async move { drop(ack.send(errors)) }
    });
}

/// Locks, whatever became of another thread that did.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn values(event: &Event) -> Vec<Value> {
    (0..event.len()).map(|index| event.get(index).unwrap_or(Value::Nil)).collect()
}

fn rooms(socket: &Socket) -> Vec<String> {
    let mut rooms: Vec<String> = socket.rooms().iter().map(|room| room.to_string()).collect();
    rooms.sort();
    rooms
}

fn describe(remote: &RemoteSocket) -> Found {
    let mut rooms: Vec<String> = remote.rooms().iter().map(|room| room.to_string()).collect();
    rooms.sort();
    let data = KEYS.into_iter().filter_map(|key| Some((key.to_owned(), remote.data(key)?))).collect();
    let query = remote.handshake().pointer("/query/name").cloned();
    Found { id: remote.id().to_owned(), rooms, data, query }
}
