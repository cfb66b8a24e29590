//! Decides how a message of Node's cluster adapters stands in JSON and msgpack: `{uid, nsp, type, data}`, where the type is
//! one of the numbers in [`kind`].
//!
//! What is msgpack is read as the JSON that it stands for, with bytes beside it, and written from it. Two types are ours:
//! Node's nodes do not know them and pass them over. A fence is for them a request to disconnect one socket.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use limpet_proto::socketio::arguments::Arguments;
use limpet_proto::socketio::msgpack;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::classic::{Name, Options, ReadSocket, event, json, malformed, raw, server_event};
use crate::adapter::BusError;
use crate::envelope::{Message, RequestId, SocketInfo};
use crate::node::NodeId;
use crate::target::{Room, Targets};

/// The type of an event's packet.
const EVENT: u64 = 2;

/// What a message is, as a number.
pub(super) mod kind {
    pub(in crate::redis) const BROADCAST: u64 = 3;
    pub(in crate::redis) const JOIN: u64 = 4;
    pub(in crate::redis) const LEAVE: u64 = 5;
    pub(in crate::redis) const DISCONNECT: u64 = 6;
    pub(in crate::redis) const FETCH: u64 = 7;
    pub(in crate::redis) const FETCHED: u64 = 8;
    pub(in crate::redis) const SERVER_SIDE_EMIT: u64 = 9;
    pub(in crate::redis) const SERVER_SIDE_REPLY: u64 = 10;
    pub(in crate::redis) const BROADCAST_COUNT: u64 = 11;
    pub(in crate::redis) const BROADCAST_ACK: u64 = 12;
    pub(in crate::redis) const ALL_ROOMS: u64 = 32;
    pub(in crate::redis) const ROOMS: u64 = 33;
}

/// A message as it is written: its type, and its data as JSON with bytes beside it.
#[derive(Debug)]
pub(crate) struct Written {
    pub(super) kind: u64,
    pub(super) data: String,
    attachments: Vec<Bytes>,
}

#[derive(Default, Serialize)]
struct Said<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    opts: Option<Options>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<&'a RawValue>,
    #[serde(rename = "requestId", skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<&'a [Room]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    close: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sockets: Option<&'a [SocketInfo]>,
    #[serde(rename = "clientCount", skip_serializing_if = "Option::is_none")]
    client_count: Option<usize>,
}

