//! Decides how messages stand on the channels of `@socket.io/redis-adapter` 8 and its emitters: byte for byte so that
//! nodes written in Node take ours for their own.
//!
//! ```text
//! socket.io#/#                broadcasts: msgpack [uid, packet, {rooms, except, flags}]
//! socket.io#/#room#           the same, for exactly one room
//! socket.io-request#/#        requests: JSON, or msgpack when they carry a packet
//! socket.io-response#/#       answers; with a uid and # behind it those for one node
//! ```
//! Answers do not say who answers, so that a node is known here by the number of its answer.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use limpet_proto::socketio::arguments::Arguments;
use rmpv::Value;
use serde_json::{Value as Json, json};

use super::value::{MAX_DEPTH, arguments, to_json, to_value, values};
use crate::adapter::BusError;
use crate::envelope::{Message, RequestId, SocketInfo};
use crate::node::NodeId;
use crate::target::{Flags, Room, Targets};

/// The type of an event's packet.
const EVENT: u64 = 2;

/// What a request or an answer is, as a number.
mod kind {
    pub(super) const SOCKETS: u64 = 0;
    pub(super) const ALL_ROOMS: u64 = 1;
    pub(super) const JOIN: u64 = 2;
    pub(super) const LEAVE: u64 = 3;
    pub(super) const DISCONNECT: u64 = 4;
    pub(super) const FETCH: u64 = 5;
    pub(super) const SERVER_SIDE_EMIT: u64 = 6;
    pub(super) const BROADCAST: u64 = 7;
    pub(super) const BROADCAST_COUNT: u64 = 8;
    pub(super) const BROADCAST_ACK: u64 = 9;
}

/// The channels of one namespace.
#[derive(Debug, Clone)]
pub(crate) struct Channels {
    namespace: Arc<str>,
    broadcast: String,
    request: String,
    response: String,
}

/// Where a message came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    Broadcast(Option<&'a str>),
    Request,
    Response,
}

/// What came.
#[derive(Debug)]
pub(super) enum Received {
    /// A message of a node; an emitter has a name as well.
    Message(Option<NodeId>, Message),
    /// A request in the form of old nodes: only the ids of sockets are wanted.
    Ids(Option<NodeId>, Targets, RequestId),
    /// An answer that says nothing of what was asked.
    Nothing,
}

impl Channels {
    pub(crate) fn new(key: &str, namespace: &str) -> Self {
        Self {
            namespace: namespace.into(),
            broadcast: format!("{key}#{namespace}#"),
            request: format!("{key}-request#{namespace}#"),
            response: format!("{key}-response#{namespace}#"),
        }
    }

    pub(super) fn request_channel(&self) -> &str {
        &self.request
    }

