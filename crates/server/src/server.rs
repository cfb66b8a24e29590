//! Decides what a server is: namespaces over Engine.IO, with the root namespace `/` at hand.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use limpet_bus::{NodeId, Room};
use limpet_proto::engineio::message::Message;
use limpet_proto::socketio::arguments::Arguments;
use limpet_proto::socketio::connection::{Connection as Machine, Limits};
use limpet_proto::socketio::packet::Kind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::broadcast::{Broadcast, Fetched};
use crate::client::{Client, Session};
use crate::dynamic::DynamicNamespaces;
use crate::engine::{self, Application, Connection, Engine};
use crate::error::{BroadcastAckError, ConnectError, EmitError, ServerAckError};
use crate::namespace::Namespace;
use crate::namespace::handlers::NamespaceHandlers;
use crate::options::Options;
use crate::rooms::IntoRooms;
use crate::server_event::ServerEvent;
use crate::socket::Socket;

/// A Socket.IO server. Clones are the same server.
///
/// ```no_run
/// use limpet_server::{Options, Server, Socket};
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> std::io::Result<()> {
///     let io = Server::new(Options::default());
///     io.on_connection(|socket: Socket| async move {
///         socket.on("say", |socket: Socket, text: String| async move {
///             socket.broadcast().emit("said", (socket.id(), text)).ok();
///         });
///     });
///     let listening = io.bind("127.0.0.1:3000").await?;
///     println!("listening on {}", listening.addr());
///     std::future::pending().await
/// }
/// ```
#[derive(Clone)]
pub struct Server(pub(crate) Arc<ServerInner>);

pub(crate) struct ServerInner {
    pub(crate) options: Arc<Options>,
    pub(crate) engine: Engine<App>,
    namespaces: Mutex<HashMap<Arc<str>, Namespace>>,
    dynamic: RwLock<Vec<DynamicNamespaces>>,
    root: OnceLock<Namespace>,
    own: Weak<Self>,
    runtime: OnceLock<Handle>,
}

impl Server {
    /// Makes a server. It does nothing until it is [bound](Self::bind) or [mounted](Self::service).
    pub fn new(options: Options) -> Self {
        let inner = Arc::new_cyclic(|own: &Weak<ServerInner>| ServerInner {
            engine: Engine::new(options.engine.clone(), App(own.clone())),
            options: Arc::new(options),
            namespaces: Mutex::default(),
            dynamic: RwLock::default(),
            root: OnceLock::new(),
            own: own.clone(),
            runtime: OnceLock::new(),
        });
        let server = Self(inner);
        server.root();
        server
    }

    /// Returns a namespace; makes it if there is none of this name. A slash is put in front of a name without one.
    pub fn of(&self, name: &str) -> Namespace {
        self.0.remember_runtime();
        let name: Arc<str> = if name.starts_with('/') { name.into() } else { format!("/{name}").into() };
        let (namespace, is_new) = self.0.namespace(&name, &Arc::default(), false, false);
        if is_new {
            namespace.join_nodes();
        }
        namespace
    }

    /// Makes namespaces as clients ask for them: those whose name and `auth` the function accepts.
    ///
    /// ```no_run
    /// use limpet_server::{Options, Server, Socket};
    /// let io = Server::new(Options::default());
    /// let rooms = io.of_matching(|name, _auth| name.starts_with("/room-"));
    /// rooms.on_connection(|socket: Socket| async move {
    ///     socket.namespace().emit("joined", socket.id()).ok();
    /// });
    /// ```
    pub fn of_matching(&self, matches: impl Fn(&str, &Value) -> bool + Send + Sync + 'static) -> DynamicNamespaces {
        let dynamic = DynamicNamespaces::new(Arc::downgrade(&self.0), Box::new(matches));
        self.0.dynamic.write().unwrap_or_else(PoisonError::into_inner).push(dynamic.clone());
        dynamic
    }

    /// As [`Namespace::on_connection`], for `/`.
    pub fn on_connection<F, Fut>(&self, handler: F)
    where
        F: Fn(Socket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.root().on_connection(handler);
    }

    /// As [`Namespace::middleware`], for `/`.
    pub fn middleware<F, Fut>(&self, middleware: F)
    where
        F: Fn(Socket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), ConnectError>> + Send + 'static,
    {
        self.root().middleware(middleware);
    }

    /// As [`Namespace::on_server_event`], for `/`.
    pub fn on_server_event<F, Fut>(&self, name: impl Into<String>, handler: F)
    where
        F: Fn(ServerEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.root().on_server_event(name, handler);
    }

    /// Returns the Engine.IO server below: its sessions, its hooks.
    pub fn engine(&self) -> &Engine<App> {
        &self.0.engine
    }

    /// Is called for every request that is refused before there is a session; the last function counts.
    pub fn on_connection_error(&self, hook: impl Fn(&engine::ConnectionError) + Send + Sync + 'static) {
        self.0.engine.on_connection_error(hook);
    }

    /// Returns the options.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Returns the name of this server among those that are joined.
    pub fn node(&self) -> &NodeId {
        &self.0.options.node
    }

    /// Returns the namespaces that exist now.
    pub fn namespaces(&self) -> Vec<Namespace> {
        self.0.table().values().cloned().collect()
    }

    /// Returns the sockets of this node in `/`.
    pub fn sockets(&self) -> Vec<Socket> {
        self.root().sockets()
    }

    /// As [`Namespace::all`], for `/`.
    pub fn all(&self) -> Broadcast {
        self.root().all()
    }

    /// As [`Namespace::to`], for `/`.
    pub fn to(&self, rooms: impl IntoRooms) -> Broadcast {
        self.root().to(rooms)
    }

    /// As [`to`](Self::to).
    pub fn in_room(&self, rooms: impl IntoRooms) -> Broadcast {
        self.root().to(rooms)
    }

    /// As [`Namespace::except`], for `/`.
    pub fn except(&self, rooms: impl IntoRooms) -> Broadcast {
        self.root().except(rooms)
    }

    /// As [`Namespace::volatile`], for `/`.
    pub fn volatile(&self) -> Broadcast {
        self.root().volatile()
    }

    /// As [`Namespace::local`], for `/`.
    pub fn local(&self) -> Broadcast {
        self.root().local()
    }

    /// As [`Namespace::compress`], for `/`.
    pub fn compress(&self, compress: bool) -> Broadcast {
        self.root().compress(compress)
    }

    /// As [`Namespace::timeout`], for `/`.
    pub fn timeout(&self, timeout: Duration) -> Broadcast {
        self.root().timeout(timeout)
    }

    /// As [`Namespace::emit`], for `/`.
    ///
    /// # Errors
    /// As [`Broadcast::emit`].
    pub fn emit(&self, name: &str, arguments: impl Serialize) -> Result<(), EmitError> {
        self.root().emit(name, arguments)
    }

    /// As [`Namespace::emit_confirmed`], for `/`.
    ///
    /// # Errors
    /// As [`Broadcast::emit_confirmed`].
    pub fn emit_confirmed(&self, name: &str, arguments: impl Serialize) -> BoxFuture<'static, Result<(), EmitError>> {
        self.root().emit_confirmed(name, arguments)
    }

    /// As [`Namespace::emit_with_ack`], for `/`.
    ///
    /// # Errors
    /// As [`Broadcast::emit_with_ack`].
    pub async fn emit_with_ack<R: DeserializeOwned>(
        &self,
        name: &str,
        arguments: impl Serialize,
    ) -> Result<Vec<R>, BroadcastAckError<R>> {
        self.root().emit_with_ack(name, arguments).await
    }

    /// As [`Namespace::fetch_sockets`], for `/`.
    pub async fn fetch_sockets(&self) -> Fetched {
        self.root().fetch_sockets().await
    }

    /// As [`Namespace::sockets_join`], for `/`.
    pub fn sockets_join(&self, rooms: impl IntoRooms) {
        self.root().sockets_join(rooms);
    }

    /// As [`Namespace::sockets_leave`], for `/`.
    pub fn sockets_leave(&self, rooms: impl IntoRooms) {
        self.root().sockets_leave(rooms);
    }

    /// As [`Namespace::disconnect_sockets`], for `/`.
    pub fn disconnect_sockets(&self, close: bool) {
        self.root().disconnect_sockets(close);
    }

    /// As [`Namespace::server_side_emit`], for `/`.
    ///
    /// # Errors
    /// As [`Namespace::server_side_emit`].
    pub fn server_side_emit(&self, name: &str, arguments: impl Serialize) -> Result<(), EmitError> {
        self.root().server_side_emit(name, arguments)
    }

    /// As [`Namespace::server_side_emit_with_ack`], for `/`.
    ///
    /// # Errors
    /// As [`Namespace::server_side_emit_with_ack`].
    pub async fn server_side_emit_with_ack<R: DeserializeOwned>(
        &self,
        name: &str,
        arguments: impl Serialize,
    ) -> Result<Vec<R>, ServerAckError<R>> {
        self.root().server_side_emit_with_ack(name, arguments).await
    }

    fn root(&self) -> &Namespace {
        self.0.root.get_or_init(|| self.of("/"))
    }
}

