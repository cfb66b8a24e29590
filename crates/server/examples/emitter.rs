//! Emits into a cluster without being a node, with the command line and the lines of
//! `tests/peers/node/cluster-emitter.js`, so that one suite judges both. The end of standard input ends it.
//!
//! `emitter --redis redis://127.0.0.1:6379 [--streams | --python CHANNEL]`

use std::io::stdin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use limpet_bus::{BusError, Emitter, StreamsOptions};
use rmpv::Value;
use serde::Deserialize;
use serde_json::{Value as Json, json};

#[path = "shared/rest.rs"]
mod rest;
use rest::Rest;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut redis, mut streams, mut python) = (None, false, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--redis" => redis = words.next(),
            "--streams" => streams = true,
            "--python" => python = words.next(),
            other => return Err(format!("unknown: {other}").into()),
        }
    }
    let redis = redis.ok_or("--redis is needed")?;
    let emitter = match python {
        Some(channel) => Emitter::connect_python(&redis, &channel).await?,
        None if streams => Emitter::connect_streams(&redis, &StreamsOptions::default()).await?,
        None => Emitter::connect(&redis).await?,
    };
    // One line at a time: nothing else is to be done meanwhile.
    for line in stdin().lines() {
        let (id, namespace, command, rest): (String, String, String, Vec<Json>) = read(&line?)?;
        let answer = match obey(&emitter.of(&namespace), &command, rest).await {
            Ok(_) => json!({ "ok": null }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        println!("{}", json!([id, answer]));
    }
    Ok(())
}

/// Whom a command means, and how.
#[derive(Default, Deserialize)]
#[serde(default)]
struct How {
    rooms: Vec<String>,
    except: Vec<String>,
    volatile: bool,
    compress: Option<bool>,
}

impl How {
    fn aim(self, emitter: &Emitter) -> Emitter {
        let emitter = self.rooms.into_iter().fold(emitter.clone(), |emitter, room| emitter.to(room));
        let emitter = self.except.into_iter().fold(emitter, |emitter, room| emitter.except(room));
        let emitter = if self.volatile { emitter.volatile() } else { emitter };
        self.compress.into_iter().fold(emitter, |emitter, compress| emitter.compress(compress))
    }
}

fn read(line: &str) -> serde_json::Result<(String, String, String, Vec<Json>)> {
    let mut words: Vec<Json> = serde_json::from_str(line)?;
    let rest = words.split_off(words.len().min(3));
    let (id, namespace, command) = serde_json::from_value(words.into())?;
    Ok((id, namespace, command, rest))
}

async fn obey(emitter: &Emitter, command: &str, mut rest: Vec<Json>) -> Result<u64, BusError> {
    let text = |value: Option<&Json>| value.and_then(Json::as_str).unwrap_or_default().to_owned();
    if command == "server" {
        let name = text(rest.first());
        return emitter.server_side_emit(&name, arguments(&rest[1..])).await;
    }
    let how: How = serde_json::from_value(rest.remove(0)).unwrap_or_default();
    let (emitter, word) = (how.aim(emitter), text(rest.first()));
    if command == "emit" {
        return emitter.emit(&word, arguments(&rest[1..])).await;
    }
    let rooms: Vec<String> = serde_json::from_value(rest[1].clone()).unwrap_or_default();
    match word.as_str() {
        "join" => {
            for room in rooms {
                emitter.sockets_join(room).await?;
            }
            Ok(0)
        }
        "leave" => {
            for room in rooms {
                emitter.sockets_leave(room).await?;
            }
            Ok(0)
        }
        _ => emitter.disconnect_sockets(rest[1] == json!(true)).await,
    }
}

fn arguments(values: &[Json]) -> Rest {
    Rest(values.iter().map(value).collect())
}

/// Puts bytes where they are written as `{"$bytes": base64}`.
fn value(json: &Json) -> Value {
    match json {
        Json::Object(object) => match object.get("$bytes").and_then(Json::as_str) {
            Some(text) => Value::Binary(STANDARD.decode(text).unwrap_or_default()),
            None => Value::Map(object.iter().map(|(key, member)| (key.as_str().into(), value(member))).collect()),
        },
        Json::Array(items) => Value::Array(items.iter().map(value).collect()),
        plain => rmpv::ext::to_value(plain).unwrap_or(Value::Nil),
    }
}
