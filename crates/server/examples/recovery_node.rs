//! Servers whose clients recover, with the command line and the commands of `tests/peers/node/recovery-node.js`, so that
//! one suite judges both. Prints `listening PORT PORT ...`; the end of standard input ends it.
//!
//! `recovery_node [--redis redis://127.0.0.1:6379] [--name 0] [--nodes 2] [--run-middlewares] [--parser msgpack]
//! [--away MS] [--ping-interval MS]`
//!
//! The nodes are joined by the local bus, or by Redis Streams. Besides, `stop n` closes a node.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use limpet_bus::Streams;
use limpet_server::{
    Ack, Adapter, Broadcast, ConnectError, Event, Listening, Local, Namespace, NodeId, Options, Parser, Recovery,
    Server, Socket,
};
use rmpv::Value;
use serde::Deserialize;
use serde::ser::{Serialize, SerializeTuple as _, Serializer};
use serde_json::json;

/// What all nodes of this process know.
#[derive(Default)]
struct Known {
    banned: Mutex<HashSet<String>>,
    checks: Mutex<HashMap<String, u32>>,
    listening: Mutex<Vec<Option<Listening>>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut nodes, mut options) = (1, Options::default());
    options.engine.ping_interval = Duration::from_millis(500);
    options.engine.ping_timeout = Duration::from_millis(4000);
    let mut recovery = Recovery::default();
    let mut adapter: Arc<dyn Adapter> = Arc::new(Local::new());
    let mut first = 0;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--nodes" => nodes = value()?.parse()?,
            "--run-middlewares" => recovery.skip_middlewares = false,
            "--parser" if value()? == "msgpack" => options.parser = Parser::Msgpack,
            "--parser" => {}
            "--ping-interval" => options.engine.ping_interval = Duration::from_millis(value()?.parse()?),
            "--away" => recovery.max_disconnection = Duration::from_millis(value()?.parse()?),
            "--redis" => adapter = Arc::new(Streams::connect(&value()?).await?),
            "--name" => first = value()?.parse()?,
            "--end-with-stdin" => {}
            other => return Err(format!("unknown: {other}").into()),
        }
    }
    let known = Arc::new(Known::default());
    let mut ports = Vec::new();
    for node in first..first + nodes {
        let options = Options {
            adapter: adapter.clone(),
            node: NodeId::from(format!("{node}")),
            recovery: Some(recovery.clone()),
            ..options.clone()
        };
        let io = Server::new(options);
        for namespace in ["/", "/other"] {
            serve(&io.of(namespace), &known);
        }
        let listening = io.bind("127.0.0.1:0").await?;
        ports.push(listening.addr().port().to_string());
        lock(&known.listening).push(Some(listening));
    }
    println!("listening {}", ports.join(" "));
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name_of(socket: &Socket) -> String {
    let auth: serde_json::Value = socket.handshake().auth().unwrap_or_default();
    auth["name"].as_str().unwrap_or_default().to_owned()
}

fn serve(namespace: &Namespace, known: &Arc<Known>) {
    let own = known.clone();
    namespace.middleware(move |socket: Socket| {
        let name = name_of(&socket);
        *lock(&own.checks).entry(name.clone()).or_default() += 1;
        let is_banned = lock(&own.banned).contains(&name);
        async move { if is_banned { Err(ConnectError::new("banned")) } else { Ok(()) } }
    });
    let known = known.clone();
    namespace.on_connection(move |socket: Socket| {
        commands(&socket, &known);
        async {}
    });
}

/// Whom a command means.
#[derive(Default, Deserialize)]
#[serde(default)]
struct How {
    rooms: Vec<String>,
    except: Vec<String>,
    volatile: bool,
    local: bool,
    #[serde(rename = "self")]
    from_self: bool,
}