impl ServerInner {
    /// Returns what reads the packets of a new client.
    pub(crate) fn machine(&self, connection: &Connection) -> Machine {
        let options = &self.options;
        let limits = Limits {
            connect_timeout: options.connect_timeout,
            max_attachments: options.max_attachments,
            max_namespaces: options.max_namespaces_per_client,
        };
        Machine::new(options.parser, connection.version(), limits, crate::client::now())
    }

    /// Returns the namespace that a client asks for, and counts it as a user; `None` if there is none.
    pub(crate) fn claim(&self, name: &str, auth: Option<&Arguments>) -> Option<Namespace> {
        if let Some(namespace) = self.table().get(name) {
            namespace.0.users.fetch_add(1, Ordering::Relaxed);
            return Some(namespace.clone());
        }
        let dynamic = self.dynamic.read().unwrap_or_else(PoisonError::into_inner).clone();
        if dynamic.is_empty() {
            return None;
        }
        let auth = auth.and_then(|auth| auth.get(0).ok()).unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let parent = dynamic.iter().find(|dynamic| dynamic.matches(name, &auth))?;
        let (namespace, is_new) = self.namespace(&name.into(), parent.handlers(), true, true);
        if is_new {
            namespace.join_nodes();
        }
        Some(namespace)
    }

