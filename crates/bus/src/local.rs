//! Joins the nodes of one process: what one publishes, the others take on the same thread, at once and in order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::adapter::{Adapter, BusError, Link, Peers, Receiver, To};
use crate::envelope::{Envelope, Message};
use crate::node::NodeId;

/// The adapter for nodes of one process. Clones join the same nodes.
///
/// ```
/// use limpet_bus::Local;
/// let bus = Local::new();
/// let (first, second) = (bus.clone(), bus);
/// // Give `first` to one server and `second` to another: they are joined.
/// # drop((first, second));
/// ```
#[derive(Clone, Default)]
pub struct Local(Arc<Mutex<HashMap<Arc<str>, Vec<Member>>>>);

#[derive(Clone)]
struct Member {
    node: NodeId,
    receiver: Arc<dyn Receiver>,
}

struct LocalLink {
    bus: Local,
    namespace: Arc<str>,
    node: NodeId,
    /// Tells this link's entry from a later one of the same node.
    receiver: Arc<dyn Receiver>,
}

impl Local {
    /// Makes a bus that nobody has joined.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the members of a namespace. They are called without the lock.
    fn members(&self, namespace: &str) -> Vec<Member> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(namespace).cloned().unwrap_or_default()
    }
}

impl Adapter for Local {
    fn join(&self, namespace: &str, node: NodeId, receiver: Arc<dyn Receiver>) -> Result<Box<dyn Link>, BusError> {
        let namespace: Arc<str> = namespace.into();
        let mut namespaces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let members = namespaces.entry(namespace.clone()).or_default();
        members.push(Member { node: node.clone(), receiver: receiver.clone() });
        drop(namespaces);
        Ok(Box::new(LocalLink { bus: self.clone(), namespace, node, receiver }))
    }
}

impl Link for LocalLink {
    fn publish(&self, to: To<'_>, message: Message) -> Result<(), BusError> {
        let members = self.bus.members(&self.namespace);
        let meant = |member: &&Member| match to {
            To::All => member.node != self.node,
            To::Node(node) => member.node == *node && member.node != self.node,
        };
        let mut meant = members.iter().filter(meant).peekable();
        while let Some(member) = meant.next() {
            let envelope = |message| Envelope {
                node: self.node.clone(),
                namespace: self.namespace.clone(),
                offset: None,
                message,
            };
            if meant.peek().is_none() {
                member.receiver.receive(envelope(message));
                break;
            }
            member.receiver.receive(envelope(message.clone()));
        }
        Ok(())
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, BusError>> {
        let members = self.bus.members(&self.namespace);
        let others = members.into_iter().map(|member| member.node).filter(|node| *node != self.node);
        std::future::ready(Ok(Peers::Known(others.collect()))).boxed()
    }

    fn close(&self) {
        let mut namespaces = self.bus.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(members) = namespaces.get_mut(&self.namespace) else { return };
        let count = members.len();
        members.retain(|member| !Arc::ptr_eq(&member.receiver, &self.receiver));
        if members.len() == count {
            return;
        }
        let left = members.clone();
        if left.is_empty() {
            namespaces.remove(&self.namespace);
        }
        drop(namespaces);
        for member in left {
            member.receiver.left(&self.node);
        }
    }
}
