//! Decides how the two connections to Redis live: one publishes what waits, in batches; the other listens.

use std::time::Duration;

use bytes::Bytes;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, RedisError, Value, cmd, pipe};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use crate::adapter::BusError;

/// How many messages leave in one go.
const BATCH: usize = 256;

/// How long Redis may take to answer.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may take to be made.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause before a failed connection is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How often the listening connection is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// How many changes of what is listened to may wait.
const MAX_CHANGES: usize = 4096;

/// What one namespace of a node listens to.
#[derive(Debug)]
pub(super) struct Listens {
    pub(super) pattern: Option<String>,
    pub(super) channels: Vec<String>,
}

enum Change {
    /// With whom to tell once Redis has agreed.
    Listen(Listens, watch::Sender<bool>),
    Unlisten(Listens),
}

/// The connections of one process.
pub(super) struct Connections {
    outgoing: mpsc::Sender<(String, Vec<u8>)>,
    changes: mpsc::Sender<Change>,
    publisher: ConnectionManager,
}

impl Connections {
    /// Connects. `hear` takes what comes on a channel; it returns soon.
    pub(super) async fn open(
        url: &str,
        max_queued: usize,
        hear: impl Fn(&str, &Bytes) + Send + Sync + 'static,
    ) -> Result<Self, BusError> {
        let info = url.into_connection_info().map_err(failed)?;
        let resp3 = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(resp3)).map_err(failed)?;
        let config = ConnectionManagerConfig::new()
            .set_min_delay(RETRY.0)
            .set_max_delay(RETRY.1)
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(CONNECTION_TIMEOUT));
        let listening = config.clone().set_automatic_resubscription().set_push_sender(move |push: PushInfo| {
            if let Some((channel, bytes)) = message(push) {
                hear(&channel, &bytes);
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let publisher = client.get_connection_manager_with_config(config).await.map_err(failed)?;
        let listener = client.get_connection_manager_with_config(listening).await.map_err(failed)?;
        let (outgoing, waiting) = mpsc::channel(max_queued.max(1));
        let (changes, changed) = mpsc::channel(MAX_CHANGES);
        tokio::spawn(publish(publisher.clone(), waiting));
        tokio::spawn(listen(listener, changed));
        Ok(Self { outgoing, changes, publisher })
    }

    /// Queues a message.
    pub(super) fn publish(&self, channel: String, bytes: Vec<u8>) -> Result<(), BusError> {
        self.outgoing.try_send((channel, bytes)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => BusError::Full,
            mpsc::error::TrySendError::Closed(_) => BusError::Closed,
        })
    }

    /// Begins to listen, soon; what is returned becomes true then.
    pub(super) fn listen(&self, listens: Listens) -> Result<watch::Receiver<bool>, BusError> {
        let (sender, listening) = watch::channel(false);
        self.changes.try_send(Change::Listen(listens, sender)).map_err(|_| BusError::Full)?;
        Ok(listening)
    }

    /// Stops listening, soon.
    pub(super) fn unlisten(&self, listens: Listens) {
        if self.changes.try_send(Change::Unlisten(listens)).is_err() {
            tracing::warn!("a namespace goes on to be listened to: too many changes wait for Redis");
        }
    }

    /// Returns how many connections listen to a channel.
    pub(super) async fn listeners(&self, channel: &str) -> Result<usize, BusError> {
        let mut publisher = self.publisher.clone();
        let mut question = cmd("PUBSUB");
        question.arg("NUMSUB").arg(channel);
        let (_, count): (String, usize) = question.query_async(&mut publisher).await.map_err(failed)?;
        Ok(count)
    }
}

/// Publishes what waits, until nobody can publish any more.
async fn publish(mut publisher: ConnectionManager, mut waiting: mpsc::Receiver<(String, Vec<u8>)>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut outage = Outage::default();
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        loop {
            let mut pipeline = pipe();
            for (channel, bytes) in &batch {
                pipeline.publish(channel, bytes.as_slice()).ignore();
            }
            match pipeline.query_async::<()>(&mut publisher).await {
                Ok(()) => outage.end(),
                // Nothing was sent, so it may be tried again.
                Err(error) if error.is_connection_refusal() => {
                    outage.begin(&error);
                    sleep(RETRY.0).await;
                    continue;
                }
                Err(error) => {
                    outage.begin(&error);
                    tracing::warn!(lost = batch.len(), %error, "messages to other nodes are lost: the connection to Redis broke");
                }
            }
            break;
        }
        batch.clear();
    }
}

/// Listens to what is asked for, until nobody asks any more, and asks now and then whether the connection is there.
async fn listen(mut listener: ConnectionManager, mut changed: mpsc::Receiver<Change>) {
    let mut outage = Outage::default();
    loop {
        let change = tokio::select! {
            change = changed.recv() => change,
            () = sleep(PING_INTERVAL) => {
                // A failure makes the connection anew, and what was listened to is listened to again.
                match cmd("PING").query_async::<Value>(&mut listener).await {
                    Ok(_) => outage.end(),
                    Err(error) => outage.begin(&error),
                }
                continue;
            }
        };
        let Some(change) = change else { return };
        while let Err(error) = apply(&mut listener, &change).await {
            outage.begin(&error);
            sleep(RETRY.0).await;
        }
        outage.end();
    }
}

async fn apply(listener: &mut ConnectionManager, change: &Change) -> Result<(), RedisError> {
    match change {
        Change::Listen(Listens { pattern, channels }, listening) => {
            listener.subscribe(channels).await?;
            if let Some(pattern) = pattern {
                listener.psubscribe(pattern).await?;
            }
            listening.send_replace(true);
            Ok(())
        }
        Change::Unlisten(Listens { pattern, channels }) => {
            listener.unsubscribe(channels).await?;
            match pattern {
                Some(pattern) => listener.punsubscribe(pattern).await,
                None => Ok(()),
            }
        }
    }
}

/// Says once that Redis cannot be reached, and once that it can again.
#[derive(Default)]
struct Outage(Option<Instant>);

impl Outage {
    fn begin(&mut self, error: &RedisError) {
        if self.0.is_none() {
            self.0 = Some(Instant::now());
            tracing::error!(%error, "Redis cannot be reached: this node is cut off from the others");
        }
    }

    fn end(&mut self) {
        if let Some(since) = self.0.take() {
            tracing::info!(seconds = since.elapsed().as_secs_f32(), "Redis can be reached again");
        }
    }
}

/// Returns channel and bytes of what was published.
fn message(push: PushInfo) -> Option<(String, Bytes)> {
    let mut data = push.data.into_iter();
    match push.kind {
        PushKind::Message => {}
        PushKind::PMessage => drop(data.next()),
        _ => return None,
    }
    match (data.next()?, data.next()?) {
        (Value::BulkString(channel), Value::BulkString(bytes)) => {
            Some((String::from_utf8(channel).ok()?, bytes.into()))
        }
        _ => None,
    }
}

fn failed(error: RedisError) -> BusError {
    BusError::Failed(Box::new(error))
}
