//! Decides how namespaces come into being when clients ask for them.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};

use serde::Serialize;
use serde_json::Value;

use crate::error::{ConnectError, EmitError};
use crate::namespace::Namespace;
use crate::namespace::handlers::NamespaceHandlers;
use crate::server::ServerInner;
use crate::server_event::ServerEvent;
use crate::socket::Socket;

type Matcher = Box<dyn Fn(&str, &Value) -> bool + Send + Sync>;

/// Namespaces that are made when a client asks for one; see [`Server::of_matching`](crate::Server::of_matching).
///
/// All have the same handlers. One goes away with its last socket, unless
/// [`Options::cleanup_empty_child_namespaces`](crate::Options::cleanup_empty_child_namespaces) is off.
#[derive(Clone)]
pub struct DynamicNamespaces(Arc<Inner>);

struct Inner {
    server: Weak<ServerInner>,
    matches: Matcher,
    handlers: Arc<NamespaceHandlers>,
}

impl DynamicNamespaces {
    pub(crate) fn new(server: Weak<ServerInner>, matches: Matcher) -> Self {
        Self(Arc::new(Inner { server, matches, handlers: Arc::default() }))
    }

    /// As [`Namespace::on_connection`], for all of them.
    pub fn on_connection<F, Fut>(&self, handler: F)
    where
        F: Fn(Socket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.0.handlers.add_connection(Arc::new(move |socket| Box::pin(handler(socket))));
    }

    /// As [`Namespace::middleware`], for all of them.
    pub fn middleware<F, Fut>(&self, middleware: F)
    where
        F: Fn(Socket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), ConnectError>> + Send + 'static,
    {
        self.0.handlers.add_middleware(Arc::new(move |socket| Box::pin(middleware(socket))));
    }

    /// As [`Namespace::on_server_event`], for all of them.
    pub fn on_server_event<F, Fut>(&self, name: impl Into<String>, handler: F)
    where
        F: Fn(ServerEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.0.handlers.add_server_event(name.into(), Arc::new(move |event| Box::pin(handler(event))));
    }

    /// Returns those that exist on this node now.
    pub fn namespaces(&self) -> Vec<Namespace> {
        self.0.server.upgrade().map(|server| server.children(&self.0.handlers)).unwrap_or_default()
    }

    /// Sends an event to the sockets of all that exist on this node now.
    ///
    /// # Errors
    /// As [`Broadcast::emit`](crate::Broadcast::emit), for the first that fails; the others get it.
    pub fn emit(&self, name: &str, arguments: impl Serialize) -> Result<(), EmitError> {
        let mut result = Ok(());
        for namespace in self.namespaces() {
            let sent = namespace.emit(name, &arguments);
            if result.is_ok() {
                result = sent;
            }
        }
        result
    }

    pub(crate) fn matches(&self, name: &str, auth: &Value) -> bool {
        (self.0.matches)(name, auth)
    }

    pub(crate) fn handlers(&self) -> &Arc<NamespaceHandlers> {
        &self.0.handlers
    }
}

impl fmt::Debug for DynamicNamespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicNamespaces").finish_non_exhaustive()
    }
}
