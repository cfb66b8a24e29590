//! Joins nodes by Redis Streams, as `@socket.io/redis-streams-adapter` does: nodes of both kinds form one cluster, and what
//! they publish is kept, so that clients recover it.
//!
//! A namespace has one stream, and all nodes give what is in it in the order of the stream. Nothing is lost while Redis is
//! away: what is published waits in a bounded queue and is repeated until Redis has it, and reading goes on where it
//! ended. What was repeated needlessly is recognised and given once. Requests that are to be answered at once, and their
//! answers, take the short way of channels, where delivery is at most once.

mod bulk;
mod emitting;
pub(super) mod entry;
mod feed;
mod history;
mod log;
pub(super) mod names;
mod patience;
mod reader;
pub(super) mod session;
mod sessions;
mod transaction;
mod trouble;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::RedisError;
use tokio::sync::{oneshot, watch};

use super::connection::{Bounds, Connections, How, Published, Subscription};
use super::direct::Direct;
use super::message;
use super::{Address, Kept};
use crate::adapter::{Adapter, BusError, Link, Peers, Receiver, To};
use crate::envelope::Message;
use crate::health::{Health, Meter};
use crate::log::Log;
use crate::node::NodeId;
use crate::recovery::{Repeats, TailBounds};
pub(crate) use bulk::Bulk;
pub(crate) use emitting::Emitting;
use feed::{Feed, Member, give};
use history::History;
use log::StreamsLog;
use names::Names;
use patience::Patient;
use reader::Reader;
use sessions::Sessions;
use writer::Writer;

/// How long Redis may take to confirm what is published. A Redis that stands still for less causes no repeats.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How a process is joined to the others.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamsOptions {
    /// The stream's name, `streamName` in Node's adapter; `socket.io`.
    pub stream: String,
    /// How many streams there are, at least 1; `streamCount` in Node's adapter; 1. A namespace is in one of them; with more
    /// than one, `-` and a number follow the name. All nodes and emitters need the same. Each costs two connections.
    pub stream_count: u16,
    /// With what channels begin, `channelPrefix` in Node's adapter; `socket.io`.
    pub channel_prefix: String,
    /// With what the keys of sessions begin, `sessionKeyPrefix` in Node's adapter; `sio:session:`.
    pub session_prefix: String,
    /// Whether requests and their answers take channels of shards, `useShardedPubSub` in Node's adapter; no. Needs Redis 7,
    /// and the same choice at all nodes.
    pub sharded_pubsub: bool,
    /// About how many entries a stream keeps, `maxLen` in Node's adapter; 10,000. A client that was away for more gets a
    /// fresh session. Each costs its bytes and about 50 more in Redis.
    pub max_len: u64,
    /// How many bytes of the latest events of each namespace stay in memory when clients recover; 16 MiB. A client that
    /// missed more is served from Redis.
    pub max_remembered_bytes: usize,
    /// How many messages may wait for Redis, for each stream and for the channels; 10,000. When more wait, publishing fails
    /// with [`BusError::Full`].
    pub max_queued: usize,
    /// How many bytes may wait for Redis for each stream; 64 MiB. When more wait, publishing fails with
    /// [`BusError::Full`].
    pub max_queued_bytes: usize,
}

impl Default for StreamsOptions {
    fn default() -> Self {
        Self {
            stream: "socket.io".to_owned(),
            stream_count: 1,
            channel_prefix: "socket.io".to_owned(),
            session_prefix: "sio:session:".to_owned(),
            sharded_pubsub: false,
            max_len: 10_000,
            max_remembered_bytes: 16 * 1024 * 1024,
            max_queued: 10_000,
            max_queued_bytes: 64 * 1024 * 1024,
        }
    }
}

impl StreamsOptions {
    pub(crate) fn names(&self) -> Names {
        Names::new(&self.stream, self.stream_count, &self.channel_prefix)
    }

    fn how(&self) -> How {
        if self.sharded_pubsub { How::Shard } else { How::Channel }
    }
}

/// The adapter for nodes that share streams of a Redis 5 or later, with clients that recover. Clones share its
/// connections.
///
/// ```no_run
/// # async fn example() -> Result<(), limpet_bus::BusError> {
/// let bus = limpet_bus::Streams::connect("redis://127.0.0.1:6379").await?;
/// # drop(bus);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Streams(Arc<Shared>);

struct Shared {
    options: StreamsOptions,
    streams: Arc<StreamSet>,
    writers: Vec<Writer>,
    channels: Connections,
    /// For sessions and the past.
    keeping: Patient,
    /// Whether nodes get back their own messages.
    has_log: Arc<AtomicBool>,
    /// Readers end when it is dropped.
    _alive: watch::Sender<()>,
}

