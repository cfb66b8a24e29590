//! Decides what goes through the log when clients recover, and what waits for it: so that all nodes do the same in the same
//! order, and a client sees the events of a node in the order in which it emitted them.

use limpet_proto::socketio::arguments::Arguments;
use tokio::time::Instant;

use super::line::Job;
use super::{Cluster, Sockets};
use crate::adapter::{BusError, To};
use crate::envelope::{Envelope, Message};
use crate::log::Offset;
use crate::node::NodeId;
use crate::recovery::Stamp;
use crate::target::{Flags, Room, Targets};

/// Returns whether a message has its place among what is done with sockets.
pub(super) fn is_for_sockets(message: &Message) -> bool {
    use Message::{Broadcast, Disconnect, Join, Leave};
    matches!(message, Broadcast { .. } | Join { .. } | Leave { .. } | Disconnect { .. })
}

impl Cluster {
    /// Does something when all that this node has published before has reached its own sockets: at once, if clients do not
    /// recover or nothing is on its way. It may be done by another thread, and waits for 1 s at most.
    pub fn in_order(&self, action: impl FnOnce() + Send + 'static) {
        if !self.is_ordered() {
            action();
            return;
        }
        self.line.push_in_order(Box::new(action), Instant::now());
        self.run();
        if self.line.deadline().is_some()
            && let Some(recovery) = self.recovery.get()
        {
            recovery.wake();
        }
    }

    /// Returns whether clients recover.
    pub(super) fn is_ordered(&self) -> bool {
        self.recovery.get().is_some()
    }

    /// Publishes what comes back, if clients recover.
    pub(super) fn publish_in_order(&self, message: Message) -> Result<(), BusError> {
        if !self.is_ordered() {
            return self.publish(To::All, message);
        }
        self.line.publishing();
        let published = self.publish(To::All, message);
        if published.is_err() {
            self.not_published();
        }
        published
    }

    /// Notes that something will not come back.
    pub(super) fn not_published(&self) {
        self.line.returned();
        self.run();
    }

    /// Sends an event that is in no log to the sockets of this node.
    pub(super) fn deliver_in_order(&self, arguments: Arguments, targets: Targets, flags: Flags) {
        let Some(sockets) = self.sockets.upgrade() else { return };
        if !self.is_ordered() {
            sockets.broadcast(&arguments, &targets, flags, Stamp::None);
            return;
        }
        let own = self.own.clone();
        self.in_order(move || {
            if let Some(cluster) = own.upgrade() {
                sockets.broadcast(&arguments, &targets, flags, cluster.last());
            }
        });
    }

    /// Does something with the sockets of all nodes, or of this node if so flagged.
    pub(super) fn act_in_order(&self, flags: Flags, message: Message) -> Result<(), BusError> {
        let published = match flags.local || self.link.get().is_none() {
            true => Ok(()),
            false => {
                let published = self.publish_in_order(message.clone());
                if self.is_ordered() && published.is_ok() {
                    return published;
                }
                published
            }
        };
        let sockets = self.sockets.clone();
        self.in_order(move || {
            if let Some(sockets) = sockets.upgrade() {
                act(&*sockets, message);
            }
        });
        published
    }

    pub(super) fn received_in_order(&self, envelope: Envelope) {
        self.line.take(Job::Received(envelope), |job| self.do_job(job));
    }

    pub(super) fn advance(&self, offset: Offset) {
        if self.is_ordered() {
            self.line.take(Job::Advance(offset), |job| self.do_job(job));
        }
    }

    /// Tells a node that a session has a new holder.
    pub(crate) fn fence(&self, node: &NodeId, id: Room, epoch: u64) {
        if let Err(error) = self.publish(To::Node(node), Message::Fence { id, epoch }) {
            tracing::warn!(%node, %error, "a node is not told that its client is elsewhere");
        }
    }

    /// Lets go what has waited too long for the bus.
    pub(crate) fn let_go_late(&self) {
        if self.line.expire(Instant::now()) {
            self.run();
        }
    }

    /// Returns when something has waited too long for the bus.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.line.deadline()
    }

    fn run(&self) {
        self.line.run(|job| self.do_job(job));
    }

    fn do_job(&self, job: Job) {
        match job {
            Job::Received(envelope) => self.take(envelope),
            Job::Advance(offset) => {
                if let Some(recovery) = self.recovery.get() {
                    recovery.places().finish(offset);
                }
            }
            Job::Act(action) => action(),
        }
    }

    /// Does what was received, at its place.
    fn take(&self, Envelope { node, offset, message, .. }: Envelope) {
        let is_own = node == self.node;
        // Questions are not waited for: this node asks its own sockets itself.
        let is_back = is_own && !matches!(message, Message::Broadcast { request: Some(_), .. });
        let places = self.recovery.get().map(|recovery| recovery.places());
        let is_new = match (offset, places) {
            (Some(offset), Some(places)) => places.begin(offset),
            _ => true,
        };
        if let Some(sockets) = self.sockets.upgrade()
            && is_new
        {
            match message {
                Message::Broadcast { arguments, targets, flags, request: None } => {
                    let stamp = match offset {
                        Some(offset) if !flags.local => Stamp::Own(offset),
                        _ => self.last(),
                    };
                    sockets.broadcast(&arguments, &targets, flags, stamp);
                }
                Message::Broadcast { .. } if !is_own => {
                    if let Some(cluster) = self.own.upgrade() {
                        cluster.act(&*sockets, node, message);
                    }
                }
                Message::Broadcast { .. } => {}
                message => act(&*sockets, message),
            }
        }
        if let (Some(offset), Some(places)) = (offset, places) {
            places.finish(offset);
        }
        if is_back {
            self.line.returned();
        }
    }

    /// Returns the stamp of what is in no log: the place of the last entry that has reached the sockets.
    fn last(&self) -> Stamp {
        let done = self.recovery.get().and_then(|recovery| recovery.places().done());
        done.map_or(Stamp::None, Stamp::Last)
    }
}

/// Does something with sockets that nobody answers.
pub(super) fn act(sockets: &dyn Sockets, message: Message) {
    match message {
        Message::Join { targets, rooms } => sockets.join(&targets, &rooms),
        Message::Leave { targets, rooms } => sockets.leave(&targets, &rooms),
        Message::Disconnect { targets, close } => sockets.disconnect(&targets, close),
        _ => {}
    }
}
