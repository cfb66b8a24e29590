//! Decides which message came on a channel. What is no message of this form is an error and changes nothing.

use std::borrow::Cow;

use bytes::Bytes;
use limpet_proto::socketio::arguments::Arguments;
use limpet_proto::socketio::msgpack;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{BINARY_EVENT, EVENT, Name, Options, Place, broadcast, json, kind, malformed};
use crate::adapter::BusError;
use crate::envelope::{Message, RequestId, SocketInfo};
use crate::node::NodeId;
use crate::target::{Room, Targets};

/// What came.
#[derive(Debug)]
pub(in crate::redis) enum Received {
    /// A message of a node; an emitter has a name as well.
    Message(Option<NodeId>, Message),
    /// A request in the form of old nodes: only the ids of sockets are wanted.
    Ids(Option<NodeId>, Targets, RequestId),
    /// An answer that says nothing of what was asked.
    Nothing,
}

/// Reads what came on a channel.
///
/// # Errors
/// [`BusError::Malformed`] when it is no message of this form.
pub(in crate::redis) fn read(place: Place<'_>, namespace: &str, bytes: &Bytes) -> Result<Received, BusError> {
    match place {
        Place::Broadcast(_) => match broadcast::read(bytes) {
            Some(broadcast) => broadcast.received(namespace),
            None => read_json(place, namespace, bytes),
        },
        _ => read_json(place, namespace, bytes),
    }
}

/// Reads what came by way of the JSON that it stands for.
pub(in crate::redis) fn read_json(place: Place<'_>, namespace: &str, bytes: &Bytes) -> Result<Received, BusError> {
    let (text, attachments) = match bytes.first() {
        // A list or map in msgpack never begins so.
        Some(b'{') => (Cow::Borrowed(str::from_utf8(bytes).map_err(malformed)?), Vec::new()),
        _ => msgpack::to_json(bytes).map(|(text, attachments)| (text.into(), attachments)).map_err(malformed)?,
    };
    match place {
        Place::Broadcast(_) => {
            let (uid, packet, options): (Option<String>, ReadPacket<'_>, Options) = json(&text)?;
            let (flags, targets) = (options.flags(), options.targets());
            let arguments = packet.event(namespace, attachments)?;
            let message = Message::Broadcast { arguments, targets, flags, request: None };
            Ok(Received::Message(uid.map(NodeId::from), message))
        }
        Place::Request => request(namespace, json(&text)?, attachments),
        Place::Response => response(json(&text)?, attachments),
    }
}

#[derive(Deserialize)]
struct ReadPacket<'a> {
    #[serde(rename = "type")]
    kind: u64,
    #[serde(borrow)]
    data: &'a RawValue,
    nsp: Option<String>,
}

impl ReadPacket<'_> {
    /// Returns the event, which must be of this namespace; a packet without one is of `/`.
    fn event(&self, namespace: &str, attachments: Vec<Bytes>) -> Result<Arguments, BusError> {
        if self.nsp.as_deref().unwrap_or("/") != namespace {
            return Err(malformed("the packet is of another namespace"));
        }
        if !matches!(self.kind, EVENT | BINARY_EVENT) {
            return Err(malformed("the packet is no event"));
        }
        event(self.data, attachments)
    }
}

/// Takes the arguments of an event for clients: those whom it would make close their connection do not get it.
pub(in crate::redis) fn event(data: &RawValue, attachments: Vec<Bytes>) -> Result<Arguments, BusError> {
    let arguments = Arguments::from_raw(data, attachments).map_err(malformed)?;
    arguments.check_event().map_err(malformed)?;
    Ok(arguments)
}

/// Takes the arguments of an event for servers, which may have any name.
pub(in crate::redis) fn server_event(data: &RawValue, attachments: Vec<Bytes>) -> Result<Arguments, BusError> {
    let arguments = Arguments::from_raw(data, attachments).map_err(malformed)?;
    if arguments.is_empty() {
        return Err(malformed("an event has a name"));
    }
    Ok(arguments)
}

/// A request: the members of all kinds, of which each kind has some.
#[derive(Deserialize)]
struct Request<'a> {
    uid: Option<String>,
    #[serde(rename = "requestId")]
    request_id: Option<String>,
    #[serde(rename = "type")]
    kind: u64,
    opts: Option<Options>,
    #[serde(default)]
    rooms: Vec<Name>,
    /// One socket and one room, as nodes before version 7 ask.
    sid: Option<Name>,
    room: Option<Name>,
    close: Option<bool>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    packet: Option<ReadPacket<'a>>,
}

