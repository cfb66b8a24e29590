//! Decides what a message of another node does here: what it asks is done and answered, what it answers is counted.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::sockets::{OnAck, Sockets};
use super::{Cluster, Reply, order};
use crate::adapter::{Receiver, To};
use crate::envelope::{Envelope, Message, RequestId};
use crate::log::Offset;
use crate::node::NodeId;
use crate::recovery::Stamp;
use crate::target::Flags;

/// How long an acknowledgement for another node is passed on, when that node does not say how long it waits.
const PASS_ON: Duration = Duration::from_secs(60);

/// For how many requests of other nodes acknowledgements are passed on; with more, for the latest. About 200 bytes for each.
pub(super) const MAX_PASSED_ON: usize = 10_000;

/// What an adapter is given to hear with. It does not keep the namespace alive.
pub(super) struct Ear(pub(super) Weak<Cluster>);

impl Receiver for Ear {
    fn receive(&self, envelope: Envelope) {
        if let Some(cluster) = self.0.upgrade() {
            cluster.receive(envelope);
        }
    }

    fn advance(&self, offset: Offset) {
        if let Some(cluster) = self.0.upgrade() {
            cluster.advance(offset);
        }
    }

    fn has_room(&self, room: &str) -> bool {
        let sockets = self.0.upgrade().and_then(|cluster| cluster.sockets.upgrade());
        sockets.is_none_or(|sockets| sockets.has_room(room))
    }

    fn left(&self, node: &NodeId) {
        if let Some(cluster) = self.0.upgrade() {
            cluster.requests.left(node);
        }
    }
}

impl Cluster {
    /// Gives clients' acknowledgements back to the node that asked for them.
    fn pass_on(self: &Arc<Self>, node: NodeId, request: RequestId, flags: Flags) -> Arc<OnAck> {
        let cluster = Arc::downgrade(self);
        let on_ack: Arc<OnAck> = Arc::new(move |arguments| {
            if let Some(cluster) = cluster.upgrade() {
                let message = Message::BroadcastAck { request: request.clone(), arguments };
                cluster.publish(To::Node(&node), message).ok();
            }
        });
        let now = Instant::now();
        let until = now + flags.timeout.unwrap_or(PASS_ON);
        let mut passed_on = self.passed_on.lock().unwrap_or_else(PoisonError::into_inner);
        if passed_on.len() == passed_on.capacity() {
            passed_on.retain(|(until, _)| *until > now);
        }
        if passed_on.len() >= MAX_PASSED_ON {
            passed_on.pop_front();
        }
        passed_on.push_back((until, on_ack.clone()));
        on_ack
    }

    pub(super) fn receive(self: &Arc<Self>, envelope: Envelope) {
        if self.is_ordered() && order::is_for_sockets(&envelope.message) {
            return self.received_in_order(envelope);
        }
        let Envelope { node, message, .. } = envelope;
        let is_own = node == self.node;
        match message {
            Message::Fence { id, epoch } => {
                if let Some(recovery) = self.recovery.get() {
                    recovery.fenced(&id, epoch);
                }
            }
            Message::Fetched { request, sockets } => {
                self.requests.with(&request, |request| request.fetched(&node, sockets));
            }
            Message::Rooms { request, rooms } => {
                self.requests.with(&request, |request| request.named(&node, rooms));
            }
            Message::ServerSideReply { request, arguments } => {
                self.requests.with(&request, |request| request.replied(&node, arguments));
            }
            Message::BroadcastCount { request, clients } => {
                self.requests.with(&request, |request| request.count(&node, clients));
            }
            Message::BroadcastAck { request, arguments } => {
                self.requests.with(&request, |request| request.ack(arguments));
            }
            Message::Bye => self.requests.left(&node),
            Message::Hello | Message::Heartbeat => {}
            Message::Broadcast { arguments, targets, flags, request: None } if !is_own => {
                if let Some(sockets) = self.sockets.upgrade() {
                    sockets.broadcast(&arguments, &targets, flags, Stamp::None);
                }
            }
            _ if is_own => {}
            message => {
                if let Some(sockets) = self.sockets.upgrade() {
                    self.act(&*sockets, node, message);
                }
            }
        }
    }

    /// Does what another node asks for.
    pub(super) fn act(self: &Arc<Self>, sockets: &dyn Sockets, node: NodeId, message: Message) {
        let answered = match message {
            Message::Broadcast { arguments, targets, flags, request: Some(request) } => {
                let on_ack = self.pass_on(node.clone(), request.clone(), flags);
                let clients = sockets.broadcast_with_ack(&arguments, &targets, flags, &on_ack);
                self.publish(To::Node(&node), Message::BroadcastCount { request, clients })
            }
            Message::Fetch { targets, request } => {
                let sockets = sockets.fetch(&targets);
                self.publish(To::Node(&node), Message::Fetched { request, sockets })
            }
            Message::AllRooms { request } => {
                self.publish(To::Node(&node), Message::Rooms { request, rooms: sockets.rooms() })
            }
            Message::ServerSideEmit { arguments, request } => {
                let cluster = Arc::downgrade(self);
                let reply = request.map(|request| Reply { cluster, node: node.clone(), request });
                sockets.server_side_emit(&node, arguments, reply);
                Ok(())
            }
            message => {
                order::act(sockets, message);
                Ok(())
            }
        };
        if let Err(error) = answered {
            tracing::warn!(%node, %error, "an answer to another node cannot leave");
        }
    }
}
