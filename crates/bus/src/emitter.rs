//! Decides how a process that has no clients of its own speaks to those of the cluster.
//!
//! What it publishes is what `@socket.io/redis-emitter` or `@socket.io/redis-streams-emitter` publishes, or what a write-only
//! manager of python-socketio does: nodes take it for that.

mod bulk;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use limpet_proto::socketio::arguments::{Arguments, ArgumentsError};
use redis::cmd;
use serde::Serialize;
use serde_json::Value;

use crate::adapter::BusError;
use crate::envelope::Message;
use crate::node::{NodeId, random_u64};
use crate::redis::ask::Ask;
use crate::redis::streams::{Emitting, StreamsOptions};
use crate::redis::{Address, Channels, Kept, python};
use crate::target::{Flags, Room, Targets};

pub use bulk::{Bulk, Unsent};

/// The name under which emitters publish.
const UID: &str = "emitter";

/// What is said of names that clients of Socket.IO use for themselves.
const RESERVED: &str = "an event may not be named connect, connect_error, disconnect, disconnecting, newListener or \
                        removeListener: clients would hang up";

/// How long Redis may take to take a message.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Emits from outside the cluster. Clones share one connection, which comes back by itself.
///
/// ```no_run
/// # async fn example() -> Result<(), limpet_bus::BusError> {
/// use limpet_bus::Emitter;
///
/// let emitter = Emitter::connect("redis://127.0.0.1:6379").await?;
/// emitter.emit("hi", "all sockets").await?;
/// emitter.of("/chat").to("lobby").except("bots").emit("said", ("ada", "hello")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Emitter {
    address: Address,
    connection: Kept,
    uid: NodeId,
    form: Form,
    namespace: Room,
    targets: Targets,
    flags: Flags,
}

/// Whose nodes are spoken to.
#[derive(Debug, Clone)]
enum Form {
    /// Node's classic adapter and ours; what the channels begin with, and those of the namespace.
    Node { key: Room, channels: Arc<Channels> },
    /// Nodes that share streams.
    Streams(Arc<Emitting>),
    /// python-socketio; its channel, and the name of this process.
    Python { channel: Room, host: Room },
}

impl Emitter {
    /// Connects, to speak to nodes that run Node's classic Redis adapter or ours, with `socket.io` as their key.
    ///
    /// # Errors
    /// [`BusError::Failed`] when the URL is wrong or Redis cannot be reached now.
    pub async fn connect(url: &str) -> Result<Self, BusError> {
        Self::connect_with_key(url, "socket.io").await
    }

