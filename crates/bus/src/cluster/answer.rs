//! What comes of a question to the nodes, and the way to answer one.

use std::fmt;
use std::sync::Weak;

use limpet_proto::socketio::arguments::Arguments;

use super::Cluster;
use crate::adapter::{BusError, To};
use crate::envelope::{Message, RequestId};
use crate::node::NodeId;

/// The nodes that did not answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Those whose names are known.
    pub nodes: Vec<NodeId>,
    /// How many more, if the adapter knows only how many there are.
    pub unnamed: usize,
}

/// What came of a broadcast that is acknowledged.
#[derive(Debug, Default)]
pub struct Acks {
    /// What clients said, in the order in which it came.
    pub answers: Vec<Arguments>,
    /// How many clients did not answer.
    pub missing: usize,
    /// The nodes that did not say how many clients they have.
    pub missing_nodes: Missing,
    /// Why the other nodes were not asked.
    pub error: Option<BusError>,
}

/// What came of a question to the nodes.
#[derive(Debug)]
pub struct Answers<T> {
    /// What they said.
    pub answers: Vec<T>,
    /// Who did not answer.
    pub missing: Missing,
    /// Why the other nodes were not asked.
    pub error: Option<BusError>,
}

/// The way to answer an event of another server. Answers once.
pub struct Reply {
    pub(super) cluster: Weak<Cluster>,
    pub(super) node: NodeId,
    pub(super) request: RequestId,
}

impl Missing {
    /// Returns whether nobody is missing.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.unnamed == 0
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.nodes.iter().enumerate() {
            write!(f, "{}{node}", if index == 0 { "node " } else { ", " })?;
        }
        match (self.unnamed, self.nodes.is_empty()) {
            (0, false) => Ok(()),
            (count, true) => write!(f, "{count} nodes"),
            (count, false) => write!(f, " and {count} more"),
        }
    }
}

impl Reply {
    /// Answers.
    ///
    /// # Errors
    /// [`BusError`] when the answer cannot leave.
    pub fn send(self, arguments: Arguments) -> Result<(), BusError> {
        let cluster = self.cluster.upgrade().ok_or(BusError::Closed)?;
        cluster.publish(To::Node(&self.node), Message::ServerSideReply { request: self.request, arguments })
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("node", &self.node).field("request", &self.request).finish_non_exhaustive()
    }
}