fn request(namespace: &str, request: Request<'_>, attachments: Vec<Bytes>) -> Result<Received, BusError> {
    let Request { uid, request_id, kind, opts, rooms, sid, room, close, data, packet } = request;
    let node = uid.map(NodeId::from);
    let id = request_id.map(RequestId::from);
    let wanted = || malformed("a member is missing");
    let rooms = |room: Option<Name>| rooms.into_iter().chain(room).map(Room::from).collect::<Vec<_>>();
    let meant = |sid: Option<Name>, opts: Option<Options>| match (sid, opts) {
        (Some(sid), None) => Ok(Targets::room(sid)),
        (_, Some(opts)) => Ok(opts.targets()),
        (None, None) => Err(wanted()),
    };
    let message = match kind {
        kind::SOCKETS => {
            let targets = Targets { rooms: rooms(None), except: Vec::new() };
            return Ok(Received::Ids(node, targets, id.ok_or_else(wanted)?));
        }
        kind::ALL_ROOMS => Message::AllRooms { request: id.ok_or_else(wanted)? },
        kind::JOIN => Message::Join { targets: meant(sid, opts)?, rooms: rooms(room) },
        kind::LEAVE => Message::Leave { targets: meant(sid, opts)?, rooms: rooms(room) },
        kind::DISCONNECT => Message::Disconnect { targets: meant(sid, opts)?, close: close == Some(true) },
        kind::FETCH => Message::Fetch { targets: meant(None, opts)?, request: id.ok_or_else(wanted)? },
        kind::SERVER_SIDE_EMIT => {
            Message::ServerSideEmit { arguments: server_event(data.ok_or_else(wanted)?, attachments)?, request: id }
        }
        kind::BROADCAST => {
            let arguments = packet.ok_or_else(wanted)?.event(namespace, attachments)?;
            let opts = opts.ok_or_else(wanted)?;
            let (flags, targets) = (opts.flags(), opts.targets());
            Message::Broadcast { arguments, targets, flags, request: Some(id.ok_or_else(wanted)?) }
        }
        _ => return Err(malformed("the type of a request is a number from 0 to 7")),
    };
    Ok(Received::Message(node, message))
}

/// An answer: the members of all kinds, of which each kind has some.
#[derive(Deserialize)]
struct Response<'a> {
    #[serde(rename = "requestId")]
    request_id: RequestId,
    /// Who answers, if they say so.
    uid: Option<NodeId>,
    #[serde(rename = "type")]
    kind: Option<u64>,
    #[serde(rename = "clientCount")]
    client_count: Option<usize>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    packet: Option<&'a RawValue>,
    sockets: Option<Vec<ReadSocket>>,
    rooms: Option<Vec<Name>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(in crate::redis) enum ReadSocket {
    /// The answer to who asked for ids alone.
    Id(Room),
    Whole {
        id: Room,
        #[serde(default)]
        handshake: Value,
        #[serde(default)]
        rooms: Vec<Name>,
        #[serde(default)]
        data: Value,
    },
}

impl From<ReadSocket> for SocketInfo {
    fn from(socket: ReadSocket) -> Self {
        match socket {
            ReadSocket::Id(id) => Self { rooms: vec![id.clone()], id, handshake: Value::Null, data: Value::Null },
            ReadSocket::Whole { id, handshake, rooms, data } => {
                Self { id, handshake, rooms: rooms.into_iter().map(Room::from).collect(), data }
            }
        }
    }
}

/// Reads an answer.
fn response(response: Response<'_>, attachments: Vec<Bytes>) -> Result<Received, BusError> {
    let Response { request_id: request, uid, kind, client_count, data, packet, sockets, rooms } = response;
    let values = |value: Option<&RawValue>| {
        let text = format!("[{}]", value.map_or("null", RawValue::get));
        Arguments::from_parts(text, attachments).map_err(malformed)
    };
    let message = match (kind, sockets, rooms) {
        (Some(kind::SERVER_SIDE_EMIT), ..) => Message::ServerSideReply { request, arguments: values(data)? },
        (Some(kind::BROADCAST_COUNT), ..) => {
            let clients = client_count.ok_or_else(|| malformed("a count is a number"))?;
            Message::BroadcastCount { request, clients }
        }
        (Some(kind::BROADCAST_ACK), ..) => Message::BroadcastAck { request, arguments: values(packet)? },
        (Some(_), ..) => return Err(malformed("the type of an answer is 6, 8 or 9")),
        (None, Some(sockets), _) => {
            Message::Fetched { request, sockets: sockets.into_iter().map(SocketInfo::from).collect() }
        }
        (None, None, Some(rooms)) => Message::Rooms { request, rooms: rooms.into_iter().map(Room::from).collect() },
        (None, None, None) => return Ok(Received::Nothing),
    };
    Ok(Received::Message(uid, message))
}