    /// The pattern that all broadcasts of the namespace match. A namespace may hold what has a meaning in patterns.
    pub(super) fn pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.broadcast.len() + 1);
        for char in self.broadcast.chars() {
            if matches!(char, '*' | '?' | '[' | ']' | '^' | '\\') {
                pattern.push('\\');
            }
            pattern.push(char);
        }
        pattern.push('*');
        pattern
    }

    /// The channels beside the pattern.
    pub(super) fn plain(&self, node: &NodeId) -> [String; 3] {
        [self.request.clone(), self.response.clone(), self.response_to(node)]
    }

    pub(super) fn response_to(&self, node: &NodeId) -> String {
        format!("{}{node}#", self.response)
    }

    /// Says which of the channels this is; `None` for a channel of somebody else.
    pub(super) fn place<'a>(&self, channel: &'a str) -> Option<Place<'a>> {
        if let Some(room) = channel.strip_prefix(&*self.broadcast) {
            return match room.strip_suffix('#') {
                Some(room) => Some(Place::Broadcast(Some(room))),
                None if room.is_empty() => Some(Place::Broadcast(None)),
                None => None,
            };
        }
        if channel == self.request {
            return Some(Place::Request);
        }
        channel.starts_with(&*self.response).then_some(Place::Response)
    }

    /// Writes a message of `node` to the others: its channel and its bytes. `specific` says that answers go to a channel
    /// of the node that asked. `None` for a message that this form has no need of.
    pub(crate) fn write(
        &self,
        node: &NodeId,
        to: Option<&NodeId>,
        specific: bool,
        message: &Message,
    ) -> Result<Option<(String, Vec<u8>)>, BusError> {
        let uid = node.as_str();
        let answer_channel = || match to {
            Some(to) if specific => self.response_to(to),
            _ => self.response.clone(),
        };
        let written = match message {
            Message::Broadcast { arguments, targets, flags, request: None } => {
                let body = Value::Array(vec![uid.into(), self.packet(arguments)?, options(targets, Some(*flags))]);
                let mut channel = self.broadcast.clone();
                if let [room] = &*targets.rooms {
                    channel.push_str(room);
                    channel.push('#');
                }
                (channel, bytes(&body))
            }
            Message::Broadcast { arguments, targets, flags, request: Some(request) } => {
                let body = map([
                    ("uid", uid.into()),
                    ("requestId", request.as_ref().into()),
                    ("type", kind::BROADCAST.into()),
                    ("packet", self.packet(arguments)?),
                    ("opts", options(targets, Some(*flags))),
                ]);
                (self.request.clone(), bytes(&body))
            }
            Message::Join { targets, rooms } => self.ask(&json!({
                "uid": uid, "type": kind::JOIN, "opts": json_options(targets), "rooms": rooms,
            })),
            Message::Leave { targets, rooms } => self.ask(&json!({
                "uid": uid, "type": kind::LEAVE, "opts": json_options(targets), "rooms": rooms,
            })),
            Message::Disconnect { targets, close } => self.ask(&json!({
                "uid": uid, "type": kind::DISCONNECT, "opts": json_options(targets), "close": close,
            })),
            Message::Fetch { targets, request } => self.ask(&json!({
                "uid": uid, "requestId": request, "type": kind::FETCH, "opts": json_options(targets),
            })),
            Message::ServerSideEmit { arguments, request } => {
                let mut body = json!({ "uid": uid, "type": kind::SERVER_SIDE_EMIT, "data": data(arguments)? });
                if let (Some(request), Json::Object(body)) = (request, &mut body) {
                    body.insert("requestId".to_owned(), request.as_ref().into());
                }
                self.ask(&body)
            }
            Message::Fetched { request, sockets } => {
                (answer_channel(), json!({ "requestId": request, "sockets": sockets }).to_string().into_bytes())
            }
            Message::AllRooms { request } => {
                self.ask(&json!({ "uid": uid, "requestId": request, "type": kind::ALL_ROOMS }))
            }
            Message::Rooms { request, rooms } => {
                (answer_channel(), json!({ "requestId": request, "rooms": rooms }).to_string().into_bytes())
            }
            Message::ServerSideReply { request, arguments } => {
                let answer = data(arguments)?.as_array().and_then(|list| list.first().cloned());
                let body = json!({ "type": kind::SERVER_SIDE_EMIT, "requestId": request, "data": answer });
                // Node sends these to everybody, whatever the option says.
                (self.response.clone(), body.to_string().into_bytes())
            }
            Message::BroadcastCount { request, clients } => {
                let body = json!({ "type": kind::BROADCAST_COUNT, "requestId": request, "clientCount": clients });
                (answer_channel(), body.to_string().into_bytes())
            }
            Message::BroadcastAck { request, arguments } => {
                let answer = values(arguments)?.into_iter().next().unwrap_or(Value::Nil);
                let body = map([
                    ("type", kind::BROADCAST_ACK.into()),
                    ("requestId", request.as_ref().into()),
                    ("packet", answer),
                ]);
                (answer_channel(), bytes(&body))
            }
            Message::Hello | Message::Heartbeat | Message::Bye => return Ok(None),
        };
        Ok(Some(written))
    }

    /// Writes the answer to a node that wants the ids of sockets alone.
    pub(super) fn write_ids(
        &self,
        to: Option<&NodeId>,
        specific: bool,
        request: &str,
        ids: &[Room],
    ) -> (String, Vec<u8>) {
        self.answer(to, specific, &json!({ "requestId": request, "sockets": ids }))
    }

    fn answer(&self, to: Option<&NodeId>, specific: bool, body: &Json) -> (String, Vec<u8>) {
        let channel = match to {
            Some(to) if specific => self.response_to(to),
            _ => self.response.clone(),
        };
        (channel, body.to_string().into_bytes())
    }

    fn ask(&self, body: &Json) -> (String, Vec<u8>) {
        (self.request.clone(), body.to_string().into_bytes())
    }

    fn packet(&self, arguments: &Arguments) -> Result<Value, BusError> {
        Ok(map([
            ("type", EVENT.into()),
            ("data", Value::Array(values(arguments)?)),
            ("nsp", self.namespace.as_ref().into()),
        ]))
    }
}

