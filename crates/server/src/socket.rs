//! Decides what the application can do with one client in one namespace.
//!
//! A socket is connecting while middlewares look at it, connected, and then closed, in this order. It is in the hub of its
//! namespace exactly while it is connected, or its client comes back and is about to be connected. Its lock is taken before the hub's, never behind it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use limpet_bus::{NodeId, Room, SocketInfo, Targets};
use limpet_proto::socketio::arguments::Arguments;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::acks::Acks;
use crate::broadcast::Broadcast;
use crate::client::Client;
use crate::emitter::Emitter;
use crate::engine::Transport;
use crate::error::{AckError, EmitError};
use crate::handshake::Handshake;
use crate::namespace::Namespace;
use crate::queue::Queue;
use crate::reason::DisconnectReason;
use crate::rooms::IntoRooms;

pub(crate) mod handlers;
pub(crate) mod keep;
pub(crate) mod life;
mod on;

use handlers::Handlers;
use keep::Keep;

/// A client in a namespace. Clones are the same socket.
///
/// ```no_run
/// use limpet_server::{Options, Server, Socket};
///
/// let io = Server::new(Options::default());
/// io.on_connection(|socket: Socket| async move {
///     socket.join("lobby");
///     socket.on("say", |socket: Socket, text: String| async move {
///         socket.to("lobby").emit("said", (socket.id(), text)).ok();
///     });
/// });
/// ```
#[derive(Clone)]
pub struct Socket(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    id: Room,
    pub(crate) namespace: Namespace,
    pub(crate) client: Arc<Client>,
    auth: Option<Arguments>,
    is_connected: AtomicBool,
    /// Whether somebody wants to see outgoing events; asked for each of them.
    is_watched: AtomicBool,
    /// The session, if the client can come back. Most of it is elsewhere, so that others do not keep room for it.
    keep: OnceLock<Box<Keep>>,
    pub(crate) state: Mutex<State>,
    pub(crate) acks: Mutex<Acks>,
}

pub(crate) struct State {
    phase: Phase,
    pub(crate) queue: Queue,
    pub(crate) handlers: Handlers,
    /// Before the socket is connected: the rooms to join. When it is closed, until its handlers have been told: those in
    /// which it was.
    rooms: Vec<Room>,
    data: Option<Box<Map<String, Value>>>,
}

impl State {
    fn data_value(&self) -> Value {
        Value::Object(self.data.as_deref().cloned().unwrap_or_default())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    /// In the hub, but not connected: its client comes back and gets what it missed first.
    Returning,
    Connected,
    Closed,
}

impl Socket {
    pub(crate) fn new(id: Room, namespace: Namespace, client: Arc<Client>, auth: Option<Arguments>) -> Self {
        Self(Arc::new(Inner {
            id,
            namespace,
            client,
            auth,
            is_connected: AtomicBool::new(false),
            is_watched: AtomicBool::new(false),
            keep: OnceLock::new(),
            state: Mutex::new(State {
                phase: Phase::Connecting,
                queue: Queue::default(),
                handlers: Handlers::default(),
                rooms: Vec::new(),
                data: None,
            }),
            acks: Mutex::default(),
        }))
    }

    /// Returns the public id: 20 letters and digits, not the secret sid of the session below. Version 4 clients have the
    /// sid for it, as that protocol wants.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Returns what the client said when it came.
    pub fn handshake(&self) -> Handshake {
        Handshake { request: self.0.client.handshake(), auth: self.0.auth.clone() }
    }

    /// Returns the namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// Returns the name of the node that has the socket.
    pub fn node(&self) -> &NodeId {
        self.0.namespace.node()
    }

    /// Returns how the client's packets travel now.
    pub fn transport(&self) -> Transport {
        self.0.client.connection().transport()
    }

    /// Returns the version of the Socket.IO protocol that the client speaks: 5, or 4 for clients of 2.x.
    pub fn protocol(&self) -> u8 {
        self.0.client.protocol()
    }

