//! Decides when what is published leaves: in its order, in batches, and again only if Redis certainly did not take it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use limpet_proto::resp;
use redis::{ErrorKind, RedisError, RedisResult, cmd};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant, sleep};

use super::lane::{answer, is_for_later};
use super::topology::{To, Topology};
use super::{PATIENCE, RETRY};
use crate::adapter::BusError;
use crate::health::Meter;
use crate::redis::ask::Ask;
use crate::redis::open::Address;
use crate::redis::wire::{Wire, refusal};

/// How many messages leave in one go.
const BATCH: usize = 256;

/// How much memory for what leaves in one go is kept for the next one.
const KEPT_BYTES: usize = 256 * 1024;

/// How long nothing leaves after Redis was restarted or another one took its place: until the other nodes, Node's too,
/// listen again. What is published before they do reaches nobody.
const GRACE: Duration = Duration::from_secs(2);

/// What it is called in the log.
const PART: &str = "publishing";

/// A message on its way.
#[derive(Debug)]
pub(in crate::redis) struct Published {
    pub(in crate::redis) channel: String,
    pub(in crate::redis) bytes: Vec<u8>,
    /// Whether the channel is one of shards.
    pub(in crate::redis) is_shard: bool,
    /// With whom to tell what became of it; dropped when it is lost.
    pub(in crate::redis) taken: Option<oneshot::Sender<()>>,
}

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(in crate::redis) struct Bounds {
    pub(in crate::redis) messages: usize,
    pub(in crate::redis) bytes: usize,
}

/// What waits for Redis, or is under way. Bounded by [`Bounds`].
pub(super) struct Queue {
    sender: mpsc::UnboundedSender<Published>,
    bounds: Bounds,
    size: Arc<Size>,
    meter: Arc<Meter>,
}

#[derive(Debug, Default)]
struct Size {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

impl Published {
    fn size(&self) -> usize {
        self.channel.len() + self.bytes.len()
    }
}

impl Queue {
    pub(super) fn push(&self, message: Published) -> Result<(), BusError> {
        let Size { messages, bytes } = &*self.size;
        let size = message.size();
        // Both go up first, so that many who publish at once do not pass the bounds together.
        let waiting = (messages.fetch_add(1, Ordering::Relaxed), bytes.fetch_add(size, Ordering::Relaxed));
        let is_full = waiting.0 >= self.bounds.messages || waiting.1 + size > self.bounds.bytes;
        if is_full || self.sender.send(message).is_err() {
            messages.fetch_sub(1, Ordering::Relaxed);
            bytes.fetch_sub(size, Ordering::Relaxed);
            self.meter.refused.add(1);
            return Err(if is_full { BusError::Full } else { BusError::Closed });
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.size.messages.load(Ordering::Relaxed)
    }
}

impl Size {
    fn leave(&self, message: &Published) {
        self.messages.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(message.size(), Ordering::Relaxed);
    }
}

/// Begins to publish.
pub(super) fn start(address: Address, bounds: Bounds, meter: Arc<Meter>) -> Queue {
    let (sender, waiting) = mpsc::unbounded_channel();
    let size = Arc::new(Size::default());
    let publisher = Publisher {
        topology: Topology::new(address),
        wires: HashMap::new(),
        runs: HashMap::new(),
        size: size.clone(),
        meter: meter.clone(),
        out: Vec::new(),
    };
    tokio::spawn(publisher.run(waiting));
    Queue { sender, bounds, size, meter }
}

struct Publisher {
    topology: Topology,
    /// At most one for each master of a cluster, and one for plain channels.
    wires: HashMap<To, Wire>,
    /// Which run of Redis each led to; as many.
    runs: HashMap<To, String>,
    size: Arc<Size>,
    meter: Arc<Meter>,
    /// What leaves in one go.
    out: Vec<u8>,
}

impl Publisher {
    async fn run(mut self, mut waiting: mpsc::UnboundedReceiver<Published>) {
        let mut batch = VecDeque::with_capacity(BATCH);
        let mut more = Vec::with_capacity(BATCH);
        let mut pause = RETRY.0;
        let mut closed_since = None;
        let mut is_cut_off = false;
        loop {
            if batch.is_empty() && !is_cut_off && waiting.recv_many(&mut more, BATCH).await == 0 {
                return;
            }
            while more.len() + batch.len() < BATCH
                && let Ok(message) = waiting.try_recv()
            {
                more.push(message);
            }
            batch.extend(more.drain(..));
            let before = batch.len();
            match self.round(&mut batch).await {
                Ok(()) => {
                    self.meter.end(PART);
                    (is_cut_off, pause) = (false, RETRY.0);
                }
                Err(error) => {
                    // What Redis refuses for good says nothing of the connection, and no question would tell when it is over.
                    is_cut_off = !is_refusal(&error);
                    self.meter.begin(PART, error);
                    self.topology.doubt();
                    if batch.len() < before {
                        pause = RETRY.0;
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(RETRY.1);
                }
            }
            // Nobody is left to publish: what waits may leave for a while yet.
            if waiting.is_closed() && closed_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                return self.lose(batch.iter());
            }
        }
    }