    /// Notes that a socket no longer needs its namespace.
    pub(crate) fn released(&self, namespace: &Namespace) {
        let mut table = self.table();
        let users = namespace.0.users.fetch_sub(1, Ordering::Relaxed);
        let is_over = users == 1 && namespace.0.is_child && self.options.cleanup_empty_child_namespaces;
        if is_over && table.get(namespace.name()).is_some_and(|other| other == namespace) {
            table.remove(namespace.name());
            drop(table);
            namespace.cluster().close();
        }
    }

    /// Returns whether there are sockets, or handlers of sockets that have ended.
    pub(crate) fn is_in_use(&self) -> bool {
        self.table().values().any(|namespace| namespace.0.users.load(Ordering::Relaxed) > 0)
    }

    /// Returns the namespaces that share these handlers.
    pub(crate) fn children(&self, handlers: &Arc<NamespaceHandlers>) -> Vec<Namespace> {
        self.table().values().filter(|namespace| namespace.has_handlers(handlers)).cloned().collect()
    }

    /// Returns a new public id: that of protocol 4 comes from the sid, that of protocol 5 has nothing to do with it.
    pub(crate) fn socket_id(&self, protocol: u8, connection: &Connection, namespace: &str) -> Room {
        match (protocol, namespace) {
            (4, "/") => connection.sid().as_str().into(),
            (4, _) => format!("{namespace}#{}", connection.sid().as_str()).into(),
            _ => random_id(),
        }
    }

    /// Returns what tells a client that it is in.
    pub(crate) fn connect_reply(&self, protocol: u8, socket: &Socket) -> Vec<Message> {
        #[derive(Serialize)]
        struct Joined<'a> {
            sid: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            pid: Option<&'a str>,
        }
        // Text is always JSON.
        let joined = Joined { sid: socket.id(), pid: socket.secret() };
        let payload = (protocol != 4).then(|| Arguments::values(&joined).ok()).flatten();
        self.options.parser.encode(Kind::Connect, socket.namespace().name(), None, payload.as_ref())
    }

    /// Returns what tells a client that it is refused.
    pub(crate) fn refusal(&self, protocol: u8, namespace: &str, error: &ConnectError) -> Vec<Message> {
        let payload = match (protocol, error.data()) {
            (4, Some(data)) => data.clone(),
            (4, None) => error.message().into(),
            (_, Some(data)) => serde_json::json!({ "message": error.message(), "data": data }),
            (_, None) => serde_json::json!({ "message": error.message() }),
        };
        self.options.parser.encode_control(Kind::ConnectError, namespace, Some(&payload))
    }

    /// Runs something in the background. Outside of a runtime, in that in which the server was used before.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Option<AbortHandle> {
        let handle = Handle::try_current().ok().or_else(|| self.runtime.get().cloned());
        if handle.is_none() {
            tracing::error!("a server is used without a tokio runtime");
        }
        handle.map(|handle| handle.spawn(work).abort_handle())
    }

    fn remember_runtime(&self) {
        if self.runtime.get().is_none()
            && let Ok(handle) = Handle::try_current()
        {
            self.runtime.set(handle).ok();
        }
    }

    fn namespace(
        &self,
        name: &Arc<str>,
        handlers: &Arc<NamespaceHandlers>,
        is_child: bool,
        is_used: bool,
    ) -> (Namespace, bool) {
        let mut is_new = false;
        let mut table = self.table();
        let namespace = table.entry(name.clone()).or_insert_with(|| {
            is_new = true;
            let own = self.own.clone();
            Namespace::new(name.clone(), self.options.clone(), own, handlers.clone(), is_child)
        });
        if is_used {
            namespace.0.users.fetch_add(1, Ordering::Relaxed);
        }
        (namespace.clone(), is_new)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Arc<str>, Namespace>> {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Socket.IO, as the application of an [`Engine`].
pub struct App(Weak<ServerInner>);

impl Application for App {
    type Receiver = Session;

    fn open(&self, connection: &Connection, handshake: Arc<engine::Handshake>) -> Self::Receiver {
        Session(self.0.upgrade().map(|server| {
            server.remember_runtime();
            Client::open(server, connection, handshake)
        }))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("node", self.node()).finish_non_exhaustive()
    }
}

/// Returns 20 random characters that need no escape anywhere.
fn random_id() -> Room {
    let id: [u8; 20] = crate::random::bytes().unwrap_or_else(|| {
        // Ids that are public need to be different, not secret.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut id = [0; 20];
        id[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        id
    });
    crate::random::characters(&id).into()
}
