//! Decides how an envelope is written as bytes: the length of a head, the head as JSON, and for each attachment its length
//! and its bytes. Lengths have 4 bytes, the most significant first.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use limpet_proto::socketio::arguments::Arguments;
use serde::{Deserialize, Serialize};

use super::{Envelope, Message, RequestId, SocketInfo};
use crate::adapter::BusError;
use crate::node::NodeId;
use crate::target::{Flags, Room, Targets};

/// Which message it is. The numbers are those of Node's cluster adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
enum Kind {
    Hello = 1,
    Heartbeat = 2,
    Broadcast = 3,
    Join = 4,
    Leave = 5,
    Disconnect = 6,
    Fetch = 7,
    Fetched = 8,
    ServerSideEmit = 9,
    ServerSideReply = 10,
    BroadcastCount = 11,
    BroadcastAck = 12,
    Bye = 13,
    /// Node's have no such thing.
    AllRooms = 32,
    Rooms = 33,
    Fence = 34,
}

/// The head: the members that any message may have. Arguments are their text; their attachments follow the head.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    node: NodeId,
    namespace: Arc<str>,
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arguments: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rooms: Vec<Room>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    except: Vec<Room>,
    #[serde(default)]
    flags: Flags,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<RequestId>,
    /// The rooms that are joined or left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    change: Vec<Room>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(default)]
    close: bool,
    #[serde(default)]
    clients: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sockets: Vec<SocketInfo>,
}

pub(super) fn write(envelope: &Envelope) -> Vec<u8> {
    let mut head = Head {
        node: envelope.node.clone(),
        namespace: envelope.namespace.clone(),
        kind: Kind::Hello,
        arguments: None,
        rooms: Vec::new(),
        except: Vec::new(),
        flags: Flags::default(),
        request: None,
        change: Vec::new(),
        epoch: None,
        close: false,
        clients: 0,
        sockets: Vec::new(),
    };
    let mut attachments: &[Bytes] = &[];
    match &envelope.message {
        Message::Hello => {}
        Message::Heartbeat => head.kind = Kind::Heartbeat,
        Message::Bye => head.kind = Kind::Bye,
        Message::Broadcast { arguments, targets, flags, request } => {
            head.kind = Kind::Broadcast;
            head.aim(targets);
            head.flags = *flags;
            head.request = request.clone();
            attachments = head.say(arguments);
        }
        Message::Join { targets, rooms } => {
            head.kind = Kind::Join;
            head.aim(targets);
            head.change = rooms.clone();
        }
        Message::Leave { targets, rooms } => {
            head.kind = Kind::Leave;
            head.aim(targets);
            head.change = rooms.clone();
        }
        Message::Disconnect { targets, close } => {
            head.kind = Kind::Disconnect;
            head.aim(targets);
            head.close = *close;
        }
        Message::Fetch { targets, request } => {
            head.kind = Kind::Fetch;
            head.aim(targets);
            head.request = Some(request.clone());
        }
        Message::Fetched { request, sockets } => {
            head.kind = Kind::Fetched;
            head.request = Some(request.clone());
            head.sockets = sockets.clone();
        }
        Message::AllRooms { request } => {
            head.kind = Kind::AllRooms;
            head.request = Some(request.clone());
        }
        Message::Rooms { request, rooms } => {
            head.kind = Kind::Rooms;
            head.request = Some(request.clone());
            head.change = rooms.clone();
        }
        Message::ServerSideEmit { arguments, request } => {
            head.kind = Kind::ServerSideEmit;
            head.request = request.clone();
            attachments = head.say(arguments);
        }
        Message::ServerSideReply { request, arguments } => {
            head.kind = Kind::ServerSideReply;
            head.request = Some(request.clone());
            attachments = head.say(arguments);
        }
        Message::BroadcastCount { request, clients } => {
            head.kind = Kind::BroadcastCount;
            head.request = Some(request.clone());
            head.clients = *clients;
        }
        Message::BroadcastAck { request, arguments } => {
            head.kind = Kind::BroadcastAck;
            head.request = Some(request.clone());
            attachments = head.say(arguments);
        }
        Message::Fence { id, epoch } => {
            head.kind = Kind::Fence;
            head.rooms = vec![id.clone()];
            head.epoch = Some(*epoch);
        }
    }
    // All members are text, numbers and JSON values: nothing that JSON cannot hold.
    let head = serde_json::to_vec(&head).unwrap_or_default();
    let mut bytes = Vec::with_capacity(4 + head.len() + attachments.iter().map(|part| 4 + part.len()).sum::<usize>());
    append(&mut bytes, &head);
    attachments.iter().for_each(|part| append(&mut bytes, part));
    bytes
}

