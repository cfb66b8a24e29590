//! Decides how a process is connected to Redis: one connection publishes, another one listens; in a Redis Cluster one to
//! each node that is needed.
//!
//! What is published waits in a bounded queue until Redis has taken it, in order. What was under way when a connection
//! broke is lost and counted, never sent twice. What is listened to is listened to again, until Redis has confirmed it.

mod lane;
mod listener;
mod publisher;
mod slots;
mod tap;
mod topology;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::{RedisError, cmd};
use tokio::sync::oneshot;

use super::ask::Ask;
use super::open::{Address, Kept};
use crate::adapter::BusError;
use crate::health::{Health, Meter};
use crate::node::NodeId;
use publisher::Queue;
pub(super) use publisher::{Bounds, Published};
pub(super) use topology::{To, Topology};
use wanted::Wanted;
pub(super) use wanted::{How, Subscription};

/// How long Redis may be silent before this node says that it is cut off.
const SLOW: Duration = Duration::from_secs(2);

/// How long a connection may be silent before it is given up. What a stalled Redis has in hand it may yet do, so this is
/// long.
const PATIENCE: Duration = Duration::from_secs(15);

/// The pause before a failed connection is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How long whoever asks for peers waits until Redis has confirmed that this node listens.
const CONFIRMATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes what comes on a channel, and the pattern by which it was found, if one was; returns soon. What several patterns find
/// comes for each of them.
pub(super) type Hear = dyn Fn(&str, Option<&str>, Bytes) + Send + Sync;

/// The connections of one process. They end with it, after what waits has left, if that is possible within seconds.
pub(super) struct Connections {
    queue: Queue,
    wanted: Arc<Wanted>,
    meter: Arc<Meter>,
    questions: Kept,
    listening: tokio::task::AbortHandle,
}

impl Connections {
    /// Connects.
    pub(super) async fn open(
        address: Address,
        bounds: Bounds,
        meter: Arc<Meter>,
        hear: Arc<Hear>,
    ) -> Result<Self, BusError> {
        let questions = Kept::connect(address.clone()).await.map_err(failed)?;
        let wanted = Arc::new(Wanted::default());
        let queue = publisher::start(address.clone(), bounds, meter.clone());
        let listening = listener::start(address, wanted.clone(), meter.clone(), hear);
        Ok(Self { queue, wanted, meter, questions, listening })
    }

    /// Queues a message.
    pub(super) fn publish(&self, message: Published) -> Result<(), BusError> {
        self.queue.push(message)
    }

    /// Queues a message; what is returned ends when Redis has taken it.
    pub(super) fn publish_confirmed(&self, message: Published) -> BoxFuture<'static, Result<(), BusError>> {
        let (sender, taken) = oneshot::channel();
        match self.queue.push(Published { taken: Some(sender), ..message }) {
            Ok(()) => async { taken.await.map_err(|lost| BusError::Failed(Box::new(lost))) }.boxed(),
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }

    /// Listens, soon, and for as long as it is wanted as often as it is left.
    pub(super) fn want(&self, subscription: Subscription) {
        self.wanted.add(subscription);
    }

    /// Leaves what was wanted.
    pub(super) fn leave(&self, subscription: &Subscription) {
        self.wanted.remove(subscription);
    }

    /// Waits until Redis has confirmed these.
    pub(super) async fn confirmed(&self, subscriptions: &[Subscription]) -> Result<(), BusError> {
        let late = tokio::time::timeout(CONFIRMATION_TIMEOUT, self.wanted.confirmed(subscriptions)).await;
        late.map_err(|late| BusError::Failed(Box::new(late)))
    }

    /// Returns how many connections listen to a channel, on all nodes of a cluster.
    pub(super) async fn listeners(&self, channel: &str, how: How) -> Result<usize, BusError> {
        let mut question = cmd("PUBSUB");
        question.arg(if how == How::Shard { "SHARDNUMSUB" } else { "NUMSUB" }).arg(channel);
        let (_, count): (String, usize) = self.questions.clone().ask(&question).await.map_err(failed)?;
        Ok(count)
    }

    /// Returns the channels that somebody listens to and that match a pattern, on all nodes of a cluster.
    pub(super) async fn channels(&self, pattern: &str, how: How) -> Result<Vec<String>, BusError> {
        let mut question = cmd("PUBSUB");
        question.arg(if how == How::Shard { "SHARDCHANNELS" } else { "CHANNELS" }).arg(pattern);
        let channels: Vec<Vec<u8>> = self.questions.clone().ask(&question).await.map_err(failed)?;
        Ok(channels.into_iter().filter_map(|channel| String::from_utf8(channel).ok()).collect())
    }

    /// Returns the nodes that listen to channels of their own: their names stand between `before` and a `#`.
    pub(super) async fn names(&self, before: &str, how: How, own: &NodeId) -> Result<Vec<NodeId>, BusError> {
        let channels = self.channels(&format!("{}?*#", escaped(before)), how).await?;
        let name = |channel: &String| channel.strip_prefix(before)?.strip_suffix('#').map(NodeId::from);
        let mut names: Vec<_> = channels.iter().filter_map(name).filter(|name| name != own).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    pub(super) fn health(&self) -> Health {
        self.meter.health(self.queue.len() as u64)
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Returns the pattern that matches this text alone.
pub(super) fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern
}

fn failed(error: RedisError) -> BusError {
    BusError::Failed(Box::new(error))
}