    /// Connects, to nodes whose adapter has another key.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with_key(url: &str, key: &str) -> Result<Self, BusError> {
        Self::open(url, Form::node(key.into(), "/")).await
    }

    /// Connects, to speak to servers of python-socketio 5.14 and later, Flask-SocketIO's among them, on their channel;
    /// `socketio` unless they were told otherwise.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_python(url: &str, channel: &str) -> Result<Self, BusError> {
        let host = format!("{:016x}{:016x}", random_u64(), random_u64());
        Self::open(url, Form::Python { channel: channel.into(), host: host.into() }).await
    }

    /// Connects, to speak to nodes that share streams: Node's with its streams adapter, and ours with
    /// [`Streams`](crate::Streams). Clients that are away get the events when they recover. What Redis does not confirm is
    /// added again; our nodes give it once, Node's may give it twice. The options must be those of the nodes.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_streams(url: &str, options: &StreamsOptions) -> Result<Self, BusError> {
        Self::open(url, Form::Streams(Arc::new(Emitting::new(options)))).await
    }

    async fn open(url: &str, form: Form) -> Result<Self, BusError> {
        let address = Address::parse(url)?;
        let connection = Kept::connect_with(address.clone(), Some(RESPONSE_TIMEOUT)).await;
        let connection = connection.map_err(|error| BusError::Failed(Box::new(error)))?;
        let (uid, namespace, targets) = (UID.into(), "/".into(), Targets::all());
        Ok(Self { address, connection, uid, form, namespace, targets, flags: Flags::default() })
    }

    /// Speaks to sockets of this namespace; of `/` unless said.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Self {
        let slash = if namespace.starts_with('/') { "" } else { "/" };
        let namespace: Room = format!("{slash}{namespace}").into();
        let form = match &self.form {
            Form::Node { key, .. } => Form::node(key.clone(), &namespace),
            other => other.clone(),
        };
        Self { namespace, form, ..self.clone() }
    }

    /// Means the sockets in this room; with several calls, those in any of the rooms.
    #[must_use]
    pub fn to(&self, room: impl Into<Room>) -> Self {
        let mut emitter = self.clone();
        emitter.targets.rooms.push(room.into());
        emitter
    }

    /// Leaves out the sockets in this room.
    #[must_use]
    pub fn except(&self, room: impl Into<Room>) -> Self {
        let mut emitter = self.clone();
        emitter.targets.except.push(room.into());
        emitter
    }

    /// Drops the event for clients that cannot take it right now.
    #[must_use]
    pub fn volatile(&self) -> Self {
        Self { flags: Flags { volatile: true, ..self.flags }, ..self.clone() }
    }

    /// Says whether transports may compress the event.
    #[must_use]
    pub fn compress(&self, compress: bool) -> Self {
        Self { flags: Flags { compress, ..self.flags }, ..self.clone() }
    }

    /// Emits an event, and returns how many nodes listened. A tuple is several arguments.
    ///
    /// # Errors
    /// [`BusError::Malformed`] when the arguments are no JSON, [`BusError::Unsupported`] when the name is reserved,
    /// [`BusError::Failed`] when Redis did not take the event; it may have got it nevertheless if the connection broke
    /// meanwhile.
    pub async fn emit(&self, name: &str, arguments: impl Serialize) -> Result<u64, BusError> {
        let arguments = Arguments::event(name, &arguments).map_err(malformed)?;
        self.emit_arguments(arguments).await
    }

    /// Emits an event with these arguments, one for each value.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_values(&self, name: &str, values: &[Value]) -> Result<u64, BusError> {
        self.emit_arguments(of_values(name, values)?).await
    }

    async fn emit_arguments(&self, arguments: Arguments) -> Result<u64, BusError> {
        self.publish(&self.message(arguments)?).await
    }

    /// Makes the message of an event for whom this means.
    fn message(&self, arguments: Arguments) -> Result<Message, BusError> {
        arguments.check_event().map_err(|_| BusError::Unsupported(RESERVED))?;
        Ok(Message::Broadcast { arguments, targets: self.targets.clone(), flags: self.flags, request: None })
    }

    /// Lets the sockets that are meant join a room.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn sockets_join(&self, room: impl Into<Room>) -> Result<u64, BusError> {
        self.publish(&Message::Join { targets: self.targets.clone(), rooms: vec![room.into()] }).await
    }

    /// Lets the sockets that are meant leave a room.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn sockets_leave(&self, room: impl Into<Room>) -> Result<u64, BusError> {
        self.publish(&Message::Leave { targets: self.targets.clone(), rooms: vec![room.into()] }).await
    }

    /// Disconnects the sockets that are meant, and with `close` the connections below them.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn disconnect_sockets(&self, close: bool) -> Result<u64, BusError> {
        self.publish(&Message::Disconnect { targets: self.targets.clone(), close }).await
    }

    /// Tells the servers themselves of an event; no client gets it. Python's have no such thing.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn server_side_emit(&self, name: &str, arguments: impl Serialize) -> Result<u64, BusError> {
        let arguments = Arguments::event(name, &arguments).map_err(malformed)?;
        self.publish(&Message::ServerSideEmit { arguments, request: None }).await
    }

    /// Tells the servers of an event with these arguments, one for each value.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn server_side_emit_values(&self, name: &str, values: &[Value]) -> Result<u64, BusError> {
        self.publish(&Message::ServerSideEmit { arguments: of_values(name, values)?, request: None }).await
    }

    /// Connects once more, for many events: each takes a fraction of what [`emit`](Self::emit) takes.
    ///
    /// # Errors
    /// [`BusError::Failed`] when Redis cannot be reached now.
    pub async fn bulk(&self) -> Result<Bulk, BusError> {
        Bulk::open(self.address.clone(), &self.form).await
    }

    /// Returns what is published on which channels; nothing where streams are shared.
    fn published(&self, message: &Message) -> Result<Vec<(String, Vec<u8>)>, BusError> {
        Ok(match &self.form {
            Form::Node { channels, .. } => channels.write(&self.uid, None, false, message)?.into_iter().collect(),
            Form::Streams(_) => Vec::new(),
            Form::Python { channel, host } => {
                let bodies = python::write(host, &self.namespace, message)?;
                bodies.into_iter().map(|body| (channel.to_string(), body)).collect()
            }
        })
    }

    async fn publish(&self, message: &Message) -> Result<u64, BusError> {
        if let Form::Streams(streams) = &self.form {
            return streams.publish(&mut self.connection.clone(), UID, &self.namespace, message).await;
        }
        let mut most = 0;
        for (channel, bytes) in self.published(message)? {
            let mut connection = self.connection.clone();
            let sent = connection.ask(cmd("PUBLISH").arg(channel).arg(bytes)).await;
            most = u64::max(most, sent.map_err(|error| BusError::Failed(Box::new(error)))?);
        }
        Ok(most)
    }
}

impl Form {
    fn node(key: Room, namespace: &str) -> Self {
        let channels = Arc::new(Channels::new(&key, namespace));
        Self::Node { key, channels }
    }
}

fn of_values(name: &str, values: &[Value]) -> Result<Arguments, BusError> {
    let list: Value = std::iter::once(Value::from(name)).chain(values.iter().cloned()).collect();
    event(&list.to_string())
}

/// Reads an event that is one JSON array.
fn event(text: &str) -> Result<Arguments, BusError> {
    let arguments = Arguments::from_parts(text, Vec::new()).map_err(malformed)?;
    match arguments.raw(0) {
        Some(name) if name.starts_with('"') => Ok(arguments),
        _ => Err(BusError::Malformed("a list begins with the event's name".to_owned())),
    }
}

fn malformed(error: ArgumentsError) -> BusError {
    BusError::Malformed(error.to_string())
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter")
            .field("form", &self.form)
            .field("namespace", &self.namespace)
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}