pub(super) fn read(bytes: &Bytes) -> Result<Envelope, BusError> {
    let mut rest = bytes.clone();
    let head = part(&mut rest)?;
    let head: Head = serde_json::from_slice(&head).map_err(|error| BusError::Malformed(error.to_string()))?;
    let mut attachments = Vec::new();
    while rest.has_remaining() {
        attachments.push(part(&mut rest)?);
    }
    let Head {
        node,
        namespace,
        arguments,
        rooms,
        except,
        flags,
        request,
        change,
        epoch,
        close,
        clients,
        sockets,
        kind,
    } = head;
    let targets = Targets { rooms, except };
    let said = || {
        let text = arguments.ok_or_else(|| BusError::Malformed("no arguments".to_owned()))?;
        Arguments::from_parts(text, attachments).map_err(|error| BusError::Malformed(error.to_string()))
    };
    let asked = request.clone().ok_or_else(|| BusError::Malformed("no request".to_owned()));
    let message = match kind {
        Kind::Hello => Message::Hello,
        Kind::Heartbeat => Message::Heartbeat,
        Kind::Bye => Message::Bye,
        Kind::Broadcast => {
            let arguments = said()?;
            arguments.check_event().map_err(|error| BusError::Malformed(error.to_string()))?;
            Message::Broadcast { arguments, targets, flags, request }
        }
        Kind::Join => Message::Join { targets, rooms: change },
        Kind::Leave => Message::Leave { targets, rooms: change },
        Kind::Disconnect => Message::Disconnect { targets, close },
        Kind::Fetch => Message::Fetch { targets, request: asked? },
        Kind::Fetched => Message::Fetched { request: asked?, sockets },
        Kind::AllRooms => Message::AllRooms { request: asked? },
        Kind::Rooms => Message::Rooms { request: asked?, rooms: change },
        Kind::ServerSideEmit => Message::ServerSideEmit { arguments: said()?, request },
        Kind::ServerSideReply => Message::ServerSideReply { request: asked?, arguments: said()? },
        Kind::BroadcastCount => Message::BroadcastCount { request: asked?, clients },
        Kind::BroadcastAck => Message::BroadcastAck { request: asked?, arguments: said()? },
        Kind::Fence => {
            let id = targets.rooms.into_iter().next();
            let (id, epoch) = id.zip(epoch).ok_or_else(|| BusError::Malformed("no socket or epoch".to_owned()))?;
            Message::Fence { id, epoch }
        }
    };
    Ok(Envelope { node, namespace, offset: None, message })
}

impl Head {
    fn aim(&mut self, targets: &Targets) {
        self.rooms.clone_from(&targets.rooms);
        self.except.clone_from(&targets.except);
    }

    fn say<'a>(&mut self, arguments: &'a Arguments) -> &'a [Bytes] {
        self.arguments = Some(arguments.text().to_owned());
        arguments.attachments()
    }
}

impl From<Kind> for u8 {
    fn from(kind: Kind) -> Self {
        kind as Self
    }
}

impl TryFrom<u8> for Kind {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        Ok(match number {
            1 => Self::Hello,
            2 => Self::Heartbeat,
            3 => Self::Broadcast,
            4 => Self::Join,
            5 => Self::Leave,
            6 => Self::Disconnect,
            7 => Self::Fetch,
            8 => Self::Fetched,
            9 => Self::ServerSideEmit,
            10 => Self::ServerSideReply,
            11 => Self::BroadcastCount,
            12 => Self::BroadcastAck,
            13 => Self::Bye,
            32 => Self::AllRooms,
            33 => Self::Rooms,
            34 => Self::Fence,
            _ => return Err(format!("no message has the number {number}")),
        })
    }
}

fn append(bytes: &mut Vec<u8>, part: &[u8]) {
    // A part is a message of a client or made of some: far below 4 GiB.
    bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
    bytes.extend_from_slice(part);
}

fn part(rest: &mut Bytes) -> Result<Bytes, BusError> {
    let len = rest.try_get_u32().map_err(|error| BusError::Malformed(error.to_string()))? as usize;
    if len > rest.len() {
        return Err(BusError::Malformed(format!("{} of {len} bytes", rest.len())));
    }
    Ok(rest.split_to(len))
}
