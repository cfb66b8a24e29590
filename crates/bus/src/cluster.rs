//! Decides what becomes of messages between nodes: who acts, who answers, how long is waited, who is named as missing.
//!
//! One cluster is one namespace on one node. What concerns sockets is done by [`Sockets`], for this node and for others in
//! the same way. An answer counts once for each node; who did not ask, or has stopped waiting, drops it.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use limpet_proto::socketio::arguments::Arguments;
use tokio::time::Instant;

use crate::adapter::{Adapter, BusError, Link, Outsiders, Peers, To};
use crate::envelope::{Message, RequestId, SocketInfo, request_id};
use crate::node::NodeId;
use crate::recovery::Recovery;
use crate::target::{Flags, Room, Targets};

mod answer;
mod hear;
mod line;
mod order;
mod request;
mod sockets;
#[cfg(test)]
mod tests;

use hear::Ear;
use line::Line;
use request::{Kind, Request, Requests};

pub use answer::{Acks, Answers, Missing, Reply};
pub use sockets::{OnAck, Sockets};

/// How many names of nodes that have answered are kept before all are forgotten.
const MAX_KNOWN: usize = 1024;

/// How long it may take to find out who did not answer.
const NAMES_TIMEOUT: Duration = Duration::from_millis(300);

/// One namespace on one node, among the others.
pub struct Cluster {
    node: NodeId,
    options: ClusterOptions,
    link: OnceLock<Box<dyn Link>>,
    /// What brings clients back, if they recover.
    recovery: OnceLock<Recovery>,
    /// What reaches the sockets, if that has an order: when clients recover.
    line: Line,
    own: Weak<Self>,
    sockets: Weak<dyn Sockets>,
    requests: Requests,
    /// Whose acknowledgements are passed on to another node, until when.
    passed_on: Mutex<VecDeque<(Instant, Arc<OnAck>)>>,
    /// Who has answered by name.
    known: Mutex<HashSet<NodeId>>,
}

/// How a node gets on with the others.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// How long other nodes may take to answer.
    pub timeout: Duration,
    /// How long clients may be away and still recover; `None`: they do not recover.
    pub recovery: Option<Duration>,
}