    /// Sends a batch, and leaves in it what Redis did not take and may yet. An error says why something was left.
    async fn round(&mut self, batch: &mut VecDeque<Published>) -> RedisResult<()> {
        self.topology.know().await?;
        if batch.is_empty() {
            // Nothing is left of what failed: the answer to a question says that it is over.
            let mut wire = self.wire(&To::Any).await?;
            let pong: RedisResult<()> = answer(&self.meter, PART, wire.ask(&cmd("PING"))).await;
            if let Err(error) = pong
                && error.is_io_error()
            {
                return Err(error);
            }
            // Whatever Redis says: it answers.
            self.wires.insert(To::Any, wire);
            return Ok(());
        }
        let mut failed = None;
        let mut left = VecDeque::new();
        let mut groups: Vec<(To, Vec<Published>)> = Vec::new();
        for message in batch.drain(..) {
            let to = if message.is_shard { self.topology.owner(&message.channel) } else { Some(To::Any) };
            match to {
                Some(to) => match groups.iter_mut().find(|(other, _)| *other == to) {
                    Some((_, group)) => group.push(message),
                    None => groups.push((to, vec![message])),
                },
                None => {
                    failed = Some(unowned());
                    left.push_back(message);
                }
            }
        }
        for (to, group) in groups {
            if let Err(error) = self.send(to, group, &mut left).await {
                failed = Some(error);
            }
        }
        *batch = left;
        failed.map_or(Ok(()), Err)
    }

    /// Returns the connection, which goes back when it has done well.
    async fn wire(&mut self, to: &To) -> RedisResult<Wire> {
        // One that is known to be closed has taken nothing.
        if let Some(mut wire) = self.wires.remove(to)
            && !wire.is_closed()
        {
            return Ok(wire);
        }
        let mut wire = Wire::new(self.topology.dial(to).await?).await?;
        let run = answer(&self.meter, PART, run(&mut wire)).await?;
        if self.runs.insert(to.clone(), run.clone()).is_some_and(|known| known != run) {
            sleep(GRACE).await;
        }
        Ok(wire)
    }

    async fn send(&mut self, to: To, group: Vec<Published>, left: &mut VecDeque<Published>) -> RedisResult<()> {
        let mut wire = match self.wire(&to).await {
            Ok(wire) => wire,
            Err(error) => {
                left.extend(group);
                return Err(error);
            }
        };
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES);
        for Published { channel, bytes, is_shard, .. } in &group {
            let command: &[u8] = if *is_shard { b"SPUBLISH" } else { b"PUBLISH" };
            resp::write_command(&[command, channel.as_bytes(), bytes], &mut self.out);
        }
        // Most answers say only how many have heard it.
        let mut refusals = Vec::new();
        let exchange = wire.exchange(&self.out, group.len(), |number, frame| {
            refusals.extend(refusal(frame).map(|error| (number, error)));
        });
        if let Err(error) = answer(&self.meter, PART, exchange).await {
            self.lose(group.iter());
            return Err(error);
        }
        let (mut failed, mut is_good) = (None, true);
        let mut refusals = refusals.into_iter().peekable();
        for (number, message) in group.into_iter().enumerate() {
            match refusals.next_if(|(refused, _)| *refused == number) {
                Some((_, error)) if is_for_later(&error) => {
                    failed = Some(error);
                    left.push_back(message);
                    // Another connection may lead to another master.
                    is_good = false;
                }
                Some((_, error)) => {
                    failed = Some(error);
                    self.lose([&message]);
                }
                None => {
                    self.meter.published.add(1);
                    self.size.leave(&message);
                    if let Some(taken) = message.taken {
                        taken.send(()).ok();
                    }
                }
            }
        }
        if is_good {
            self.wires.insert(to, wire);
        }
        failed.map_or(Ok(()), Err)
    }

    fn lose<'a>(&self, messages: impl IntoIterator<Item = &'a Published>) {
        for message in messages {
            self.meter.lost.add(1);
            self.size.leave(message);
        }
    }
}

/// Returns the name of this run of Redis; nothing if this user may not ask.
async fn run(wire: &mut Wire) -> RedisResult<String> {
    let answer: RedisResult<String> = wire.ask(cmd("INFO").arg("server")).await;
    match answer {
        Ok(info) => Ok(info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default().to_owned()),
        Err(error) if error.is_io_error() => Err(error),
        Err(_) => Ok(String::new()),
    }
}

/// Whether this is Redis' word on one message.
fn is_refusal(error: &RedisError) -> bool {
    use redis::ServerErrorKind::{NoPerm, ResponseError};
    matches!(error.kind(), ErrorKind::Extension | ErrorKind::Server(NoPerm | ResponseError))
}

fn unowned() -> RedisError {
    RedisError::from((ErrorKind::ClusterConnectionNotFound, "no node of the cluster has the slot of a channel"))
}
