//! Decides how messages stand on the channels of `@socket.io/redis-adapter` 8 and its emitters, so that nodes written in
//! Node take ours for their own.
//!
//! ```text
//! socket.io#/#                broadcasts: msgpack [uid, packet, {rooms, except, flags}]
//! socket.io#/#room#           the same, for exactly one room
//! socket.io-request#/#        requests: JSON, or msgpack when they carry a packet
//! socket.io-response#/#       answers; with a uid and # behind it those for one node
//! ```
//! What is msgpack is read as the JSON that it stands for, with bytes beside it, and written from it: the form in which
//! arguments are kept anyway. Answers of Node do not say who answers; ours do, in a member that Node passes over.

mod broadcast;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use limpet_proto::socketio::arguments::Arguments;
use limpet_proto::socketio::msgpack;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::connection::escaped;
use crate::adapter::BusError;
use crate::envelope::Message;
use crate::node::NodeId;
use crate::target::{Flags, Room, Targets};

#[cfg(any(test, feature = "fuzzing"))]
pub(super) use read::read_json;
pub(super) use read::{ReadSocket, Received, event, read, server_event};

/// The type of an event's packet.
const EVENT: u64 = 2;

/// The type of an event's packet with bytes in it, as nodes of Socket.IO 2 write it.
const BINARY_EVENT: u64 = 5;

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

/// What is published: a channel and bytes.
type Published = (String, Vec<u8>);

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

    /// The channel of broadcasts to all rooms, or several.
    pub(super) fn broadcast(&self) -> &str {
        &self.broadcast
    }

    /// The channel of broadcasts to one room.
    pub(super) fn broadcast_to(&self, room: &str) -> String {
        format!("{}{room}#", self.broadcast)
    }

    /// The pattern that all broadcasts of the namespace match.
    pub(super) fn pattern(&self) -> String {
        escaped(&self.broadcast) + "*"
    }

    /// The channels beside the pattern.
    pub(super) fn plain(&self, node: &NodeId) -> [String; 3] {
        [self.request.clone(), self.response.clone(), self.response_to(node)]
    }

    /// With what the channel of a node begins; its name and a # follow.
    pub(super) fn response(&self) -> &str {
        &self.response
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

    /// Writes a message of `node` to the others, or an answer to the node `to`: with `specific`, on that node's channel.
    /// `None` for a message that this form has no need of.
    pub(crate) fn write(
        &self,
        node: &NodeId,
        to: Option<&NodeId>,
        specific: bool,
        message: &Message,
    ) -> Result<Option<Published>, BusError> {
        let uid = node.as_str();
        Ok(Some(match message {
            Message::Broadcast { arguments, targets, flags, request: None } => {
                let channel = match &*targets.rooms {
                    [room] => [&self.broadcast, &**room, "#"].concat(),
                    _ => self.broadcast.clone(),
                };
                (channel, broadcast::write(uid, &self.namespace, arguments, targets, *flags))
            }
            Message::Broadcast { arguments, targets, flags, request: Some(request) } => {
                let asked = Asked {
                    uid,
                    request_id: request,
                    kind: kind::BROADCAST,
                    packet: self.packet(arguments)?,
                    opts: Options::of(targets, Some(*flags)),
                };
                (self.request.clone(), pack(&asked, arguments))
            }
            Message::Join { targets, rooms } => {
                self.ask(&json!({ "uid": uid, "type": kind::JOIN, "opts": Options::of(targets, None), "rooms": rooms }))
            }
            Message::Leave { targets, rooms } => self
                .ask(&json!({ "uid": uid, "type": kind::LEAVE, "opts": Options::of(targets, None), "rooms": rooms })),
            Message::Disconnect { targets, close } => self.ask(&json!({
                "uid": uid, "type": kind::DISCONNECT, "opts": Options::of(targets, None), "close": close,
            })),
            Message::Fetch { targets, request } => self.ask(&json!({
                "uid": uid, "requestId": request, "type": kind::FETCH, "opts": Options::of(targets, None),
            })),
            Message::AllRooms { request } => {
                self.ask(&json!({ "uid": uid, "requestId": request, "type": kind::ALL_ROOMS }))
            }
            Message::ServerSideEmit { arguments, request } => {
                let mut body = json!({ "uid": uid, "type": kind::SERVER_SIDE_EMIT, "data": plain(arguments)? });
                if let (Some(request), Value::Object(body)) = (request, &mut body) {
                    body.insert("requestId".to_owned(), request.as_ref().into());
                }
                self.ask(&body)
            }
            Message::Fetched { request, sockets } => {
                self.answer(to, specific, &json!({ "requestId": request, "uid": uid, "sockets": sockets }))
            }
            Message::Rooms { request, rooms } => {
                self.answer(to, specific, &json!({ "requestId": request, "uid": uid, "rooms": rooms }))
            }
            Message::ServerSideReply { request, arguments } => {
                let answer = plain(arguments)?.into_iter().next();
                let body = json!({
                    "type": kind::SERVER_SIDE_EMIT, "requestId": request, "uid": uid, "data": answer,
                });
                // Node sends these to everybody, whatever the option says.
                self.answer(None, false, &body)
            }
            Message::BroadcastCount { request, clients } => {
                let body = json!({
                    "type": kind::BROADCAST_COUNT, "requestId": request, "uid": uid, "clientCount": clients,
                });
                self.answer(to, specific, &body)
            }
            Message::BroadcastAck { request, arguments } => {
                let said = Said { kind: kind::BROADCAST_ACK, request_id: request, packet: raw(arguments.raw(0))? };
                (self.response_channel(to, specific), pack(&said, arguments))
            }
            // Without a log there are no sessions to be held.
            Message::Fence { .. } | Message::Hello | Message::Heartbeat | Message::Bye => return Ok(None),
        }))
    }

    /// Writes the answer to a node that wants the ids of sockets alone.
    pub(super) fn write_ids(&self, to: Option<&NodeId>, specific: bool, request: &str, ids: &[Room]) -> Published {
        self.answer(to, specific, &json!({ "requestId": request, "sockets": ids }))
    }

    fn ask(&self, body: &Value) -> Published {
        (self.request.clone(), body.to_string().into_bytes())
    }

    fn answer(&self, to: Option<&NodeId>, specific: bool, body: &Value) -> Published {
        (self.response_channel(to, specific), body.to_string().into_bytes())
    }

    fn response_channel(&self, to: Option<&NodeId>, specific: bool) -> String {
        match to {
            Some(to) if specific => self.response_to(to),
            _ => self.response.clone(),
        }
    }

    fn packet<'a>(&'a self, arguments: &'a Arguments) -> Result<WrittenPacket<'a>, BusError> {
        Ok(WrittenPacket { kind: EVENT, data: raw(Some(arguments.text()))?, nsp: &self.namespace })
    }
}

