//! A node of a cluster, with the command line and the commands of `tests/peers/node/cluster-node.js`, so that one suite
//! judges clusters of both kinds. Prints `listening PORT`; the end of standard input ends it.
//!
//! `cluster_node --redis redis://127.0.0.1:6379 [--adapter redis|sharded|streams] [--name a] [--specific]
//! [--mode dynamic|dynamic-private|static] [--interest] [--python CHANNEL] [--streams COUNT] [--sharded-pubsub]
//! [--max-queued COUNT]`; beside those of the other it takes the command `health`

use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use limpet_bus::{Adapter, Redis, RedisOptions, Sharding, Streams, StreamsOptions};
use limpet_server::{Ack, Broadcast, Event, Namespace, Options, Server, ServerEvent, Socket};
use rmpv::Value;
use serde::Deserialize;
use serde::ser::Serialize;
use serde_json::json;

#[path = "shared/rest.rs"]
mod rest;
use rest::Rest;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut redis, mut name, mut bus, mut mode) =
        (None, "limpet".to_owned(), RedisOptions::default(), Sharding::default());
    let (mut adapter, mut streams) = ("redis".to_owned(), StreamsOptions::default());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--redis" => redis = words.next(),
            "--adapter" => adapter = words.next().ok_or("--adapter needs a name")?,
            "--name" => name = words.next().ok_or("--name needs a name")?,
            "--specific" => bus.specific_responses = true,
            "--interest" => bus.interest = true,
            "--python" => bus.python = words.next(),
            "--max-queued" => bus.max_queued = words.next().ok_or("--max-queued needs a number")?.parse()?,
            "--streams" => streams.stream_count = words.next().ok_or("--streams needs a number")?.parse()?,
            "--sharded-pubsub" => streams.sharded_pubsub = true,
            "--mode" => {
                mode = match words.next().as_deref() {
                    Some("dynamic") => Sharding::Dynamic,
                    Some("dynamic-private") => Sharding::DynamicPrivate,
                    Some("static") => Sharding::Static,
                    other => return Err(format!("no mode: {other:?}").into()),
                };
            }
            "--end-with-stdin" => {}
            other => return Err(format!("unknown: {other}").into()),
        }
    }
    let redis = redis.ok_or("--redis is needed")?;
    let adapter: Arc<dyn Adapter> = match &*adapter {
        "streams" => Arc::new(Streams::connect_with(&redis, streams).await?),
        "redis" => Arc::new(Redis::connect_with(&redis, bus).await?),
        "sharded" => {
            bus.sharded = Some(mode);
            Arc::new(Redis::connect_with(&redis, bus).await?)
        }
        other => return Err(format!("no adapter: {other}").into()),
    };
    let io = Server::new(Options { adapter: adapter.clone(), ..Options::default() });
    for namespace in ["/", "/other"] {
        serve(&io.of(namespace), &name, &adapter);
    }
    let listening = io.bind("127.0.0.1:0").await?;
    println!("listening {}", listening.addr().port());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

fn serve(namespace: &Namespace, name: &str, adapter: &Arc<dyn Adapter>) {
    let heard = Arc::new(Mutex::new(Vec::<Value>::new()));
    let list = heard.clone();
    namespace.on_server_event("told", move |event: ServerEvent| {
        let values = (0..).map_while(|index| event.get(index).ok().filter(|value| *value != Value::Nil)).collect();
        list.lock().unwrap_or_else(PoisonError::into_inner).push(Value::Array(values));
        async {}
    });
    let own = name.to_owned();
    namespace.on_server_event("asked", move |event: ServerEvent| {
        let words: Vec<String> = (0..).map_while(|index| event.get(index).ok()).collect();
        drop(event.reply(format!("{own} {}", words.join(" "))));
        async {}
    });
    let (own, adapter) = (name.to_owned(), adapter.clone());
    namespace.on_connection(move |socket: Socket| {
        let user: serde_json::Value = socket.handshake().auth().unwrap_or_default();
        socket.set_data("name", &user["name"]);
        socket.set_data("node", &own);
        commands(&socket, &heard);
        let adapter = adapter.clone();
        socket.on("health", move |_: Socket, ack: Ack| {
            answer(ack, Ok(adapter.health().to_json()));
            async {}
        });
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
    compress: Option<bool>,
    timeout: Option<u64>,
    #[serde(rename = "self")]
    from_self: bool,
}

impl How {
    fn aim(self, socket: &Socket) -> Broadcast {
        let mut target = if self.from_self { socket.broadcast() } else { socket.namespace().all() };
        if !self.rooms.is_empty() {
            target = target.to(self.rooms);
        }
        if !self.except.is_empty() {
            target = target.except(self.except);
        }
        if self.volatile {
            target = target.volatile();
        }
        if self.local {
            target = target.local();
        }
        if let Some(compress) = self.compress {
            target = target.compress(compress);
        }
        match self.timeout {
            Some(timeout) => target.timeout(Duration::from_millis(timeout)),
            None => target,
        }
    }
}

/// One name or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Many(Vec<String>),
}

impl Names {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::Many(names) => names,
        }
    }
}

