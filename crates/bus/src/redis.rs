//! Joins nodes by Redis, as Node's adapters do: nodes of both kinds form one cluster, and every emitter reaches it.
//!
//! A few connections serve all namespaces of a process. They come back by themselves, and what was listened to is listened
//! to again. Delivery is at most once, as with Node: what is published while Redis cannot be reached waits in a bounded
//! queue, in order, and what was under way when a connection broke is lost and counted, never sent twice.

pub(crate) mod ask;
mod classic;
mod connection;
pub(crate) mod direct;
mod form;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod hostile;
mod link;
mod member;
pub(crate) mod message;
mod open;
pub(crate) mod python;
mod sharded;
pub(crate) mod streams;
mod wire;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::adapter::{Adapter, BusError, Link, Receiver};
use crate::health::{Health, Meter};
use crate::node::NodeId;
pub(crate) use classic::Channels;
use connection::{Bounds, Connections, How, Subscription};
use form::Form;
use link::RedisLink;
use member::{Member, Members};
pub(crate) use open::{Address, Kept};
use python::Python;

/// How a process is joined to the others.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedisOptions {
    /// With what channels begin, `key` in Node's adapter and `channelPrefix` in its sharded one; `socket.io`.
    pub key: String,
    /// Whether the nodes speak as those of Node's `createShardedAdapter` do, which needs Redis 7; no. All nodes of a
    /// cluster must choose the same, and the same mode.
    pub sharded: Option<Sharding>,
    /// Whether this node asks Redis for the channels of its own rooms only, instead of for all of a namespace; no. It
    /// spares a node that has few of the rooms what it would drop, and costs a request for each room and each socket. A
    /// socket that joins a room hears what other nodes send to it a moment later. Not for `sharded`, which always does so.
    pub interest: bool,
    /// The channel on which servers of python-socketio 5.14 and later, and Flask-SocketIO's, are joined too; `socketio`
    /// unless they were told otherwise. None: they are not.
    pub python: Option<String>,
    /// Whether answers go to a channel of the node that asked, `publishOnSpecificResponseChannel` in Node's adapter; no.
    /// Nodes understand each other whatever they choose. Not for `sharded`, which always does so.
    pub specific_responses: bool,
    /// How many messages may wait for Redis; 10,000. When more wait, publishing fails with [`BusError::Full`].
    pub max_queued: usize,
    /// How many bytes they may have together; 64 MiB. Each message costs about 100 more.
    pub max_queued_bytes: usize,
}

/// Which rooms have channels of their own, `subscriptionMode` in Node's sharded adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharding {
    /// Those that are not a socket's own.
    #[default]
    Dynamic,
    /// All, also those of single sockets.
    DynamicPrivate,
    /// None: each node hears all of a namespace.
    Static,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            key: "socket.io".to_owned(),
            sharded: None,
            interest: false,
            python: None,
            specific_responses: false,
            max_queued: 10_000,
            max_queued_bytes: 64 << 20,
        }
    }
}

/// The adapter for nodes that share a Redis. Clones share its connections.
///
/// ```no_run
/// # async fn example() -> Result<(), limpet_bus::BusError> {
/// let bus = limpet_bus::Redis::connect("redis://127.0.0.1:6379").await?;
/// # drop(bus);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Redis(Arc<Shared>);

pub(crate) struct Shared {
    options: RedisOptions,
    connections: Connections,
    members: Arc<Members>,
    python: Option<Arc<Python>>,
}

impl Redis {
    /// Connects, with the options of Node's adapter. The URL names a Redis alone, Sentinels, or a Redis Cluster:
    ///
    /// ```text
    /// redis://[[user]:password@]host[:6379][/db]                rediss:// for TLS, also below
    /// redis+unix:///path[?db=0&user=u&pass=p]
    /// redis+sentinel://[[user]:password@]host[:26379][,host…]/name-of-master[/db]
    /// redis+cluster://[[user]:password@]host[:6379][,host…]
    /// ```
    /// TLS takes `?ca=FILE`, `?cert=FILE&key=FILE`, and `#insecure`, which trusts anybody. Sentinels that want a password
    /// of their own take `?sentinel_user=` and `?sentinel_password=`. Redis must be of version 6 or later.
    ///
    /// # Errors
    /// [`BusError::Failed`] when the URL is wrong or Redis cannot be reached now.
    pub async fn connect(url: &str) -> Result<Self, BusError> {
        Self::connect_with(url, RedisOptions::default()).await
    }

    /// Connects with these options.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(url: &str, options: RedisOptions) -> Result<Self, BusError> {
        let address = Address::parse(url)?;
        let (members, meter) = (Arc::new(Members::default()), Arc::new(Meter::default()));
        let python = options.python.as_deref().map(|channel| Arc::new(Python::new(channel)));
        let hear = {
            let (members, meter, python, key) = (members.clone(), meter.clone(), python.clone(), options.key.clone());
            move |channel: &str, pattern: Option<&str>, bytes: Bytes| {
                meter.received.add(1);
                let heard = match &python {
                    Some(python) if channel == python.channel() => python.hear(&bytes, &members),
                    _ => members.hear(&key, channel, pattern, &bytes),
                };
                if let Err(error) = heard {
                    meter.malformed.add(1);
                    tracing::debug!(channel, %error, "a message of the bus is dropped");
                }
            }
        };
        let bounds = Bounds { messages: options.max_queued.max(1), bytes: options.max_queued_bytes };
        let connections = Connections::open(address, bounds, meter, Arc::new(hear)).await?;
        if let Some(python) = &python {
            connections.want(Subscription::new(How::Channel, python.channel()));
        }
        Ok(Self(Arc::new(Shared { options, connections, members, python })))
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Adapter for Redis {
    fn join(&self, namespace: &str, node: NodeId, receiver: Arc<dyn Receiver>) -> Result<Box<dyn Link>, BusError> {
        let form = Form::new(&self.0.options, namespace);
        let member = Arc::new(Member::new(namespace.into(), node, form, receiver));
        self.0.members.add(member.clone());
        Ok(Box::new(RedisLink::new(self.0.clone(), member)))
    }

    fn health(&self) -> Health {
        self.0.connections.health()
    }
}
