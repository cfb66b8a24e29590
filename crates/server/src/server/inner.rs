//! Decides what the clients of a server find behind it: their namespaces, their ids, and the words by which they are let
//! in or refused.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};

use limpet_bus::Room;
use limpet_proto::engineio::message::Message;
use limpet_proto::socketio::arguments::Arguments;
use limpet_proto::socketio::connection::{Connection as Machine, Limits};
use limpet_proto::socketio::packet::Kind;
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::client::{Client, Session};
use crate::dynamic::DynamicNamespaces;
use crate::engine::{self, Application, Connection, Engine};
use crate::error::ConnectError;
use crate::namespace::Namespace;
use crate::namespace::handlers::NamespaceHandlers;
use crate::options::Options;
use crate::random;
use crate::socket::Socket;

pub(crate) struct ServerInner {
    pub(crate) options: Arc<Options>,
    pub(crate) engine: Engine<App>,
    namespaces: Mutex<HashMap<Arc<str>, Namespace>>,
    dynamic: RwLock<Vec<DynamicNamespaces>>,
    pub(super) root: OnceLock<Namespace>,
    own: Weak<Self>,
    runtime: OnceLock<Handle>,
}

impl ServerInner {
    pub(super) fn new(options: Options) -> Arc<Self> {
        Arc::new_cyclic(|own: &Weak<Self>| Self {
            engine: Engine::new(options.engine.clone(), App(own.clone())),
            options: Arc::new(options),
            namespaces: Mutex::default(),
            dynamic: RwLock::default(),
            root: OnceLock::new(),
            own: own.clone(),
            runtime: OnceLock::new(),
        })
    }

    pub(super) fn add_dynamic(&self, dynamic: DynamicNamespaces) {
        self.dynamic.write().unwrap_or_else(PoisonError::into_inner).push(dynamic);
    }

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
            _ => random::id().into(),
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

    pub(super) fn remember_runtime(&self) {
        if self.runtime.get().is_none()
            && let Ok(handle) = Handle::try_current()
        {
            self.runtime.set(handle).ok();
        }
    }

    /// Returns a namespace, and whether it was made now.
    pub(super) fn namespace(
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

    pub(super) fn table(&self) -> MutexGuard<'_, HashMap<Arc<str>, Namespace>> {
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