/// Reads what came on a channel.
///
/// # Errors
/// [`BusError::Malformed`] when it is no message of this form.
pub(super) fn read(place: Place<'_>, namespace: &str, bytes: &[u8]) -> Result<Received, BusError> {
    match place {
        Place::Broadcast(_) => broadcast(namespace, bytes),
        Place::Request => request(namespace, &mut Body::read(bytes)?),
        Place::Response => response(&mut Body::read(bytes)?),
    }
}

fn broadcast(namespace: &str, bytes: &[u8]) -> Result<Received, BusError> {
    let Value::Array(parts) = decode(bytes)? else { return Err(malformed("a broadcast is a list")) };
    let [uid, Value::Map(packet), options] =
        <[Value; 3]>::try_from(parts).map_err(|_| malformed("a broadcast has three parts"))?
    else {
        return Err(malformed("a packet is a map"));
    };
    let node = uid.as_str().map(NodeId::from);
    let arguments = event(namespace, &mut Body(packet))?;
    let mut options = Body::of(options)?;
    let (targets, flags) = (options.targets(), options.flags());
    Ok(Received::Message(node, Message::Broadcast { arguments, targets, flags, request: None }))
}

fn request(namespace: &str, body: &mut Body) -> Result<Received, BusError> {
    let node = body.text("uid").map(NodeId::from);
    let id = body.text("requestId").map(RequestId::from);
    let id_of = |id: Option<RequestId>| id.ok_or_else(|| malformed("a request has an id"));
    let message = match body.number("type") {
        Some(kind::SOCKETS) => {
            let targets = Targets { rooms: body.rooms("rooms"), except: Vec::new() };
            return Ok(Received::Ids(node, targets, id_of(id)?));
        }
        Some(kind::ALL_ROOMS) => Message::AllRooms { request: id_of(id)? },
        Some(kind @ (kind::JOIN | kind::LEAVE)) => {
            let (targets, rooms) = match body.options()? {
                Some(mut options) => (options.targets(), body.rooms("rooms")),
                // The form of nodes before version 7: one socket, one room.
                None => (Targets { rooms: body.rooms_of_one("sid"), except: Vec::new() }, body.rooms_of_one("room")),
            };
            if targets.rooms.is_empty() && rooms.is_empty() {
                return Err(malformed("nobody is meant"));
            }
            if kind == kind::JOIN { Message::Join { targets, rooms } } else { Message::Leave { targets, rooms } }
        }
        Some(kind::DISCONNECT) => {
            let targets = match body.options()? {
                Some(mut options) => options.targets(),
                None => Targets { rooms: body.rooms_of_one("sid"), except: Vec::new() },
            };
            Message::Disconnect { targets, close: body.yes("close") }
        }
        Some(kind::FETCH) => {
            let targets = body.options()?.map(|mut options| options.targets()).unwrap_or_default();
            Message::Fetch { targets, request: id_of(id)? }
        }
        Some(kind::SERVER_SIDE_EMIT) => {
            let Some(Value::Array(data)) = body.take("data") else { return Err(malformed("an event is a list")) };
            Message::ServerSideEmit { arguments: arguments(data)?, request: id }
        }
        Some(kind::BROADCAST) => {
            let mut packet = Body::of(body.take("packet").unwrap_or(Value::Nil))?;
            let arguments = event(namespace, &mut packet)?;
            let mut options = body.options()?.ok_or_else(|| malformed("a broadcast has options"))?;
            let (targets, flags) = (options.targets(), options.flags());
            Message::Broadcast { arguments, targets, flags, request: Some(id_of(id)?) }
        }
        _ => return Err(malformed("the type of a request is a number from 0 to 7")),
    };
    Ok(Received::Message(node, message))
}