impl Cluster {
    /// Makes a node that is alone until it joins the others.
    pub fn new(node: NodeId, sockets: Weak<dyn Sockets>, options: ClusterOptions) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            node,
            options,
            link: OnceLock::new(),
            recovery: OnceLock::new(),
            line: Line::default(),
            own: own.clone(),
            sockets,
            requests: Requests::default(),
            passed_on: Mutex::default(),
            known: Mutex::default(),
        })
    }

    /// Joins the other nodes of a namespace. If the adapter fails, an error is logged and this node stays alone.
    pub fn join(self: &Arc<Self>, adapter: &dyn Adapter, namespace: &str) {
        if let Some(retention) = self.options.recovery {
            match adapter.log(retention) {
                Some(log) => {
                    let (sockets, own) = (self.sockets.clone(), self.own.clone());
                    self.recovery.set(Recovery::new(namespace, self.node.clone(), log, sockets, own)).ok();
                }
                None => tracing::error!(namespace, "clients cannot recover: the adapter keeps no log"),
            }
        }
        match adapter.join(namespace, self.node.clone(), Arc::new(Ear(self.own.clone()))) {
            Ok(link) => {
                let wants_rooms = link.wants_rooms();
                self.link.set(link).ok();
                if wants_rooms && let Some(sockets) = self.sockets.upgrade() {
                    let own = Arc::downgrade(self);
                    sockets.watch_rooms(Box::new(move |room, kind, exists| {
                        if let Some(cluster) = own.upgrade()
                            && let Some(link) = cluster.link.get()
                        {
                            link.room(room, kind, exists);
                        }
                    }));
                }
            }
            Err(error) => tracing::error!(namespace, %error, "this node is alone: the others cannot be joined"),
        }
    }

    /// Returns the name of this node.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// Sends an event to sockets of all nodes.
    ///
    /// # Errors
    /// [`BusError`] when the other nodes could not be told; the sockets of this node have got it.
    pub fn broadcast(&self, arguments: Arguments, targets: Targets, flags: Flags) -> Result<(), BusError> {
        if flags.local || self.link.get().is_none() {
            self.deliver_in_order(arguments, targets, flags);
            return Ok(());
        }
        let message =
            Message::Broadcast { arguments: arguments.clone(), targets: targets.clone(), flags, request: None };
        let published = self.publish_in_order(message);
        // What is not published does not come back.
        if !self.is_ordered() || published.is_err() {
            self.deliver_in_order(arguments, targets, flags);
        }
        published
    }

    /// Sends an event to sockets of all nodes, and waits for what their clients say: for `flags.timeout`, or as long as
    /// for other nodes.
    pub async fn broadcast_with_ack(&self, arguments: Arguments, targets: Targets, flags: Flags) -> Acks {
        let (peers, mut error) = if flags.local { (nobody(), None) } else { self.peers().await };
        let link = self.link.get().filter(|_| !flags.local);
        let outsiders = link.map_or(Outsiders::None, |link| link.outsiders(&targets));
        let is_alone = is_nobody(&peers) && outsiders == Outsiders::None;
        let request = request_id();
        let kind = Kind::Broadcast { clients: 0, answers: Vec::new(), is_own_counted: false, outsiders };
        let waiting = self.requests.begin(request.clone(), kind, peers);
        if !is_alone {
            let (arguments, targets, request) = (arguments.clone(), targets.clone(), Some(request.clone()));
            if let Err(failed) = self.publish(To::All, Message::Broadcast { arguments, targets, flags, request }) {
                self.requests.with(&waiting.id, Request::forget_peers);
                error = Some(failed);
            }
        }
        let (requests, id) = (self.requests.clone(), request);
        let on_ack: Arc<OnAck> = Arc::new(move |answer| requests.with(&id, |request| request.ack(answer)));
        let (sockets, requests, id) = (self.sockets.clone(), self.requests.clone(), waiting.id.clone());
        let asked = on_ack.clone();
        self.in_order(move || {
            let sockets = sockets.upgrade();
            let clients = sockets.map_or(0, |sockets| sockets.broadcast_with_ack(&arguments, &targets, flags, &asked));
            requests.with(&id, |request| request.count_own(clients));
        });
        let request = waiting.wait(flags.timeout.unwrap_or(self.options.timeout)).await;
        let missing_nodes = self.missing(&request).await;
        let missing = request.missing_answers();
        let Kind::Broadcast { answers, .. } = request.kind else { return Acks::default() };
        Acks { missing, answers, missing_nodes, error }
    }

    /// Sends an event to sockets of all nodes, at once; what is returned ends when the bus has it, so that it is not lost
    /// with this node. With recovery, an event that the bus does not take reaches nobody.
    ///
    /// # Errors
    /// As [`Link::publish_confirmed`].
    pub fn broadcast_confirmed(
        &self,
        arguments: Arguments,
        targets: Targets,
        flags: Flags,
    ) -> BoxFuture<'static, Result<(), BusError>> {
        let Some(link) = self.link.get().filter(|_| !flags.local) else {
            self.deliver_in_order(arguments, targets, flags);
            return Box::pin(std::future::ready(Ok(())));
        };
        let message =
            Message::Broadcast { arguments: arguments.clone(), targets: targets.clone(), flags, request: None };
        if !self.is_ordered() {
            let confirmed = link.publish_confirmed(To::All, message);
            self.deliver_in_order(arguments, targets, flags);
            return confirmed;
        }
        self.line.publishing();
        let (confirmed, own) = (link.publish_confirmed(To::All, message), self.own.clone());
        Box::pin(async move {
            let confirmed = confirmed.await;
            // What may have arrived may still come back.
            if let Err(BusError::Full | BusError::Closed) = confirmed
                && let Some(cluster) = own.upgrade()
            {
                cluster.not_published();
            }
            confirmed
        })
    }

    /// Returns what brings clients back; `None` if they do not recover.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.recovery.get()
    }

    /// Lets sockets of all nodes join rooms.
    ///
    /// # Errors
    /// [`BusError`] when the other nodes could not be told.
    pub fn join_rooms(&self, targets: Targets, rooms: Vec<Room>, flags: Flags) -> Result<(), BusError> {
        self.act_in_order(flags, Message::Join { targets, rooms })
    }

    /// Lets sockets of all nodes leave rooms.
    ///
    /// # Errors
    /// [`BusError`] when the other nodes could not be told.
    pub fn leave_rooms(&self, targets: Targets, rooms: Vec<Room>, flags: Flags) -> Result<(), BusError> {
        self.act_in_order(flags, Message::Leave { targets, rooms })
    }

    /// Disconnects sockets of all nodes.
    ///
    /// # Errors
    /// [`BusError`] when the other nodes could not be told.
    pub fn disconnect(&self, targets: Targets, close: bool, flags: Flags) -> Result<(), BusError> {
        self.act_in_order(flags, Message::Disconnect { targets, close })
    }

    /// Describes sockets of all nodes.
    pub async fn fetch(&self, targets: Targets, flags: Flags) -> Answers<SocketInfo> {
        let own = self.sockets.upgrade().map(|sockets| sockets.fetch(&targets)).unwrap_or_default();
        if flags.local {
            return Answers { answers: own, missing: Missing::default(), error: None };
        }
        let message = |request| Message::Fetch { targets, request };
        let (request, error) = self.ask(Kind::Fetch(own), flags.timeout, message).await;
        let missing = self.missing(&request).await;
        let answers = if let Kind::Fetch(answers) = request.kind { answers } else { Vec::new() };
        Answers { answers, missing, error }
    }

    /// Names the rooms of all nodes, each once and in order.
    pub async fn all_rooms(&self, flags: Flags) -> Answers<Room> {
        let own = self.sockets.upgrade().map(|sockets| sockets.rooms()).unwrap_or_default();
        if flags.local {
            return Answers { answers: own, missing: Missing::default(), error: None };
        }
        let (request, error) = self.ask(Kind::Rooms(own), flags.timeout, |request| Message::AllRooms { request }).await;
        let missing = self.missing(&request).await;
        let mut answers = if let Kind::Rooms(answers) = request.kind { answers } else { Vec::new() };
        answers.sort_unstable();
        answers.dedup();
        Answers { answers, missing, error }
    }

    /// Tells the other servers of an event.
    ///
    /// # Errors
    /// [`BusError`] when they could not be told.
    pub fn server_side_emit(&self, arguments: Arguments) -> Result<(), BusError> {
        self.tell(Flags::default(), Message::ServerSideEmit { arguments, request: None })
    }

    /// Tells the other servers of an event, and waits for what they say.
    pub async fn server_side_emit_with_ack(
        &self,
        arguments: Arguments,
        timeout: Option<Duration>,
    ) -> Answers<Arguments> {
        let message = |request| Message::ServerSideEmit { arguments, request: Some(request) };
        let (request, error) = self.ask(Kind::Emit(Vec::new()), timeout, message).await;
        let missing = self.missing(&request).await;
        let answers = if let Kind::Emit(answers) = request.kind { answers } else { Vec::new() };
        Answers { answers, missing, error }
    }

    /// Leaves the other nodes.
    pub fn close(&self) {
        if let Some(link) = self.link.get() {
            link.close();
        }
    }

    async fn ask(
        &self,
        kind: Kind,
        timeout: Option<Duration>,
        message: impl FnOnce(RequestId) -> Message,
    ) -> (Request, Option<BusError>) {
        let (peers, error) = self.peers().await;
        if is_nobody(&peers) {
            return (Request::new(kind, peers), error);
        }
        let waiting = self.requests.begin(request_id(), kind, peers);
        if let Err(error) = self.publish(To::All, message(waiting.id.clone())) {
            return (waiting.give_up(), Some(error));
        }
        (waiting.wait(timeout.unwrap_or(self.options.timeout)).await, None)
    }

    /// Returns who did not answer, by name as far as that can be found out.
    async fn missing(&self, request: &Request) -> Missing {
        let mut missing = request.missing();
        self.remember(request);
        if missing.unnamed > 0
            && let Some(link) = self.link.get()
            && let Ok(Ok(names)) = tokio::time::timeout(NAMES_TIMEOUT, link.names()).await
        {
            let mut silent: Vec<_> = names.into_iter().filter(|node| !request.has_answered(node)).collect();
            if silent.len() > missing.unnamed {
                // Some have answered without a name. Those who have given theirs before are not among them.
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                silent.retain(|node| known.contains(node));
            }
            if silent.len() <= missing.unnamed {
                missing.unnamed -= silent.len();
                missing.nodes.extend(silent);
            }
        }
        missing
    }

    /// Notes who has answered, by name if they give one.
    fn remember(&self, request: &Request) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > MAX_KNOWN {
            known.clear();
        }
        known.extend(request.answered().iter().filter(|node| !node.is_nameless()).cloned());
    }

    async fn peers(&self) -> (Peers, Option<BusError>) {
        let Some(link) = self.link.get() else { return (nobody(), None) };
        match link.peers().await {
            Ok(peers) => (peers, None),
            Err(error) => (nobody(), Some(error)),
        }
    }

    fn tell(&self, flags: Flags, message: Message) -> Result<(), BusError> {
        if flags.local || self.link.get().is_none() { Ok(()) } else { self.publish(To::All, message) }
    }

    fn publish(&self, to: To<'_>, message: Message) -> Result<(), BusError> {
        self.link.get().ok_or(BusError::Closed)?.publish(to, message)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("node", &self.node).finish_non_exhaustive()
    }
}

fn nobody() -> Peers {
    Peers::Known(Vec::new())
}

fn is_nobody(peers: &Peers) -> bool {
    match peers {
        Peers::Known(nodes) => nodes.is_empty(),
        Peers::Count(count) => *count == 0,
    }
}