impl How {
    fn aim(self, socket: &Socket) -> Broadcast {
        let mut target = if self.from_self { socket.broadcast() } else { socket.namespace().all() };
        target = if self.rooms.is_empty() { target } else { target.to(self.rooms) };
        target = if self.except.is_empty() { target } else { target.except(self.except) };
        target = if self.volatile { target.volatile() } else { target };
        if self.local { target.local() } else { target }
    }
}

/// The arguments from a place on, each an argument again.
struct Rest(Event, usize);

impl Serialize for Rest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(event, first) = self;
        let mut tuple = serializer.serialize_tuple(event.len().saturating_sub(*first))?;
        for index in *first..event.len() {
            tuple.serialize_element(&event.get::<Value>(index).unwrap_or(Value::Nil))?;
        }
        tuple.end()
    }
}

fn done(ack: Ack) {
    ack.send(json!(null)).ok();
}

fn commands(socket: &Socket, known: &Arc<Known>) {
    socket.on("whoami", |socket: Socket, ack: Ack| async move {
        let mut rooms = socket.rooms().split_off(1);
        rooms.sort();
        let colour: Option<serde_json::Value> = socket.data("colour");
        let data = colour.map_or_else(|| json!({}), |colour| json!({ "colour": colour }));
        let node: u32 = socket.node().as_str().parse().unwrap_or_default();
        let (id, recovered) = (socket.id(), socket.recovered());
        ack.send(json!({ "id": id, "recovered": recovered, "rooms": rooms, "data": data, "node": node })).ok();
    });
    socket.on("has", |socket: Socket, id: String, ack: Ack| async move {
        ack.send(socket.namespace().socket(&id).is_some()).ok();
    });
    socket.on("join", |socket: Socket, rooms: Vec<String>, ack: Ack| async move {
        socket.join(rooms);
        done(ack);
    });
    socket.on("put", |socket: Socket, key: String, value: serde_json::Value, ack: Ack| async move {
        socket.set_data(&key, &value);
        done(ack);
    });
    socket.on("emit", |socket: Socket, event: Event| async move {
        let name: String = event.get(0).unwrap_or_default();
        socket.emit(&name, Rest(event.clone(), 1)).ok();
        done(event.ack());
    });
    socket.on("emit-and-leave", |socket: Socket, event: Event| async move {
        let name: String = event.get(0).unwrap_or_default();
        socket.emit(&name, Rest(event.clone(), 1)).ok();
        socket.disconnect(false);
    });
    socket.on("cast", |socket: Socket, event: Event| async move {
        let how: How = event.get(0).unwrap_or_default();
        let name: String = event.get(1).unwrap_or_default();
        how.aim(&socket).emit(&name, Rest(event.clone(), 2)).ok();
        done(event.ack());
    });
    socket.on("ask", |socket: Socket, event: Event| async move {
        let limit = Duration::from_millis(event.get(0).unwrap_or_default());
        let name: String = event.get(1).unwrap_or_default();
        let answer = socket.timeout(limit).emit_with_ack::<String>(&name, Rest(event.clone(), 2)).await;
        event.ack().send(answer.unwrap_or_else(|_| "error".to_owned())).ok();
    });
    socket.on("kick", |socket: Socket, id: String, close: bool, ack: Ack| async move {
        if let Some(other) = socket.namespace().socket(&id) {
            other.disconnect(close);
        }
        done(ack);
    });
    let own = known.clone();
    socket.on("ban", move |_: Socket, name: String, ack: Ack| {
        lock(&own.banned).insert(name);
        done(ack);
        async {}
    });
    let own = known.clone();
    socket.on("checks", move |_: Socket, name: String, ack: Ack| {
        ack.send(lock(&own.checks).get(&name).copied().unwrap_or_default()).ok();
        async {}
    });
    let own = known.clone();
    socket.on("stop", move |_: Socket, node: usize, ack: Ack| {
        let listening = lock(&own.listening).get_mut(node).and_then(Option::take);
        async move {
            if let Some(listening) = listening {
                listening.close(Duration::ZERO).await;
            }
            done(ack);
        }
    });
}