/// Returns the arguments behind those that command, as they came.
fn rest(event: &Event, first: usize) -> Rest {
    Rest((first..event.len()).map(|index| event.get(index).unwrap_or(Value::Nil)).collect())
}

fn commands(socket: &Socket, heard: &Arc<Mutex<Vec<Value>>>) {
    socket.on("join", |socket: Socket, rooms: Names, ack: Ack| async move {
        socket.join(rooms.list());
        done(ack);
    });
    socket.on("leave", |socket: Socket, room: String, ack: Ack| async move {
        socket.leave(room);
        done(ack);
    });
    socket.on("emit", |socket: Socket, event: Event| async move {
        let how: How = event.get(0).unwrap_or_default();
        let name: String = event.get(1).unwrap_or_default();
        answer(event.ack(), how.aim(&socket).emit(&name, rest(&event, 2)).map_err(|error| error.to_string()));
    });
    socket.on("ask", |socket: Socket, event: Event| async move {
        let how: How = event.get(0).unwrap_or_default();
        let name: String = event.get(1).unwrap_or_default();
        let answers = how.aim(&socket).emit_with_ack::<Value>(&name, rest(&event, 2)).await;
        answer(event.ack(), answers.map_err(|error| error.to_string()));
    });
    socket.on("fetch", |socket: Socket, how: How, ack: Ack| async move {
        let fetched = how.aim(&socket).fetch_sockets().await;
        if !fetched.missing.is_empty() {
            return answer(ack, Err::<(), _>(format!("{} did not answer", fetched.missing)));
        }
        let describe = |socket: &limpet_server::RemoteSocket| {
            let mut rooms: Vec<_> = socket.rooms().iter().filter(|room| ***room != *socket.id()).cloned().collect();
            rooms.sort();
            let (name, node): (Option<String>, Option<String>) = (socket.data("name"), socket.data("node"));
            json!({ "id": socket.id(), "rooms": rooms, "data": { "name": name, "node": node } })
        };
        answer(ack, Ok(fetched.sockets.iter().map(describe).collect::<Vec<_>>()));
    });
    socket.on("make", |socket: Socket, how: How, what: String, rooms: serde_json::Value, ack: Ack| async move {
        let target = how.aim(&socket);
        let names = || serde_json::from_value::<Names>(rooms.clone()).map(Names::list).unwrap_or_default();
        match what.as_str() {
            "join" => target.sockets_join(names()),
            "leave" => target.sockets_leave(names()),
            _ => target.disconnect_sockets(rooms == json!(true)),
        }
        done(ack);
    });
    socket.on("server", |socket: Socket, event: Event| async move {
        let name: String = event.get(0).unwrap_or_default();
        let sent = socket.namespace().server_side_emit(&name, rest(&event, 1));
        answer(event.ack(), sent.map_err(|error| error.to_string()));
    });
    socket.on("server-ask", |socket: Socket, event: Event| async move {
        let name: String = event.get(0).unwrap_or_default();
        let answers = socket.namespace().server_side_emit_with_ack::<Value>(&name, rest(&event, 1)).await;
        answer(event.ack(), answers.map_err(|error| error.to_string()));
    });
    let heard = heard.clone();
    socket.on("heard", move |_: Socket, ack: Ack| {
        let list = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        answer(ack, Ok(list));
        async {}
    });
    socket.on("rooms", |socket: Socket, ack: Ack| async move {
        answer(ack, Ok(socket.namespace().all_rooms().await.answers));
    });
}

fn done(ack: Ack) {
    answer(ack, Ok(()));
}

fn answer<T: Serialize>(ack: Ack, result: Result<T, String>) {
    let said = match result {
        Ok(value) => json!({ "ok": serde_json::to_value(value).unwrap_or_default() }),
        Err(error) => json!({ "error": error }),
    };
    drop(ack.send(said));
}
