//! Decides what a server is: namespaces over Engine.IO, with the root namespace `/` at hand.

mod inner;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use limpet_bus::NodeId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::broadcast::{Broadcast, Fetched};
use crate::dynamic::DynamicNamespaces;
use crate::engine::{self, Engine};
use crate::error::{BroadcastAckError, ConnectError, EmitError, ServerAckError};
use crate::namespace::Namespace;
use crate::options::Options;
use crate::rooms::IntoRooms;
use crate::server_event::ServerEvent;
use crate::socket::Socket;

pub use inner::App;
pub(crate) use inner::ServerInner;

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

impl Server {
    /// Makes a server. It does nothing until it is [bound](Self::bind) or [mounted](Self::service).
    pub fn new(options: Options) -> Self {
        let server = Self(ServerInner::new(options));
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
        self.0.add_dynamic(dynamic.clone());
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

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("node", self.node()).finish_non_exhaustive()
    }
}
