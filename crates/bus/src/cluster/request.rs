//! Decides when a request to the other nodes is answered in full, and who has not answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use limpet_proto::socketio::arguments::Arguments;
use tokio::sync::oneshot;

use super::Missing;
use crate::adapter::{Outsiders, Peers};
use crate::envelope::{RequestId, SocketInfo};
use crate::node::NodeId;
use crate::target::Room;

/// How many acknowledgements are kept before the nodes have counted as many clients.
const MAX_EARLY: usize = 100_000;

/// What is asked for, with the answers so far.
#[derive(Debug)]
pub(super) enum Kind {
    Fetch(Vec<SocketInfo>),
    Rooms(Vec<Room>),
    Emit(Vec<Arguments>),
    Broadcast {
        /// How many clients the nodes have counted.
        clients: usize,
        answers: Vec<Arguments>,
        is_own_counted: bool,
        /// Clients whom no node counts.
        outsiders: Outsiders,
    },
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) kind: Kind,
    peers: Peers,
    /// Who has answered, if only the number of peers is known.
    answered: Vec<NodeId>,
    done: Option<oneshot::Sender<()>>,
}

impl Request {
    pub(super) fn new(kind: Kind, peers: Peers) -> Self {
        Self { kind, peers, answered: Vec::new(), done: None }
    }

    pub(super) fn fetched(&mut self, node: &NodeId, sockets: Vec<SocketInfo>) {
        if self.answers(node)
            && let Kind::Fetch(all) = &mut self.kind
        {
            all.extend(sockets);
        }
    }

    pub(super) fn named(&mut self, node: &NodeId, rooms: Vec<Room>) {
        if self.answers(node)
            && let Kind::Rooms(all) = &mut self.kind
        {
            all.extend(rooms);
        }
    }

    pub(super) fn replied(&mut self, node: &NodeId, answer: Arguments) {
        if self.answers(node)
            && let Kind::Emit(all) = &mut self.kind
        {
            all.push(answer);
        }
    }

    pub(super) fn count(&mut self, node: &NodeId, more: usize) {
        if self.answers(node)
            && let Kind::Broadcast { clients, .. } = &mut self.kind
        {
            *clients = clients.saturating_add(more);
        }
    }

    pub(super) fn count_own(&mut self, more: usize) {
        if let Kind::Broadcast { clients, is_own_counted, .. } = &mut self.kind {
            *clients = clients.saturating_add(more);
            *is_own_counted = true;
        }
    }

    pub(super) fn ack(&mut self, answer: Arguments) {
        if let Kind::Broadcast { answers, clients, .. } = &mut self.kind
            && answers.len() < usize::max(*clients, MAX_EARLY)
        {
            answers.push(answer);
        }
    }

    /// Stops waiting for all others.
    pub(super) fn forget_peers(&mut self) {
        self.peers = Peers::Known(Vec::new());
        if let Kind::Broadcast { outsiders, .. } = &mut self.kind {
            *outsiders = Outsiders::None;
        }
    }

    /// Stops waiting for a node.
    fn left(&mut self, node: &NodeId) {
        match &mut self.peers {
            Peers::Known(nodes) => nodes.retain(|other| other != node),
            Peers::Count(count) if !self.answered.contains(node) => *count = count.saturating_sub(1),
            Peers::Count(_) => {}
        }
    }

    /// Whether a node has answered, as far as is known: not all say who they are.
    pub(super) fn has_answered(&self, node: &NodeId) -> bool {
        self.answered.contains(node)
    }

    /// Who has answered, if only the number of peers was known.
    pub(super) fn answered(&self) -> &[NodeId] {
        &self.answered
    }

    pub(super) fn missing(&self) -> Missing {
        match &self.peers {
            Peers::Known(nodes) => Missing { nodes: nodes.clone(), unnamed: 0 },
            Peers::Count(count) => Missing { nodes: Vec::new(), unnamed: *count },
        }
    }

    /// Returns how many clients have not answered.
    pub(super) fn missing_answers(&self) -> usize {
        let Kind::Broadcast { clients, answers, outsiders, .. } = &self.kind else { return 0 };
        // If nobody has counted the one that is meant, it is elsewhere.
        usize::max(*clients, usize::from(*outsiders == Outsiders::One)).saturating_sub(answers.len())
    }

    /// Notes that a node has answered; says no if it has before, or was not asked.
    fn answers(&mut self, node: &NodeId) -> bool {
        match &mut self.peers {
            Peers::Known(nodes) => match nodes.iter().position(|other| other == node) {
                Some(index) => {
                    nodes.swap_remove(index);
                    true
                }
                None => false,
            },
            Peers::Count(0) => false,
            Peers::Count(_) if self.answered.contains(node) => false,
            Peers::Count(count) => {
                *count -= 1;
                self.answered.push(node.clone());
                true
            }
        }
    }

    fn is_complete(&self) -> bool {
        let all_nodes = match &self.peers {
            Peers::Known(nodes) => nodes.is_empty(),
            Peers::Count(count) => *count == 0,
        };
        all_nodes
            && match &self.kind {
                Kind::Broadcast { is_own_counted, .. } => *is_own_counted && self.missing_answers() == 0,
                Kind::Fetch(_) | Kind::Rooms(_) | Kind::Emit(_) => true,
            }
    }
}

/// The requests that wait for answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests(Arc<Mutex<HashMap<RequestId, Request>>>);

impl Requests {
    /// Begins to wait. The request ends when what is returned is dropped.
    pub(super) fn begin(&self, id: RequestId, kind: Kind, peers: Peers) -> Waiting {
        let (sender, done) = oneshot::channel();
        self.lock().insert(id.clone(), Request { done: Some(sender), ..Request::new(kind, peers) });
        Waiting { requests: self.clone(), id, done }
    }

    /// Changes a request if somebody still waits for it, and wakes who waits when it is complete.
    pub(super) fn with(&self, id: &str, change: impl FnOnce(&mut Request)) {
        if let Some(request) = self.lock().get_mut(id) {
            change(request);
            wake(request);
        }
    }

    pub(super) fn left(&self, node: &NodeId) {
        for request in self.lock().values_mut() {
            request.left(node);
            wake(request);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    #[cfg(test)]
    pub(super) fn any(&self) -> Option<RequestId> {
        self.lock().keys().next().cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, Request>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(request: &mut Request) {
    if request.is_complete()
        && let Some(done) = request.done.take()
    {
        // Nobody hears it when the request was given up; it is about to be removed.
        done.send(()).ok();
    }
}

/// A request that is waited for.
#[derive(Debug)]
pub(super) struct Waiting {
    requests: Requests,
    pub(super) id: RequestId,
    done: oneshot::Receiver<()>,
}

impl Waiting {
    /// Waits until the request is complete, or the time is over.
    pub(super) async fn wait(mut self, timeout: Duration) -> Request {
        // Both ends are the same: what has come is there.
        tokio::time::timeout(timeout, &mut self.done).await.ok();
        self.give_up()
    }

    /// Ends with what has come.
    pub(super) fn give_up(self) -> Request {
        let request = self.requests.lock().remove(&self.id);
        request.unwrap_or_else(|| Request::new(Kind::Emit(Vec::new()), Peers::Known(Vec::new())))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.requests.lock().remove(&self.id);
    }
}