/// Writes a message; `None` for one that this form has no need of.
pub(crate) fn write(message: &Message) -> Result<Option<Written>, BusError> {
    let mut said = Said::default();
    let mut attachments: &[Bytes] = &[];
    let kind = match message {
        Message::Broadcast { arguments, targets, flags, request } => {
            said.opts = Some(Options::of(targets, Some(*flags)));
            said.request_id = request.as_deref();
            let mut data = serde_json::to_string(&said).map_err(malformed)?;
            // The text is JSON already: it is put behind the other members as it is.
            data.pop();
            data.reserve(arguments.text().len() + 32);
            data.push_str(r#","packet":{"type":2,"data":"#);
            data.push_str(arguments.text());
            data.push_str("}}");
            return Ok(Some(Written { kind: kind::BROADCAST, data, attachments: arguments.attachments().to_vec() }));
        }
        Message::Join { targets, rooms } => {
            said.opts = Some(Options::of(targets, None));
            said.rooms = Some(rooms);
            kind::JOIN
        }
        Message::Leave { targets, rooms } => {
            said.opts = Some(Options::of(targets, None));
            said.rooms = Some(rooms);
            kind::LEAVE
        }
        Message::Disconnect { targets, close } => {
            said.opts = Some(Options::of(targets, None));
            said.close = Some(*close);
            kind::DISCONNECT
        }
        Message::Fence { id, epoch } => {
            said.opts = Some(Options::of(&Targets::room(id.clone()), None));
            said.close = Some(true);
            said.epoch = Some(*epoch);
            kind::DISCONNECT
        }
        Message::Fetch { targets, request } => {
            said.opts = Some(Options::of(targets, None));
            said.request_id = Some(request);
            kind::FETCH
        }
        Message::Fetched { request, sockets } => {
            said.request_id = Some(request);
            said.sockets = Some(sockets);
            kind::FETCHED
        }
        Message::AllRooms { request } => {
            said.request_id = Some(request);
            kind::ALL_ROOMS
        }
        Message::Rooms { request, rooms } => {
            said.request_id = Some(request);
            said.rooms = Some(rooms);
            kind::ROOMS
        }
        Message::ServerSideEmit { arguments, request } => {
            said.packet = Some(raw(Some(arguments.text()))?);
            said.request_id = request.as_deref();
            attachments = arguments.attachments();
            kind::SERVER_SIDE_EMIT
        }
        Message::ServerSideReply { request, arguments } => {
            said.packet = Some(raw(arguments.raw(0))?);
            said.request_id = Some(request);
            attachments = arguments.attachments();
            kind::SERVER_SIDE_REPLY
        }
        Message::BroadcastCount { request, clients } => {
            said.request_id = Some(request);
            said.client_count = Some(*clients);
            kind::BROADCAST_COUNT
        }
        Message::BroadcastAck { request, arguments } => {
            said.packet = Some(raw(arguments.raw(0))?);
            said.request_id = Some(request);
            attachments = arguments.attachments();
            kind::BROADCAST_ACK
        }
        Message::Hello | Message::Heartbeat | Message::Bye => return Ok(None),
    };
    let data = serde_json::to_string(&said).map_err(malformed)?;
    Ok(Some(Written { kind, data, attachments: attachments.to_vec() }))
}

impl Written {
    /// Returns the data alone as msgpack, if there are bytes in it: JSON has no place for them.
    pub(super) fn binary_data(&self) -> Option<Vec<u8>> {
        if self.attachments.is_empty() {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.data.len());
        msgpack::from_json(&self.data, &self.attachments, &mut bytes);
        Some(bytes)
    }

    /// Returns the whole message: as JSON, or as msgpack if there are bytes in it.
    pub(super) fn to_json_or_msgpack(&self, node: &NodeId, namespace: &str) -> Result<Vec<u8>, BusError> {
        if !self.attachments.is_empty() {
            return self.to_msgpack(node, namespace);
        }
        self.to_json(node, namespace).map(String::into_bytes)
    }

    /// Returns the whole message as msgpack.
    pub(super) fn to_msgpack(&self, node: &NodeId, namespace: &str) -> Result<Vec<u8>, BusError> {
        let text = self.to_json(node, namespace)?;
        let mut bytes = Vec::with_capacity(text.len());
        msgpack::from_json(&text, &self.attachments, &mut bytes);
        Ok(bytes)
    }

    fn to_json(&self, node: &NodeId, namespace: &str) -> Result<String, BusError> {
        let head = Head { uid: node.as_str(), nsp: namespace, kind: self.kind };
        let mut text = serde_json::to_string(&head).map_err(malformed)?;
        // The data is JSON already: it is put behind the other members as it is.
        text.pop();
        text.reserve(self.data.len() + 9);
        text.push_str(r#","data":"#);
        text.push_str(&self.data);
        text.push('}');
        Ok(text)
    }
}

/// The members of a message before its data.
#[derive(Serialize)]
struct Head<'a> {
    uid: &'a str,
    nsp: &'a str,
    #[serde(rename = "type")]
    kind: u64,
}

#[derive(Deserialize)]
struct Whole<'a> {
    uid: String,
    nsp: String,
    #[serde(rename = "type")]
    kind: u64,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// Reads a whole message: who sent it, of which namespace it is, and what it says. JSON if it begins as an object does in
/// JSON, and msgpack otherwise.
///
/// # Errors
/// [`BusError::Malformed`] when it is no message of this form.
pub(super) fn read_whole(bytes: &Bytes) -> Result<(NodeId, String, Message), BusError> {
    let (text, attachments) = match bytes.first() {
        Some(b'{') => (Cow::Borrowed(str::from_utf8(bytes).map_err(malformed)?), Vec::new()),
        _ => msgpack::to_json(bytes).map(|(text, attachments)| (text.into(), attachments)).map_err(malformed)?,
    };
    let Whole { uid, nsp, kind, data } = json(&text)?;
    let message = read(kind, data.map_or("{}", RawValue::get), attachments)?;
    Ok((uid.into(), nsp, message))
}

/// The data of a message: the members of all kinds, of which each kind has some.
#[derive(Deserialize)]
struct Data<'a> {
    #[serde(default)]
    opts: Option<Options>,
    #[serde(borrow)]
    packet: Option<&'a RawValue>,
    #[serde(rename = "requestId")]
    request_id: Option<RequestId>,
    rooms: Option<Vec<Name>>,
    close: Option<bool>,
    epoch: Option<u64>,
    sockets: Option<Vec<ReadSocket>>,
    #[serde(rename = "clientCount")]
    client_count: Option<usize>,
}