/// The streams that this process reads.
struct StreamSet {
    names: Names,
    feeds: Vec<Arc<Feed>>,
    meter: Arc<Meter>,
}

struct StreamsLink {
    shared: Arc<Shared>,
    member: Arc<Member>,
    listens: Vec<Subscription>,
}

impl Streams {
    /// Connects, with the options of Node's adapter. Entries that are in the stream already are for those who recover.
    ///
    /// # Errors
    /// [`BusError::Failed`] when the URL is wrong or Redis cannot be reached now.
    pub async fn connect(url: &str) -> Result<Self, BusError> {
        Self::connect_with(url, StreamsOptions::default()).await
    }

    /// Connects with these options.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(url: &str, options: StreamsOptions) -> Result<Self, BusError> {
        let address = Address::parse(url)?;
        let keeping = Patient(Kept::connect(address.clone()).await.map_err(failed)?);
        let meter = Arc::new(Meter::default());
        let has_log = Arc::new(AtomicBool::new(false));
        let (alive, gone) = watch::channel(());
        let names = options.names();
        let (mut feeds, mut writers, mut readers) = (Vec::new(), Vec::new(), Vec::new());
        for stream in names.all() {
            let mut writing = Direct::connect(address.clone(), &stream, WRITE_TIMEOUT).await.map_err(failed)?;
            let info = reader::info(&mut writing, &stream).await.map_err(failed)?;
            let feed = Arc::new(Feed::new(info.last));
            let bounds = (options.max_queued, options.max_queued_bytes);
            let writer = Writer::start(stream.clone(), options.max_len, bounds, writing, feed.clone(), meter.clone());
            let connection = Direct::connect(address.clone(), &stream, reader::RESPONSE_TIMEOUT).await;
            readers.push(Reader {
                stream,
                connection: connection.map_err(failed)?,
                count: reader::COUNT,
                feed: feed.clone(),
                meter: meter.clone(),
                has_log: has_log.clone(),
                past: keeping.clone(),
                repeats: Repeats::new(reader::MAX_PUBLISHERS),
                noted: info.last,
                seen: info.is_counted().then_some(info.added),
            });
            feeds.push(feed);
            writers.push(writer);
        }
        let streams = Arc::new(StreamSet { names, feeds, meter });
        let hears = streams.clone();
        let hear = move |channel: &str, _: Option<&str>, bytes: Bytes| hears.hear(channel, &bytes);
        let bounds = Bounds { messages: options.max_queued, bytes: options.max_queued_bytes };
        let channels = Connections::open(address, bounds, streams.meter.clone(), Arc::new(hear)).await?;
        for reader in readers {
            tokio::spawn(reader.run(gone.clone()));
        }
        Ok(Self(Arc::new(Shared { options, streams, writers, channels, keeping, has_log, _alive: alive })))
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Adapter for Streams {
    fn join(&self, namespace: &str, node: NodeId, receiver: Arc<dyn Receiver>) -> Result<Box<dyn Link>, BusError> {
        let names = &self.0.streams.names;
        let channels = [names.public(namespace), names.private(namespace, &node)];
        let listens: Vec<_> = channels.into_iter().map(|name| Subscription::new(self.0.options.how(), name)).collect();
        listens.iter().for_each(|subscription| self.0.channels.want(subscription.clone()));
        let member = Arc::new(Member { namespace: namespace.into(), node, receiver });
        self.0.streams.feed(namespace).join(member.clone());
        Ok(Box::new(StreamsLink { shared: self.0.clone(), member, listens }))
    }

    fn health(&self) -> Health {
        let Shared { writers, channels, .. } = &*self.0;
        let mut health = channels.health();
        health.queued += writers.iter().map(|writer| writer.len() as u64).sum::<u64>();
        health
    }

    fn log(&self, retention: Duration) -> Option<Arc<dyn Log>> {
        let Shared { options, streams, keeping, has_log, .. } = &*self.0;
        has_log.store(true, Ordering::Relaxed);
        let entries = usize::try_from(options.max_len).unwrap_or(usize::MAX);
        // Longer than sessions: what is known of one may be of its last refresh.
        let time = retention.saturating_add(retention / 2);
        let bounds = TailBounds { time, entries, bytes: options.max_remembered_bytes };
        streams.feeds.iter().for_each(|feed| feed.remember(bounds));
        let history = History::new(keeping.clone(), streams.meter.clone());
        let prefix = options.session_prefix.as_str().into();
        let sessions = Sessions { connection: keeping.clone(), prefix, retention };
        Some(Arc::new(StreamsLog { streams: streams.clone(), history, sessions }))
    }
}

impl StreamsLink {
    fn send(
        &self,
        to: To<'_>,
        message: &Message,
        confirm: Option<oneshot::Sender<Result<(), BusError>>>,
    ) -> Result<(), BusError> {
        let Member { namespace, node, .. } = &*self.member;
        let Shared { options, streams, writers, channels, .. } = &*self.shared;
        let Some(written) = message::write(message)? else { return Ok(()) };
        if is_kept(to, message) {
            let (kind, node, namespace) = (written.kind, node.clone(), namespace.clone());
            let index = streams.names.index(&namespace);
            let entry = writer::Entry { node, namespace, kind, data: entry::data(written), confirm };
            return writers.get(index).ok_or(BusError::Closed)?.publish(entry);
        }
        let channel = match to {
            To::All => streams.names.public(namespace),
            To::Node(to) => streams.names.private(namespace, to),
        };
        let bytes = written.to_msgpack(node, namespace)?;
        channels.publish(Published { channel, bytes, is_shard: options.sharded_pubsub, taken: None })
    }
}

/// Says whether a message goes through the stream. The others are of use for an instant only, and so is what is for one
/// node.
fn is_kept(to: To<'_>, message: &Message) -> bool {
    let is_lasting = matches!(
        message,
        Message::Broadcast { request: None, .. }
            | Message::Join { .. }
            | Message::Leave { .. }
            | Message::Disconnect { .. }
            | Message::Fence { .. }
    );
    is_lasting && to == To::All
}

impl Link for StreamsLink {
    fn publish(&self, to: To<'_>, message: Message) -> Result<(), BusError> {
        self.send(to, &message, None)
    }

