//! Decides what joins nodes must do, and what it need not care about.
//!
//! An adapter carries [`Message`]s of one namespace from a node to the others. It decides nothing: who is meant, who
//! answers, how long a request waits and who is named as missing is the work of [`Cluster`](crate::Cluster).
//!
//! # Writing an adapter
//! 1. [`Adapter::join`] is called once for each namespace of a node. Keep the [`Receiver`]; return a [`Link`].
//! 2. [`Link::publish`] hands a message over and returns at once. Queue what cannot leave now; bound the queue; when it is
//!    full return [`BusError::Full`].
//! 3. Give what the other nodes published to [`Receiver::receive`], in the order in which each of them published it, and
//!    never what this node published itself, unless it keeps a log.
//! 4. Say in [`Link::peers`] who would have to answer now. An adapter that knows only how many says how many.
//! 5. Call [`Receiver::left`] when a node is known to be gone, so that nobody waits for its answers.
//! 6. An adapter that can send to some nodes only may learn which rooms this node has: [`Link::wants_rooms`].
//! 7. Say in [`Adapter::health`] when the other nodes cannot be reached, and what that has cost.
//! 8. An adapter that can keep what was published may offer a [`Log`], by which clients recover what they missed. Most do
//!    not. Then every node gets back its own broadcasts that ask for no acknowledgement, and its own [`Message::Join`],
//!    [`Message::Leave`] and [`Message::Disconnect`], all in one order that is the same for all nodes: it does them when
//!    they come. Broadcasts that are kept have an [`Offset`]; volatile ones need none. What has come twice is dropped by its offset.
//!
//! [`Envelope::to_bytes`] and [`Envelope::from_bytes`] turn what is carried into bytes, for adapters whose format is
//! nobody else's business. `examples/tcp_adapter.rs` is a whole adapter over plain TCP.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::envelope::{Envelope, Message};
use crate::health::Health;
use crate::log::{Log, Offset};
use crate::node::NodeId;
use crate::target::{Room, Targets};

/// What joins nodes: makes a link for each namespace of each node.
pub trait Adapter: Send + Sync + 'static {
    /// Joins the nodes of a namespace. `receiver` gets what the others publish.
    ///
    /// Called from within a tokio runtime, or from outside if the application makes its namespaces there.
    ///
    /// # Errors
    /// [`BusError`] when the link cannot be made; the namespace then works for this node alone, and an error is logged.
    fn join(&self, namespace: &str, node: NodeId, receiver: Arc<dyn Receiver>) -> Result<Box<dyn Link>, BusError>;

    /// Keeps events and sessions for so long from now on, and returns where; `None` if the adapter cannot. Called before
    /// [`join`](Self::join) by servers whose clients recover. From then on broadcasts have offsets, and a node gets back its
    /// own.
    fn log(&self, retention: Duration) -> Option<Arc<dyn Log>> {
        let _ = retention;
        None
    }

    /// Returns how it is: whether it reaches the other nodes, and what was lost. One that cannot be cut off is well.
    fn health(&self) -> Health {
        Health::default()
    }
}

/// The way of one node to the other nodes of a namespace.
pub trait Link: Send + Sync + 'static {
    /// Publishes a message. Returns at once and never waits.
    ///
    /// A message to one node may be given to all: who did not ask drops an answer.
    ///
    /// # Errors
    /// [`BusError::Full`] when the bounded queue is full, [`BusError::Closed`] after [`close`](Self::close).
    fn publish(&self, to: To<'_>, message: Message) -> Result<(), BusError>;

    /// Publishes a message as [`publish`](Self::publish) does, at once; what is returned ends when the bus has it, so that
    /// it is not lost with this node. Who knows nothing better says so as soon as it is queued.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`BusError::Failed`] when the bus did not take it; it may have arrived all the
    /// same.
    fn publish_confirmed(&self, to: To<'_>, message: Message) -> BoxFuture<'static, Result<(), BusError>> {
        Box::pin(std::future::ready(self.publish(to, message)))
    }

    /// Whether it wants to know which rooms this node has; see [`room`](Self::room). No, unless it says so.
    fn wants_rooms(&self) -> bool {
        false
    }

    /// Takes the news that this node has a room, or no longer has it: somebody is in it. Told of those that there are at
    /// the beginning too. Returns at once; the sockets are locked meanwhile.
    fn room(&self, room: &Room, kind: RoomKind, exists: bool) {
        let _ = (room, kind, exists);
    }

    /// Tells whether a broadcast to these sockets reaches clients of servers that are none of the [`peers`](Self::peers), and
    /// so do not count them for who asks for acknowledgements. It does not, unless it says so.
    fn outsiders(&self, targets: &Targets) -> Outsiders {
        let _ = targets;
        Outsiders::None
    }

    /// Tells who is joined now, without this node.
    fn peers(&self) -> BoxFuture<'_, Result<Peers, BusError>>;

    /// Names who is joined now, without this node, if [`peers`](Self::peers) can only count them. Asked when somebody has not
    /// answered. Some may be missing, and none must be named who is not there; nobody is named unless it can.
    fn names(&self) -> BoxFuture<'_, Result<Vec<NodeId>, BusError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Leaves. The other nodes stop waiting for answers of this node. Nothing is received afterwards.
    fn close(&self);
}

/// Takes what the other nodes of a namespace publish.
pub trait Receiver: Send + Sync + 'static {
    /// Takes a message. Returns soon and never waits.
    fn receive(&self, envelope: Envelope);

    /// Takes the news that everything up to this place of the log has been given. Called by adapters with a log: before
    /// [`Adapter::join`] returns, and whenever other namespaces have moved the log on.
    fn advance(&self, offset: Offset) {
        let _ = offset;
    }

    /// Whether anybody on this node is in a room. An adapter may drop a broadcast to a room that nobody is in.
    fn has_room(&self, room: &str) -> bool {
        let _ = room;
        true
    }

    /// Takes the news that a node is gone.
    fn left(&self, node: &NodeId);
}

/// Whose a room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoomKind {
    /// It has members.
    Public,
    /// It is a socket's own, of its id.
    Private,
}

/// To whom a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To<'a> {
    /// To every other node.
    All,
    /// To one node: an answer to its question.
    Node(&'a NodeId),
}

/// What is known of clients whom no node counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outsiders {
    /// There are none.
    None,
    /// They get the event. Nobody waits for their acknowledgements.
    Unasked,
    /// At most one is meant, of whom no node may know. Its acknowledgement is waited for if no node counts a client.
    One,
}

/// Who is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peers {
    /// These nodes.
    Known(Vec<NodeId>),
    /// So many nodes; who they are is not known.
    Count(usize),
}

/// Says why the nodes could not be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The queue of the link is full.
    #[error("the queue to the other nodes is full")]
    Full,
    /// The link is closed.
    #[error("the link to the other nodes is closed")]
    Closed,
    /// What carries the messages failed.
    #[error("the bus failed: {0}")]
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// The form in which this travels has no such thing.
    #[error("{0}")]
    Unsupported(&'static str),
    /// What was carried is not a message.
    #[error("not a message of a node: {0}")]
    Malformed(String),
}