#[derive(Serialize)]
struct WrittenPacket<'a> {
    #[serde(rename = "type")]
    kind: u64,
    data: &'a RawValue,
    nsp: &'a str,
}

/// A broadcast that is to be acknowledged.
#[derive(Serialize)]
struct Asked<'a> {
    uid: &'a str,
    #[serde(rename = "requestId")]
    request_id: &'a str,
    #[serde(rename = "type")]
    kind: u64,
    packet: WrittenPacket<'a>,
    opts: Options,
}

/// What a client said.
#[derive(Serialize)]
struct Said<'a> {
    #[serde(rename = "type")]
    kind: u64,
    #[serde(rename = "requestId")]
    request_id: &'a str,
    packet: &'a RawValue,
}

/// Whom a message means, and how it is sent.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::redis) struct Options {
    rooms: Vec<Name>,
    except: Vec<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<WrittenFlags>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct WrittenFlags {
    #[serde(skip_serializing_if = "Option::is_none")]
    volatile: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compress: Option<bool>,
    /// Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
}

/// The name of a room. Node has rooms that are numbers; on the channels they are text.
#[derive(Serialize)]
#[serde(untagged)]
pub(in crate::redis) enum Name {
    Text(Room),
    Number(serde_json::Number),
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a room")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Name, E> {
        Ok(Name::Text(text.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Name, E> {
        Ok(Name::Number(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Name, E> {
        Ok(Name::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Name, E> {
        serde_json::Number::from_f64(number).map(Name::Number).ok_or_else(|| E::custom("a number without end"))
    }
}

impl From<Name> for Room {
    fn from(name: Name) -> Self {
        match name {
            Name::Text(text) => text,
            Name::Number(number) => number.to_string().into(),
        }
    }
}

impl Options {
    pub(in crate::redis) fn of(targets: &Targets, flags: Option<Flags>) -> Self {
        let names = |rooms: &[Room]| rooms.iter().cloned().map(Name::Text).collect();
        let flags = flags.map(|flags| WrittenFlags {
            volatile: flags.volatile.then_some(true),
            compress: (!flags.compress).then_some(false),
            timeout: flags.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        });
        Self { rooms: names(&targets.rooms), except: names(&targets.except), flags }
    }

    pub(in crate::redis) fn flags(&self) -> Flags {
        let Some(flags) = &self.flags else { return Flags::default() };
        Flags {
            volatile: flags.volatile == Some(true),
            compress: flags.compress != Some(false),
            timeout: flags.timeout.map(Duration::from_millis),
            local: false,
        }
    }

    pub(in crate::redis) fn targets(self) -> Targets {
        let rooms = |names: Vec<Name>| names.into_iter().map(Room::from).collect();
        Targets { rooms: rooms(self.rooms), except: rooms(self.except) }
    }
}

/// Writes msgpack, with the bytes that belong to the arguments within.
fn pack(body: &impl Serialize, arguments: &Arguments) -> Vec<u8> {
    // All members are text, numbers and JSON: nothing that JSON cannot hold.
    let text = serde_json::to_string(body).unwrap_or_default();
    let mut bytes = Vec::with_capacity(text.len() + arguments.attachments().iter().map(Bytes::len).sum::<usize>());
    msgpack::from_json(&text, arguments.attachments(), &mut bytes);
    bytes
}

/// Returns arguments for JSON, where bytes have no place: they become what Node's buffers become there.
pub(in crate::redis) fn plain(arguments: &Arguments) -> Result<Vec<Value>, BusError> {
    let mut list: Vec<Value> = serde_json::from_str(arguments.text()).map_err(malformed)?;
    if !arguments.attachments().is_empty() {
        list.iter_mut().for_each(|value| unfold(value, arguments.attachments()));
    }
    Ok(list)
}

pub(in crate::redis) fn unfold(value: &mut Value, attachments: &[Bytes]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| unfold(item, attachments)),
        Value::Object(object) => {
            if let Some(Some(number)) = limpet_proto::socketio::packet::placeholder(object)
                && let Some(bytes) = attachments.get(number)
            {
                *value = json!({ "type": "Buffer", "data": bytes.as_ref() });
            } else {
                object.values_mut().for_each(|member| unfold(member, attachments));
            }
        }
        _ => {}
    }
}

pub(in crate::redis) fn raw(text: Option<&str>) -> Result<&RawValue, BusError> {
    json(text.unwrap_or("null"))
}

pub(in crate::redis) fn json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, BusError> {
    serde_json::from_str(text).map_err(malformed)
}

pub(in crate::redis) fn malformed(what: impl ToString) -> BusError {
    BusError::Malformed(what.to_string())
}