    fn publish_confirmed(&self, to: To<'_>, message: Message) -> BoxFuture<'static, Result<(), BusError>> {
        if !is_kept(to, &message) {
            return std::future::ready(self.send(to, &message, None)).boxed();
        }
        let (confirm, confirmed) = oneshot::channel();
        let queued = self.send(to, &message, Some(confirm));
        async {
            queued?;
            confirmed.await.map_err(|_| BusError::Closed)?
        }
        .boxed()
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, BusError>> {
        async {
            // Who asks before it listens hears no answer.
            self.shared.channels.confirmed(&self.listens).await?;
            let (Shared { options, streams, channels, .. }, namespace) = (&*self.shared, &self.member.namespace);
            let listeners = channels.listeners(&streams.names.public(namespace), options.how()).await?;
            // One of them is the connection of this process, which may serve several nodes.
            let own = streams.feed(namespace).members(namespace).len();
            Ok(Peers::Count(listeners.saturating_sub(1) + own.saturating_sub(1)))
        }
        .boxed()
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<NodeId>, BusError>> {
        async {
            let Shared { options, streams, channels, .. } = &*self.shared;
            let before = streams.names.public(&self.member.namespace);
            channels.names(&before, options.how(), &self.member.node).await
        }
        .boxed()
    }

    fn close(&self) {
        let Shared { streams, channels, .. } = &*self.shared;
        if streams.feed(&self.member.namespace).leave(&self.member).is_some() {
            self.listens.iter().for_each(|subscription| channels.leave(subscription));
        }
    }
}

impl StreamSet {
    /// Returns the feed of a namespace's stream.
    fn feed(&self, namespace: &str) -> &Arc<Feed> {
        &self.feeds[self.names.index(namespace)]
    }

    /// Takes what came on a channel, to whomever it belongs.
    fn hear(&self, channel: &str, bytes: &Bytes) {
        let members: Vec<_> = self.names.places(channel).flat_map(|(name, node)| self.meant(name, node)).collect();
        if members.is_empty() {
            return;
        }
        self.meter.received.add(1);
        match message::read_whole(bytes) {
            Ok((node, of, message)) => {
                let members: Vec<_> = members.into_iter().filter(|member| *member.namespace == *of).collect();
                if members.is_empty() {
                    return self.drop_malformed(channel, "it is of another namespace");
                }
                give(&members, &node, message, None, false);
            }
            Err(error) => self.drop_malformed(channel, &error),
        }
    }

    /// Returns the nodes of this process in a namespace: all, or the one that is named.
    fn meant(&self, namespace: &str, addressee: Option<&str>) -> Vec<Arc<Member>> {
        let members = self.feed(namespace).members(namespace);
        let is_meant = |member: &&Arc<Member>| addressee.is_none_or(|addressee| member.node.as_str() == addressee);
        members.iter().filter(is_meant).cloned().collect()
    }

    fn drop_malformed(&self, channel: &str, error: &(impl fmt::Display + ?Sized)) {
        self.meter.malformed.add(1);
        tracing::debug!(channel, %error, "a message of the bus is dropped");
    }
}

pub(super) fn failed(error: RedisError) -> BusError {
    BusError::Failed(Box::new(error))
}
