//! Joins nodes by Redis, as Node's classic adapter does: nodes of both kinds form one cluster, and every emitter reaches it.
//!
//! Two connections serve all namespaces of a process: one publishes, the other listens. Both come back by themselves, and
//! what was listened to is listened to again. Delivery is at most once, as with Node: what is published while Redis cannot
//! be reached waits in a bounded queue, and what was under way when the connection broke is lost, never sent twice.

mod classic;
mod connection;
mod message;
mod open;
pub(crate) mod streams;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use tokio::sync::watch;

use crate::adapter::{Adapter, BusError, Link, Peers, Receiver, To};
use crate::envelope::{Envelope, Message, RequestId};
use crate::node::NodeId;
use crate::target::Targets;
pub(crate) use classic::Channels;
use classic::{Place, Received};
use connection::{Connections, Listens, RESPONSE_TIMEOUT};
pub(crate) use open::{Address, Connection, Kept, config};

/// How many requests for ids alone may wait for their answer at a time; more are not answered.
const MAX_ID_REQUESTS: usize = 1024;

/// How a process is joined to the others.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedisOptions {
    /// With what channels begin, `key` in Node's adapter; `socket.io`.
    pub key: String,
    /// Whether answers go to a channel of the node that asked, `publishOnSpecificResponseChannel` in Node's adapter; no.
    /// Nodes understand each other whatever they choose.
    pub specific_responses: bool,
    /// How many messages may wait for Redis; 10,000. Each costs its bytes and about 100 more. When more wait, publishing
    /// fails with [`BusError::Full`].
    pub max_queued: usize,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self { key: "socket.io".to_owned(), specific_responses: false, max_queued: 10_000 }
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

struct Shared {
    options: RedisOptions,
    connections: Connections,
    members: Arc<Members>,
}

/// Who listens on this process, by namespace; several nodes may.
#[derive(Default)]
struct Members(RwLock<HashMap<Arc<str>, Vec<Arc<Member>>>>);

/// One namespace of one node.
struct Member {
    namespace: Arc<str>,
    node: NodeId,
    channels: Channels,
    receiver: Arc<dyn Receiver>,
    /// Who asked for ids alone, by request.
    ids: Mutex<HashMap<RequestId, Option<NodeId>>>,
    /// Names those who answer, since they do not.
    answers: AtomicU64,
}

struct RedisLink {
    shared: Arc<Shared>,
    member: Arc<Member>,
    /// Whether Redis has agreed that this node listens.
    listening: watch::Receiver<bool>,
}

impl Redis {
    /// Connects, with the options of Node's adapter. The URL is that of the `redis` crate:
    /// `redis://[user:password@]host[:port][/db]`.
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
        let members = Arc::new(Members::default());
        let hears = members.clone();
        let hear = move |channel: &str, bytes: &Bytes| hears.hear(channel, bytes);
        let connections = Connections::open(url, options.max_queued, hear).await?;
        Ok(Self(Arc::new(Shared { options, connections, members })))
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Adapter for Redis {
    fn join(&self, namespace: &str, node: NodeId, receiver: Arc<dyn Receiver>) -> Result<Box<dyn Link>, BusError> {
        let channels = Channels::new(&self.0.options.key, namespace);
        let member = Arc::new(Member {
            namespace: namespace.into(),
            channels,
            node,
            receiver,
            ids: Mutex::default(),
            answers: AtomicU64::new(0),
        });
        self.0.members.add(member.clone());
        let listening = self.0.connections.listen(member.listens())?;
        Ok(Box::new(RedisLink { shared: self.0.clone(), member, listening }))
    }
}

impl Link for RedisLink {
    fn publish(&self, to: To<'_>, message: Message) -> Result<(), BusError> {
        let Shared { options, connections, .. } = &*self.shared;
        let member = &self.member;
        let to = match to {
            To::All => None,
            To::Node(node) => Some(node),
        };
        // Somebody asked for ids alone, in a form that our own nodes do not use.
        if let Message::Fetched { request, sockets } = &message
            && let Some(asker) = member.lock_ids().remove(request)
        {
            let ids: Vec<_> = sockets.iter().map(|socket| socket.id.clone()).collect();
            let (channel, bytes) = member.channels.write_ids(asker.as_ref(), options.specific_responses, request, &ids);
            return connections.publish(channel, bytes);
        }
        match member.channels.write(&member.node, to, options.specific_responses, &message)? {
            Some((channel, bytes)) => connections.publish(channel, bytes),
            None => Ok(()),
        }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, BusError>> {
        async {
            // Who asks before it listens hears no answer.
            let mut listening = self.listening.clone();
            let listens = tokio::time::timeout(RESPONSE_TIMEOUT, listening.wait_for(|listens| *listens)).await;
            listens.map_err(|late| BusError::Failed(Box::new(late)))?.map_err(|_| BusError::Closed)?;
            let listeners = self.shared.connections.listeners(self.member.channels.request_channel()).await?;
            // One of them is the connection of this process, which may serve several nodes.
            let own = self.shared.members.count(&self.member.namespace);
            Ok(Peers::Count(listeners.saturating_sub(1) + own.saturating_sub(1)))
        }
        .boxed()
    }

    fn close(&self) {
        let listens = match self.shared.members.remove(&self.member) {
            Some(true) => self.member.listens(),
            // Another node of this process goes on.
            Some(false) => {
                Listens { pattern: None, channels: vec![self.member.channels.response_to(&self.member.node)] }
            }
            None => return,
        };
        self.shared.connections.unlisten(listens);
    }
}

impl Members {
    fn add(&self, member: Arc<Member>) {
        let mut members = self.0.write().unwrap_or_else(PoisonError::into_inner);
        members.entry(member.namespace.clone()).or_default().push(member);
    }

