//! Decides what a namespace is: handlers, sockets of this node, and the same namespace on other nodes.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use limpet_bus::cluster::{Answers, Cluster, Sockets};
use limpet_bus::hub::Hub;
use limpet_bus::{BusError, ClusterOptions, Flags, Missing, NodeId, Offset, Room, Targets};
use limpet_proto::engineio::message::Message;
use limpet_proto::socketio::arguments::Arguments;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::broadcast::{Broadcast, Fetched};
use crate::emitter::event;
use crate::error::{BroadcastAckError, ConnectError, EmitError, ServerAckError};
use crate::options::Options;
use crate::rooms::IntoRooms;
use crate::server::ServerInner;
use crate::server_event::ServerEvent;
use crate::socket::Socket;

pub(crate) mod handlers;
mod sockets;

use handlers::NamespaceHandlers;

/// A namespace: sockets under one name, on all nodes that are joined. Clones are the same namespace.
///
/// ```no_run
/// use limpet_server::{ConnectError, Options, Server, Socket};
///
/// let io = Server::new(Options::default());
/// let chat = io.of("/chat");
/// chat.middleware(|socket: Socket| async move {
///     match socket.handshake().header("authorization") {
///         Some(_) => Ok(()),
///         None => Err(ConnectError::new("not authorized")),
///     }
/// });
/// chat.on_connection(|socket: Socket| async move {
///     socket.broadcast().emit("joined", socket.id()).ok();
/// });
/// ```
#[derive(Clone)]
pub struct Namespace(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    name: Arc<str>,
    options: Arc<Options>,
    server: Weak<ServerInner>,
    hub: Hub<Socket>,
    cluster: Arc<Cluster>,
    handlers: Arc<NamespaceHandlers>,
    /// The next id of an event that is acknowledged.
    ids: AtomicU64,
    /// Held while an event with an offset is given to the sockets, so that all of them get such events in one order.
    order: Mutex<()>,
    /// How many sockets are in it or about to be. Changes only while the server's table of namespaces is locked.
    pub(crate) users: AtomicUsize,
    pub(crate) is_child: bool,
}

impl Namespace {
    /// Makes a namespace that has not joined its like on other nodes; see [`join_nodes`](Self::join_nodes).
    pub(crate) fn new(
        name: Arc<str>,
        options: Arc<Options>,
        server: Weak<ServerInner>,
        handlers: Arc<NamespaceHandlers>,
        is_child: bool,
    ) -> Self {
        Self(Arc::new_cyclic(|own: &Weak<Inner>| {
            let sockets: Weak<dyn Sockets> = own.clone();
            let nodes = ClusterOptions {
                timeout: options.request_timeout,
                recovery: options.recovery.as_ref().map(|recovery| recovery.max_disconnection),
            };
            let cluster = Cluster::new(options.node.clone(), sockets, nodes);
            Inner {
                name,
                options,
                server,
                hub: Hub::new(),
                cluster,
                handlers,
                ids: AtomicU64::new(0),
                order: Mutex::new(()),
                users: AtomicUsize::new(0),
                is_child,
            }
        }))
    }

    pub(crate) fn join_nodes(&self) {
        self.0.cluster.join(&*self.0.options.adapter, &self.0.name);
    }

    /// Returns the name, with its leading slash.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the name of this node.
    pub fn node(&self) -> &NodeId {
        self.0.cluster.node()
    }

    /// Is called with each socket that is connected, after the middlewares. The events of the socket wait until the
    /// handler has ended, so that handlers that it adds miss nothing; what should go on for longer belongs into a task.
    pub fn on_connection<F, Fut>(&self, handler: F)
    where
        F: Fn(Socket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.0.handlers.add_connection(Arc::new(move |socket| Box::pin(handler(socket))));
    }

    /// Looks at each client before it is connected, and may refuse it. Middlewares run in their order.
    pub fn middleware<F, Fut>(&self, middleware: F)
    where
        F: Fn(Socket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), ConnectError>> + Send + 'static,
    {
        self.0.handlers.add_middleware(Arc::new(move |socket| Box::pin(middleware(socket))));
    }

    /// Handles events that other servers send with [`server_side_emit`](Self::server_side_emit).
    pub fn on_server_event<F, Fut>(&self, name: impl Into<String>, handler: F)
    where
        F: Fn(ServerEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.0.handlers.add_server_event(name.into(), Arc::new(move |event| Box::pin(handler(event))));
    }

    /// Returns the socket of an id, if this node has it.
    pub fn socket(&self, id: &str) -> Option<Socket> {
        self.0.hub.get(id)
    }

    /// Returns the sockets of this node.
    pub fn sockets(&self) -> Vec<Socket> {
        self.0.hub.select(&Targets::all())
    }

    /// Returns how many sockets this node has.
    pub fn socket_count(&self) -> usize {
        self.0.hub.len()
    }

    /// Returns the rooms of this node that somebody is in, without the sockets' own.
    pub fn rooms(&self) -> Vec<Room> {
        self.0.hub.room_names()
    }

    /// Asks every node for the rooms that somebody is in, without the sockets' own.
    pub async fn all_rooms(&self) -> Answers<Room> {
        self.0.cluster.all_rooms(Flags::default()).await
    }

    /// Means all sockets of the namespace, on all nodes.
    pub fn all(&self) -> Broadcast {
        Broadcast::new(self.clone(), Targets::all(), Flags::default())
    }

    /// Means the sockets in these rooms.
    pub fn to(&self, rooms: impl IntoRooms) -> Broadcast {
        self.all().to(rooms)
    }