    /// Returns whether the socket is connected: after the middlewares, until it is closed.
    pub fn connected(&self) -> bool {
        self.0.is_connected.load(Ordering::Acquire)
    }

    /// Returns whether the client has come back: it has its id, rooms and data again, and has got what it missed. See
    /// [`Options::recovery`](crate::Options::recovery).
    pub fn recovered(&self) -> bool {
        self.keep().is_some_and(|keep| keep.is_recovered)
    }

    /// Sends an event. Never waits: what the client does not read is queued, up to the bounds of
    /// [`engine::Options`](crate::engine::Options), beyond which it is disconnected.
    ///
    /// A tuple is several arguments, `()` is none. `bytes::Bytes` travel as binary attachments.
    ///
    /// # Errors
    /// [`EmitError`] when the socket is not connected, its queue is full, the name is reserved, or the arguments cannot be
    /// written.
    pub fn emit(&self, name: &str, arguments: impl Serialize) -> Result<(), EmitError> {
        self.emitter().emit(name, arguments)
    }

    /// Sends an event as [`emit`](Self::emit) does, and waits until the bus has it; see [`Broadcast::emit_confirmed`].
    ///
    /// # Errors
    /// As [`Broadcast::emit_confirmed`], and when the socket is not connected.
    pub fn emit_confirmed(&self, name: &str, arguments: impl Serialize) -> BoxFuture<'static, Result<(), EmitError>> {
        self.emitter().emit_confirmed(name, arguments)
    }

