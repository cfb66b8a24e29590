//! Decides how a process that has no clients of its own speaks to those of the cluster.
//!
//! What it publishes is what `@socket.io/redis-emitter` or `@socket.io/redis-streams-emitter` publishes, or what a write-only
//! manager of python-socketio does: nodes take it for that.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use limpet_proto::socketio::arguments::Arguments;
use redis::cmd;
use serde::Serialize;
use serde_json::Value;

use crate::adapter::BusError;
use crate::envelope::Message;
use crate::node::{NodeId, random_u64};
use crate::redis::ask::Ask;
use crate::redis::streams::{Emitting, StreamsOptions};
use crate::redis::{Address, Channels, Kept};
use crate::target::{Flags, Room, Targets};

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
    connection: Kept,
    form: Form,
    namespace: Room,
    targets: Targets,
    flags: Flags,
}

/// Whose nodes are spoken to.
#[derive(Debug, Clone)]
enum Form {
    /// Node's classic adapter and ours; what the channels begin with.
    Node(Room),
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
        Self::open(url, Form::Node(key.into())).await
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
        let connection = Kept::connect_with(Address::parse(url)?, Some(RESPONSE_TIMEOUT)).await;
        let connection = connection.map_err(|error| BusError::Failed(Box::new(error)))?;
        Ok(Self { connection, form, namespace: "/".into(), targets: Targets::all(), flags: Flags::default() })
    }

    /// Speaks to sockets of this namespace; of `/` unless said.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Self {
        let slash = if namespace.starts_with('/') { "" } else { "/" };
        Self { namespace: format!("{slash}{namespace}").into(), ..self.clone() }
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
        let arguments = Arguments::event(name, &arguments).map_err(|error| BusError::Malformed(error.to_string()))?;
        self.emit_arguments(arguments).await
    }

    /// Emits an event with these arguments, one for each value.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_values(&self, name: &str, values: &[Value]) -> Result<u64, BusError> {
        self.emit_arguments(event(name, values)?).await
    }

    async fn emit_arguments(&self, arguments: Arguments) -> Result<u64, BusError> {
        arguments.check_event().map_err(|_| BusError::Unsupported(RESERVED))?;
        let (targets, flags) = (self.targets.clone(), self.flags);
        self.publish(&Message::Broadcast { arguments, targets, flags, request: None }).await
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
        let arguments = Arguments::event(name, &arguments).map_err(|error| BusError::Malformed(error.to_string()))?;
        self.publish(&Message::ServerSideEmit { arguments, request: None }).await
    }

    /// Tells the servers of an event with these arguments, one for each value.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn server_side_emit_values(&self, name: &str, values: &[Value]) -> Result<u64, BusError> {
        self.publish(&Message::ServerSideEmit { arguments: event(name, values)?, request: None }).await
    }

    async fn publish(&self, message: &Message) -> Result<u64, BusError> {
        let messages = match &self.form {
            Form::Node(key) => {
                let channels = Channels::new(key, &self.namespace);
                channels.write(&NodeId::from(UID), None, false, message)?.into_iter().collect()
            }
            Form::Streams(streams) => {
                return streams.publish(&mut self.connection.clone(), UID, &self.namespace, message).await;
            }
            Form::Python { channel, host } => {
                let bodies = crate::redis::python::write(host, &self.namespace, message)?;
                bodies.into_iter().map(|body| (channel.to_string(), body)).collect::<Vec<_>>()
            }
        };
        let mut most = 0;
        for (channel, bytes) in messages {
            let mut connection = self.connection.clone();
            let sent = connection.ask(cmd("PUBLISH").arg(channel).arg(bytes)).await;
            most = u64::max(most, sent.map_err(|error| BusError::Failed(Box::new(error)))?);
        }
        Ok(most)
    }
}

fn event(name: &str, values: &[Value]) -> Result<Arguments, BusError> {
    let list: Value = std::iter::once(Value::from(name)).chain(values.iter().cloned()).collect();
    Arguments::from_parts(list.to_string(), Vec::new()).map_err(|error| BusError::Malformed(error.to_string()))
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
