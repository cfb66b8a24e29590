//! Decides which node of a Redis Cluster has what. A Redis alone is one node that has everything.

use std::sync::Arc;

use redis::{RedisError, RedisResult, Value, cmd};
use tokio::time::timeout;

use super::lane::Question;
use super::slots::slot;
use crate::redis::ask::Ask;
use crate::redis::open::{Address, Dialled};
use crate::redis::wire::Wire;

/// How many ranges of slots are believed. A cluster of 1,000 masters has about as many.
const MAX_RANGES: usize = 16384;

/// Which connection a command needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::redis) enum To {
    /// To any master: they pass on to each other what is published on plain channels.
    Any,
    /// To this one.
    Node(Arc<str>, u16),
}

/// What is known of the nodes.
#[derive(Debug)]
pub(in crate::redis) struct Topology {
    address: Address,
    /// Ranges of slots and their masters, as last told; none for a Redis alone.
    ranges: Vec<(u16, u16, To)>,
    /// Which master is taken where any will do.
    turn: usize,
    is_known: bool,
}

impl Topology {
    pub(in crate::redis) fn new(address: Address) -> Self {
        // Not all processes of a cluster begin with the same master.
        let turn = crate::node::random_u64() as usize;
        Self { address, ranges: Vec::new(), turn, is_known: false }
    }

    /// Asks which node has what, if that is not known. Returns whether it was possible; a Redis alone is not asked.
    pub(in crate::redis) async fn know(&mut self) -> RedisResult<()> {
        if self.is_known || !self.address.is_cluster() {
            return Ok(());
        }
        let mut failed = None;
        // Those that were named at first, and then those that were learned: the first may all be gone.
        let mut nodes = self.address.seeds();
        for (_, _, to) in &self.ranges {
            if let To::Node(host, port) = to {
                nodes.push((host.to_string(), *port));
            }
        }
        nodes.dedup();
        for (host, port) in nodes {
            match timeout(super::SLOW, self.ask(&host, port)).await.unwrap_or_else(|_| Err(silent())) {
                Ok(ranges) => {
                    self.ranges = ranges;
                    self.is_known = true;
                    return Ok(());
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(nobody))
    }

    /// Returns how connections are asked whether they are of use.
    pub(super) fn question(&self) -> Question {
        match (self.address.is_cluster(), self.address.is_sentinel()) {
            (true, _) => Question::Cluster,
            (_, true) => Question::Role,
            _ => Question::Ping,
        }
    }

    /// Lets the next [`know`](Self::know) ask again.
    pub(in crate::redis) fn doubt(&mut self) {
        self.is_known = false;
        self.turn = self.turn.wrapping_add(1);
    }

    /// Says where a channel of shards is; `None` while nobody has its slot.
    pub(in crate::redis) fn owner(&self, channel: &str) -> Option<To> {
        if !self.address.is_cluster() {
            return Some(To::Any);
        }
        let slot = slot(channel);
        let range = self.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        range.map(|(_, _, to)| to.clone())
    }

    /// Opens a connection.
    pub(in crate::redis) async fn dial(&self, to: &To) -> RedisResult<Dialled> {
        let to = match to {
            To::Any if self.ranges.is_empty() => to,
            To::Any => &self.ranges[self.turn % self.ranges.len()].2,
            node => node,
        };
        match to {
            To::Any => self.address.dial().await,
            To::Node(host, port) => self.address.dial_node(host, *port).await,
        }
    }

    async fn ask(&self, host: &str, port: u16) -> RedisResult<Vec<(u16, u16, To)>> {
        let mut wire = Wire::new(self.address.dial_node(host, port).await?).await?;
        let answer: Vec<Vec<Value>> = wire.ask(cmd("CLUSTER").arg("SLOTS")).await?;
        let ranges: Vec<_> = answer.into_iter().take(MAX_RANGES).filter_map(|words| range(host, words)).collect();
        if ranges.is_empty() { Err(nobody()) } else { Ok(ranges) }
    }
}

/// Reads `[first, last, [host, port, …], replicas…]`. A node that does not know its own name is the one that was asked.
fn range(asked: &str, words: Vec<Value>) -> Option<(u16, u16, To)> {
    let mut words = words.into_iter();
    let number = |value: Value| match value {
        Value::Int(number) => u16::try_from(number).ok(),
        _ => None,
    };
    let (first, last) = (number(words.next()?)?, number(words.next()?)?);
    let Value::Array(master) = words.next()? else { return None };
    let mut master = master.into_iter();
    let host = match master.next()? {
        Value::BulkString(host) if !host.is_empty() => String::from_utf8(host).ok()?,
        Value::BulkString(_) | Value::Nil => asked.to_owned(),
        _ => return None,
    };
    Some((first, last, To::Node(host.into(), number(master.next()?)?)))
}

fn silent() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "a node of the cluster does not answer").into()
}

fn nobody() -> RedisError {
    RedisError::from((redis::ErrorKind::ClusterConnectionNotFound, "no node of the cluster says who has what"))
}