/// Reads an answer. Who answers is not said.
fn response(body: &mut Body) -> Result<Received, BusError> {
    let Some(request) = body.text("requestId").map(RequestId::from) else {
        return Err(malformed("an answer names its request"));
    };
    let message = match body.number("type") {
        Some(kind::SERVER_SIDE_EMIT) => {
            let answer = body.take("data").unwrap_or(Value::Nil);
            Message::ServerSideReply { request, arguments: arguments(vec![answer])? }
        }
        Some(kind::BROADCAST_COUNT) => {
            let clients = body.number("clientCount").and_then(|count| usize::try_from(count).ok());
            Message::BroadcastCount { request, clients: clients.ok_or_else(|| malformed("a count is a number"))? }
        }
        Some(kind::BROADCAST_ACK) => {
            let answer = body.take("packet").unwrap_or(Value::Nil);
            // Some versions of Node's adapter send what clients said as a list.
            Message::BroadcastAck { request, arguments: arguments(vec![answer])? }
        }
        None => match (body.take("sockets"), body.take("rooms")) {
            (Some(Value::Array(sockets)), _) => {
                let sockets = sockets.into_iter().filter_map(socket).collect();
                Message::Fetched { request, sockets }
            }
            (None, Some(Value::Array(rooms))) => {
                Message::Rooms { request, rooms: rooms.into_iter().filter_map(room).collect() }
            }
            _ => return Ok(Received::Nothing),
        },
        Some(_) => return Err(malformed("the type of an answer is 6, 8 or 9")),
    };
    Ok(Received::Message(None, message))
}

/// Reads the event of a packet, which must be of this namespace; a packet without one is of `/`.
fn event(namespace: &str, packet: &mut Body) -> Result<Arguments, BusError> {
    if packet.text("nsp").as_deref().unwrap_or("/") != namespace {
        return Err(malformed("the packet is of another namespace"));
    }
    if packet.number("type") != Some(EVENT) {
        return Err(malformed("the packet is no event"));
    }
    let Some(Value::Array(data)) = packet.take("data") else { return Err(malformed("an event is a list")) };
    if data.is_empty() {
        return Err(malformed("an event has a name"));
    }
    arguments(data)
}

/// A map out of a message that somebody else wrote.
struct Body(Vec<(Value, Value)>);

impl Body {
    /// Reads JSON, or msgpack if the first byte is no `{`.
    fn read(bytes: &[u8]) -> Result<Self, BusError> {
        if bytes.first() == Some(&b'{') {
            let json: Json = serde_json::from_slice(bytes).map_err(|error| BusError::Malformed(error.to_string()))?;
            return Self::of(to_value(json, &[]));
        }
        Self::of(decode(bytes)?)
    }

    fn of(value: Value) -> Result<Self, BusError> {
        match value {
            Value::Map(members) => Ok(Self(members)),
            _ => Err(malformed("a map is missing")),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let member = self.0.iter_mut().find(|(key, _)| key.as_str() == Some(name))?;
        Some(std::mem::replace(&mut member.1, Value::Nil)).filter(|value| !value.is_nil())
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => text.into_str(),
            _ => None,
        }
    }

    fn number(&mut self, name: &str) -> Option<u64> {
        self.take(name)?.as_u64()
    }

    fn yes(&mut self, name: &str) -> bool {
        self.take(name) == Some(Value::Boolean(true))
    }