    /// Removes a member; returns whether it was the last one of its namespace, and `None` if it was not there.
    fn remove(&self, member: &Arc<Member>) -> Option<bool> {
        let mut members = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let list = members.get_mut(&member.namespace)?;
        let place = list.iter().position(|other| Arc::ptr_eq(other, member))?;
        list.swap_remove(place);
        let is_last = list.is_empty();
        if is_last {
            members.remove(&member.namespace);
        }
        Some(is_last)
    }

    fn count(&self, namespace: &str) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(namespace).map_or(0, Vec::len)
    }

    /// Takes what came on a channel, to whomever it belongs.
    fn hear(&self, channel: &str, bytes: &Bytes) {
        // The namespace lies between the first two #; a room behind them may hold more, a namespace none.
        let Some(namespace) = channel.split('#').nth(1) else { return };
        let members = self.0.read().unwrap_or_else(PoisonError::into_inner).get(namespace).cloned().unwrap_or_default();
        for member in members {
            if let Err(error) = member.hear(channel, bytes) {
                tracing::debug!(channel, %error, "a message of the bus is dropped");
            }
        }
    }
}

impl Member {
    fn listens(&self) -> Listens {
        Listens { pattern: Some(self.channels.pattern()), channels: self.channels.plain(&self.node).to_vec() }
    }

    fn hear(&self, channel: &str, bytes: &Bytes) -> Result<(), BusError> {
        let Some(place) = self.channels.place(channel) else { return Ok(()) };
        let (node, message) = match classic::read(place, &self.namespace, bytes)? {
            Received::Message(node, message) => (node, message),
            Received::Ids(node, targets, request) => {
                if node.as_ref() == Some(&self.node) {
                    return Ok(());
                }
                return self.ask_for_ids(node, targets, request);
            }
            Received::Nothing => return Ok(()),
        };
        if node.as_ref() == Some(&self.node) {
            return Ok(());
        }
        let node = node.unwrap_or_else(|| match place {
            // An answer counts once for each that comes.
            Place::Response => format!("answer {}", self.answers.fetch_add(1, Ordering::Relaxed)).into(),
            Place::Broadcast(_) | Place::Request => "emitter".into(),
        });
        self.receiver.receive(Envelope { node, namespace: self.namespace.clone(), offset: None, message });
        Ok(())
    }

    /// Lets the node describe its sockets; of the answer the ids will go out.
    fn ask_for_ids(&self, asker: Option<NodeId>, targets: Targets, request: RequestId) -> Result<(), BusError> {
        let mut ids = self.lock_ids();
        if ids.len() >= MAX_ID_REQUESTS {
            return Err(BusError::Full);
        }
        ids.insert(request.clone(), asker.clone());
        drop(ids);
        let node = asker.unwrap_or_else(|| "emitter".into());
        let message = Message::Fetch { targets, request: request.clone() };
        self.receiver.receive(Envelope { node, namespace: self.namespace.clone(), offset: None, message });
        // The node has answered by now, or never will.
        self.lock_ids().remove(&request);
        Ok(())
    }

    fn lock_ids(&self) -> std::sync::MutexGuard<'_, HashMap<RequestId, Option<NodeId>>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