/// The data of a broadcast, which is most of what comes: read in one go.
#[derive(Deserialize)]
struct Broadcast<'a> {
    opts: Options,
    #[serde(borrow)]
    packet: ReadPacket<'a>,
    #[serde(rename = "requestId")]
    request_id: Option<RequestId>,
}

#[derive(Deserialize)]
struct ReadPacket<'a> {
    #[serde(rename = "type")]
    kind: u64,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Reads a message from its type and its data, which is JSON with bytes beside it.
///
/// # Errors
/// [`BusError::Malformed`] when it is no message of this form.
pub(super) fn read(kind: u64, data: &str, attachments: Vec<Bytes>) -> Result<Message, BusError> {
    if kind == kind::BROADCAST {
        return broadcast(json(data)?, attachments);
    }
    let Data { opts, packet, request_id, rooms, close, epoch, sockets, client_count } = json(data)?;
    let wanted = || malformed("a member is missing");
    let asked = request_id.clone().ok_or_else(wanted);
    let names = |names: Vec<Name>| names.into_iter().map(Room::from).collect::<Vec<_>>();
    Ok(match kind {
        kind::JOIN => {
            Message::Join { targets: opts.ok_or_else(wanted)?.targets(), rooms: names(rooms.ok_or_else(wanted)?) }
        }
        kind::LEAVE => {
            Message::Leave { targets: opts.ok_or_else(wanted)?.targets(), rooms: names(rooms.ok_or_else(wanted)?) }
        }
        kind::DISCONNECT => {
            let targets = opts.ok_or_else(wanted)?.targets();
            match (epoch, &*targets.rooms) {
                (Some(epoch), [id]) => Message::Fence { id: id.clone(), epoch },
                (Some(_), _) => return Err(malformed("a fence is for one socket")),
                (None, _) => Message::Disconnect { targets, close: close == Some(true) },
            }
        }
        kind::FETCH => Message::Fetch { targets: opts.ok_or_else(wanted)?.targets(), request: asked? },
        kind::FETCHED => {
            let sockets = sockets.ok_or_else(wanted)?.into_iter().map(SocketInfo::from).collect();
            Message::Fetched { request: asked?, sockets }
        }
        kind::SERVER_SIDE_EMIT => {
            let arguments = server_event(packet.ok_or_else(wanted)?, attachments)?;
            Message::ServerSideEmit { arguments, request: request_id }
        }
        kind::SERVER_SIDE_REPLY => Message::ServerSideReply { request: asked?, arguments: value(packet, attachments)? },
        kind::BROADCAST_COUNT => Message::BroadcastCount { request: asked?, clients: client_count.ok_or_else(wanted)? },
        kind::BROADCAST_ACK => Message::BroadcastAck { request: asked?, arguments: value(packet, attachments)? },
        kind::ALL_ROOMS => Message::AllRooms { request: asked? },
        kind::ROOMS => Message::Rooms { request: asked?, rooms: names(rooms.ok_or_else(wanted)?) },
        _ => return Err(malformed(format_args!("no message has the type {kind}"))),
    })
}

fn broadcast(data: Broadcast<'_>, attachments: Vec<Bytes>) -> Result<Message, BusError> {
    let Broadcast { opts, packet, request_id } = data;
    if packet.kind != EVENT {
        return Err(malformed("the packet is no event"));
    }
    let (flags, targets) = (opts.flags(), opts.targets());
    Ok(Message::Broadcast { arguments: event(packet.data, attachments)?, targets, flags, request: request_id })
}

/// Reads the one value of an answer.
fn value(packet: Option<&RawValue>, attachments: Vec<Bytes>) -> Result<Arguments, BusError> {
    let text = format!("[{}]", packet.map_or("null", RawValue::get));
    Arguments::from_parts(text, attachments).map_err(malformed)
}