    /// Sends an event and waits for the client's acknowledgement, whose first argument is returned. The event leaves at
    /// once, even before the future is awaited.
    ///
    /// Waits as long as [`Options::ack_timeout`](crate::Options::ack_timeout) says; see [`timeout`](Self::timeout).
    ///
    /// ```no_run
    /// # async fn example(socket: limpet_server::Socket) -> Result<(), limpet_server::AckError> {
    /// use std::time::Duration;
    /// let colour: String = socket.timeout(Duration::from_secs(3)).emit_with_ack("which colour?", ("cars",)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn emit_with_ack<R: DeserializeOwned + 'static>(
        &self,
        name: &str,
        arguments: impl Serialize,
    ) -> BoxFuture<'static, Result<R, AckError>> {
        self.emitter().emit_with_ack(name, arguments)
    }

    /// Sends events that are dropped when the client cannot take them right now.
    pub fn volatile(&self) -> Emitter {
        self.emitter().volatile()
    }

    /// Says whether the transport may compress what is sent; on unless switched off.
    pub fn compress(&self, compress: bool) -> Emitter {
        self.emitter().compress(compress)
    }

    /// Limits the wait for acknowledgements.
    pub fn timeout(&self, timeout: Duration) -> Emitter {
        self.emitter().timeout(timeout)
    }

    /// Means the sockets in these rooms, except this one.
    pub fn to(&self, rooms: impl IntoRooms) -> Broadcast {
        self.broadcast().in_room(rooms)
    }

    /// As [`to`](Self::to).
    pub fn in_room(&self, rooms: impl IntoRooms) -> Broadcast {
        self.to(rooms)
    }

    /// Means all sockets but those in these rooms, and this one.
    pub fn except(&self, rooms: impl IntoRooms) -> Broadcast {
        self.broadcast().except(rooms)
    }

    /// Means all sockets of the namespace, except this one.
    pub fn broadcast(&self) -> Broadcast {
        self.emitter().broadcast()
    }

    /// Means all sockets of this node, except this one.
    pub fn local(&self) -> Broadcast {
        self.broadcast().local()
    }

    /// Joins rooms. Before the socket is connected, in a middleware, it joins when it is.
    pub fn join(&self, rooms: impl IntoRooms) {
        let mut rooms = rooms.into_rooms();
        let mut state = self.lock();
        match state.phase {
            Phase::Connecting => state.rooms.append(&mut rooms),
            Phase::Returning | Phase::Connected => {
                self.0.namespace.hub().join(&self.0.id, &rooms);
            }
            Phase::Closed => {}
        }
        drop(state);
        self.touched();
    }

    /// Leaves rooms. A socket never leaves the room of its own id.
    pub fn leave(&self, rooms: impl IntoRooms) {
        let rooms = rooms.into_rooms();
        let mut state = self.lock();
        match state.phase {
            Phase::Connecting => state.rooms.retain(|room| !rooms.contains(room)),
            Phase::Returning | Phase::Connected => {
                self.0.namespace.hub().leave(&self.0.id, &rooms);
            }
            Phase::Closed => {}
        }
        drop(state);
        self.touched();
    }

    /// Returns the rooms of the socket, its own first. While it is told of its end by `on_disconnecting`, those in which
    /// it was.
    pub fn rooms(&self) -> Vec<Room> {
        let state = self.lock();
        match state.phase {
            Phase::Returning | Phase::Connected => self.0.namespace.hub().rooms(&self.0.id),
            Phase::Connecting | Phase::Closed => state.rooms.clone(),
        }
    }

    /// Keeps a value with the socket, by a name. Other nodes see it in [`RemoteSocket::data`](crate::RemoteSocket::data).
    /// A value that cannot be written as JSON is not kept, and an error is logged.
    pub fn set_data(&self, key: &str, value: &impl Serialize) {
        match serde_json::to_value(value) {
            Ok(value) => {
                self.lock().data.get_or_insert_default().insert(key.to_owned(), value);
                self.touched();
            }
            Err(error) => tracing::error!(socket = %self.id(), key, %error, "data that is not JSON"),
        }
    }

    /// Returns a value that is kept with the socket; `None` if there is none of this name and type.
    pub fn data<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let state = self.lock();
        T::deserialize(state.data.as_ref()?.get(key)?).ok()
    }

    /// Removes a value that is kept with the socket.
    pub fn remove_data(&self, key: &str) {
        if let Some(data) = &mut self.lock().data {
            data.remove(key);
        }
        self.touched();
    }

    /// Disconnects the socket; with `close`, the client's session with all its sockets.
    ///
    /// The client hears of it and does not come back by itself; see [`close_connection`](Self::close_connection) for one
    /// that is to come back. What was emitted before reaches it first: if clients recover, the socket may still be
    /// [connected](Self::connected) for a moment.
    pub fn disconnect(&self, close: bool) {
        if close {
            self.0.client.disconnect();
        } else {
            let socket = self.clone();
            let leave = move || socket.leave_namespace(DisconnectReason::ServerNamespaceDisconnect);
            self.0.namespace.cluster().in_order(leave);
        }
    }

    /// Closes the connection of the socket's client, as if the network had: for a server that wants to be rid of it without
    /// sending it away.
    ///
    /// What was emitted before leaves first. The client connects again by itself, and goes on where it was if clients
    /// [recover](crate::Options::recovery). All its sockets end with
    /// [`ForcedClose`](crate::DisconnectReason::ForcedClose). Node: `socket.conn.close()`.
    pub fn close_connection(&self) {
        let client = self.0.client.clone();
        self.0.namespace.cluster().in_order(move || client.close());
    }

    fn emitter(&self) -> Emitter {
        Emitter::new(self.clone())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn info(&self, rooms: Vec<Room>) -> SocketInfo {
        let data = self.lock().data_value();
        SocketInfo { id: self.0.id.clone(), handshake: self.handshake().to_json(), rooms, data }
    }

    pub(crate) fn targets(&self) -> Targets {
        Targets { rooms: Vec::new(), except: vec![self.0.id.clone()] }
    }
}

impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Socket {}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("id", &self.0.id).field("namespace", &self.0.namespace.name()).finish()
    }
}