    fn options(&mut self) -> Result<Option<Self>, BusError> {
        self.take("opts").map(Self::of).transpose()
    }

    fn rooms(&mut self, name: &str) -> Vec<Room> {
        match self.take(name) {
            Some(Value::Array(rooms)) => rooms.into_iter().filter_map(room).collect(),
            _ => Vec::new(),
        }
    }

    fn rooms_of_one(&mut self, name: &str) -> Vec<Room> {
        self.take(name).and_then(room).into_iter().collect()
    }

    fn targets(&mut self) -> Targets {
        Targets { rooms: self.rooms("rooms"), except: self.rooms("except") }
    }

    fn flags(&mut self) -> Flags {
        let Some(mut flags) = self.take("flags").and_then(|flags| Self::of(flags).ok()) else {
            return Flags::default();
        };
        Flags {
            volatile: flags.yes("volatile"),
            compress: flags.take("compress") != Some(Value::Boolean(false)),
            timeout: flags.number("timeout").map(std::time::Duration::from_millis),
            local: false,
        }
    }
}

/// Returns the name of a room. Node has rooms that are numbers; on the channels they are text.
fn room(value: Value) -> Option<Room> {
    match value {
        Value::String(text) => text.into_str().map(Room::from),
        Value::Integer(number) => Some(number.to_string().into()),
        _ => None,
    }
}

fn socket(value: Value) -> Option<SocketInfo> {
    let mut body = match value {
        // The answer of nodes that were asked for ids alone.
        Value::String(id) => {
            let id: Room = id.into_str()?.into();
            return Some(SocketInfo { rooms: vec![id.clone()], id, handshake: Json::Null, data: Json::Null });
        }
        value => Body::of(value).ok()?,
    };
    let mut json = |name| body.take(name).map_or(Json::Null, |value| to_json(value, &mut Vec::new()));
    let (handshake, data) = (json("handshake"), json("data"));
    Some(SocketInfo { id: body.text("id")?.into(), handshake, rooms: body.rooms("rooms"), data })
}

fn options(targets: &Targets, flags: Option<Flags>) -> Value {
    let names = |rooms: &[Room]| Value::Array(rooms.iter().map(|room| room.as_ref().into()).collect());
    let mut said = Vec::new();
    if let Some(flags) = flags {
        if flags.volatile {
            said.push(("volatile".into(), true.into()));
        }
        if !flags.compress {
            said.push(("compress".into(), false.into()));
        }
        if let Some(timeout) = flags.timeout {
            said.push(("timeout".into(), u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).into()));
        }
    }
    map([("rooms", names(&targets.rooms)), ("except", names(&targets.except)), ("flags", Value::Map(said))])
}

fn json_options(targets: &Targets) -> Json {
    json!({ "rooms": targets.rooms, "except": targets.except })
}

/// Returns arguments as JSON. Bytes have no place there; Node writes what its buffers become in JSON.
fn data(arguments: &Arguments) -> Result<Json, BusError> {
    let list = values(arguments)?.into_iter().map(plain).collect();
    Ok(Json::Array(list))
}

fn plain(value: Value) -> Json {
    match value {
        Value::Binary(bytes) => json!({ "type": "Buffer", "data": bytes }),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Map(members) => {
            let name = |key: &Value| key.as_str().unwrap_or_default().to_owned();
            Json::Object(members.into_iter().map(|(key, value)| (name(&key), plain(value))).collect())
        }
        other => to_json(other, &mut Vec::new()),
    }
}

fn map<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Map(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    // Writing to memory does not fail.
    rmpv::encode::write_value(&mut bytes, value).ok();
    bytes
}

fn decode(bytes: &[u8]) -> Result<Value, BusError> {
    let mut rest = bytes;
    let value = rmpv::decode::read_value_with_max_depth(&mut rest, MAX_DEPTH)
        .map_err(|error| BusError::Malformed(error.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(malformed("something follows the message")) }
}

fn malformed(what: &str) -> BusError {
    BusError::Malformed(what.to_owned())
}
