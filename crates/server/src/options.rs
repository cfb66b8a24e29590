//! Decides how a server behaves unless it is told otherwise: as Node's does, and bounded where Node's is not.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use limpet_bus::{Adapter, Local, NodeId};
use limpet_proto::socketio::parser::Parser;

use crate::engine;

/// The options of a [`Server`](crate::Server).
///
/// ```
/// use std::time::Duration;
/// use limpet_server::{Options, engine};
/// let options = Options {
///     connect_timeout: Duration::from_secs(10),
///     engine: engine::Options { ping_interval: Duration::from_secs(10), ..engine::Options::default() },
///     ..Options::default()
/// };
/// # drop(options);
/// ```
#[derive(Clone)]
pub struct Options {
    /// The options of the Engine.IO layer: path, heartbeat, sizes, transports, CORS, cookie, compression.
    pub engine: engine::Options,
    /// How long a client may take to join a namespace before its session is closed; 45 s.
    pub connect_timeout: Duration,
    /// How packets are written; the clients must use the same parser. JSON.
    pub parser: Parser,
    /// Whether a dynamic namespace goes away with its last socket. On, unlike in Node, so that clients that invent names
    /// leave nothing behind.
    pub cleanup_empty_child_namespaces: bool,
    /// What joins this server to others; nothing, unless set.
    pub adapter: Arc<dyn Adapter>,
    /// The name of this server among those that are joined; 16 random hexadecimal digits. No two may have the same: what
    /// comes under its own name a server takes for its own.
    pub node: NodeId,
    /// Whether clients that lose their connection come back with their id, rooms and data, and get what they missed; off
    /// unless set. The adapter must keep a log: [`Local`] does.
    pub recovery: Option<Recovery>,
    /// How long other servers may take to answer; 5 s.
    pub request_timeout: Duration,
    /// How long a client may take to acknowledge when no timeout is given; `None`: as long as its socket is connected.
    pub ack_timeout: Option<Duration>,
    /// The most namespaces that one client may be in at once; 64. A client that joins more is disconnected.
    pub max_namespaces_per_client: usize,
    /// The most attachments of one packet; 10. A client that announces more is disconnected.
    pub max_attachments: usize,
    /// The most events of one socket that wait for the handler of an earlier one; 64. With so many the client is not read
    /// until one of them has been handled, so a handler that never ends costs its client the heartbeat.
    pub max_waiting_events: usize,
    /// The most answers that one socket may owe at once; 1,000, about 100 bytes each. More are refused with
    /// [`AckError::TooMany`](crate::AckError::TooMany).
    pub max_waiting_acks: usize,
}

/// How clients come back; see [`Options::recovery`].
///
/// ```
/// use std::time::Duration;
/// use limpet_server::{Options, Recovery, Server, Socket};
///
/// let options = Options {
///     recovery: Some(Recovery { max_disconnection: Duration::from_secs(60), ..Recovery::default() }),
///     ..Options::default()
/// };
/// let io = Server::new(options);
/// io.on_connection(|socket: Socket| async move {
///     if !socket.recovered() {
///         socket.join("news");
///     }
/// });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// How long a client may be away, and how long events are kept for it; 120 s.
    pub max_disconnection: Duration,
    /// Whether a client that comes back passes the namespace's middlewares by; on. Off, who was banned meanwhile stays
    /// outside.
    pub skip_middlewares: bool,
}

impl Default for Recovery {
    fn default() -> Self {
        Self { max_disconnection: Duration::from_secs(120), skip_middlewares: true }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            engine: engine::Options::default(),
            connect_timeout: Duration::from_secs(45),
            parser: Parser::Json,
            cleanup_empty_child_namespaces: true,
            adapter: Arc::new(Local::new()),
            node: NodeId::random(),
            recovery: None,
            request_timeout: Duration::from_secs(5),
            ack_timeout: None,
            max_namespaces_per_client: 64,
            max_attachments: 10,
            max_waiting_events: 64,
            max_waiting_acks: 1000,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("node", &self.node).finish_non_exhaustive()
    }
}