    /// As [`to`](Self::to).
    pub fn in_room(&self, rooms: impl IntoRooms) -> Broadcast {
        self.to(rooms)
    }

    /// Means all sockets but those in these rooms.
    pub fn except(&self, rooms: impl IntoRooms) -> Broadcast {
        self.all().except(rooms)
    }

    /// Drops events for clients that cannot take them right now.
    pub fn volatile(&self) -> Broadcast {
        self.all().volatile()
    }

    /// Means the sockets of this node only.
    pub fn local(&self) -> Broadcast {
        self.all().local()
    }

    /// Says whether the transport may compress what is sent.
    pub fn compress(&self, compress: bool) -> Broadcast {
        self.all().compress(compress)
    }

    /// Limits the wait for acknowledgements, and for other nodes.
    pub fn timeout(&self, timeout: Duration) -> Broadcast {
        self.all().timeout(timeout)
    }

    /// Sends an event to all sockets; see [`Broadcast::emit`].
    ///
    /// # Errors
    /// As [`Broadcast::emit`].
    pub fn emit(&self, name: &str, arguments: impl Serialize) -> Result<(), EmitError> {
        self.all().emit(name, arguments)
    }

    /// Sends an event to all sockets, and waits until the bus has it; see [`Broadcast::emit_confirmed`].
    ///
    /// # Errors
    /// As [`Broadcast::emit_confirmed`].
    pub fn emit_confirmed(&self, name: &str, arguments: impl Serialize) -> BoxFuture<'static, Result<(), EmitError>> {
        self.all().emit_confirmed(name, arguments)
    }

    /// Sends an event to all sockets and collects the acknowledgements; see [`Broadcast::emit_with_ack`].
    ///
    /// # Errors
    /// As [`Broadcast::emit_with_ack`].
    pub async fn emit_with_ack<R: DeserializeOwned>(
        &self,
        name: &str,
        arguments: impl Serialize,
    ) -> Result<Vec<R>, BroadcastAckError<R>> {
        self.all().emit_with_ack(name, arguments).await
    }

    /// Finds all sockets, on all nodes.
    pub async fn fetch_sockets(&self) -> Fetched {
        self.all().fetch_sockets().await
    }

    /// Lets all sockets join rooms.
    pub fn sockets_join(&self, rooms: impl IntoRooms) {
        self.all().sockets_join(rooms);
    }

    /// Lets all sockets leave rooms.
    pub fn sockets_leave(&self, rooms: impl IntoRooms) {
        self.all().sockets_leave(rooms);
    }

    /// Disconnects all sockets.
    pub fn disconnect_sockets(&self, close: bool) {
        self.all().disconnect_sockets(close);
    }

    /// Sends an event to the other servers, whose [`on_server_event`](Self::on_server_event) handles it.
    ///
    /// # Errors
    /// [`EmitError`] when the arguments cannot be written, or the other nodes cannot be told.
    pub fn server_side_emit(&self, name: &str, arguments: impl Serialize) -> Result<(), EmitError> {
        Ok(self.0.cluster.server_side_emit(event(name, &arguments)?)?)
    }

    /// Sends an event to the other servers and collects what they reply, for up to
    /// [`Options::request_timeout`](crate::Options::request_timeout).
    ///
    /// # Errors
    /// [`ServerAckError`] when not all servers have replied in time, or a reply is not of this type; with the replies that
    /// came.
    pub async fn server_side_emit_with_ack<R: DeserializeOwned>(
        &self,
        name: &str,
        arguments: impl Serialize,
    ) -> Result<Vec<R>, ServerAckError<R>> {
        let arguments = event(name, &arguments).map_err(|error| ServerAckError {
            answers: Vec::new(),
            missing: Missing::default(),
            error: Some(error),
        })?;
        let replies = self.0.cluster.server_side_emit_with_ack(arguments, None).await;
        let mut error = replies.error.map(EmitError::from);
        let mut answers = Vec::with_capacity(replies.answers.len());
        for reply in replies.answers {
            match reply.get(0) {
                Ok(answer) => answers.push(answer),
                Err(cause) => error = Some(EmitError::Arguments(cause.to_string())),
            }
        }
        if replies.missing.is_empty() && error.is_none() {
            return Ok(answers);
        }
        Err(ServerAckError { answers, missing: replies.missing, error })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    /// Returns whether clients that come back pass the middlewares by.
    pub(crate) fn skips_middlewares(&self) -> bool {
        self.0.options.recovery.as_ref().is_some_and(|recovery| recovery.skip_middlewares)
    }

    /// Writes an event as the messages that carry it, with an offset behind its arguments if clients are to know one.
    pub(crate) fn write(&self, arguments: &Arguments, compress: bool, offset: Option<Offset>) -> Vec<Message> {
        self.0.write(arguments, compress, offset)
    }

    pub(crate) fn hub(&self) -> &Hub<Socket> {
        &self.0.hub
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.0.cluster
    }

    pub(crate) fn handlers(&self) -> &NamespaceHandlers {
        &self.0.handlers
    }

    pub(crate) fn has_handlers(&self, handlers: &Arc<NamespaceHandlers>) -> bool {
        Arc::ptr_eq(&self.0.handlers, handlers)
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.0.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes that a socket no longer needs the namespace.
    pub(crate) fn released(&self) {
        if let Some(server) = self.0.server.upgrade() {
            server.released(self);
        }
    }
}

impl From<BusError> for crate::error::AckError {
    fn from(error: BusError) -> Self {
        Self::Emit(error.into())
    }
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("name", &self.0.name).finish_non_exhaustive()
    }
}
