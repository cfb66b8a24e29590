//! Decides how this process comes to hear what it wants to hear, and hears it again after every failure.
//!
//! There is a state that is wanted and one that Redis has confirmed; whenever they differ this works until they do not.
//! Only then the part is healthy.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use redis::{Pipeline, PushKind, RedisError, RedisResult, Value};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Duration, Instant, sleep, sleep_until};

use super::lane::{Lane, Question, Told, answer};
use super::topology::{To, Topology};
use super::wanted::{How, Subscription, Wanted};
use super::{Hear, RETRY};
use crate::health::Meter;
use crate::redis::open::Address;

/// How many channels are asked for in one go.
const BATCH: usize = 256;

/// How often a connection is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// What it is called in the log.
const PART: &str = "listening";

/// What happens to a connection by itself.
enum Event {
    /// It is closed, or has been silent for too long.
    Broken(u64),
    /// Redis has stopped sending a channel: its slot has moved, if we did not ask for it.
    Gone(u64, Arc<str>),
}

/// Begins to listen.
pub(super) fn start(address: Address, wanted: Arc<Wanted>, meter: Arc<Meter>, hear: Arc<Hear>) -> AbortHandle {
    // Each channel that was asked for and each connection has one event at most.
    let (sender, events) = mpsc::unbounded_channel();
    let topology = Topology::new(address);
    let listener = Listener {
        topology,
        wanted,
        meter,
        hear,
        lanes: HashMap::new(),
        pending: HashSet::new(),
        asking: HashSet::new(),
        asks: FuturesUnordered::new(),
        sender,
    };
    tokio::spawn(listener.run(events)).abort_handle()
}

struct Listener {
    topology: Topology,
    wanted: Arc<Wanted>,
    meter: Arc<Meter>,
    hear: Arc<Hear>,
    /// At most one for each master of a cluster, and one for plain channels.
    lanes: HashMap<To, Ear>,
    /// What may differ from what is wanted.
    pending: HashSet<Subscription>,
    /// What Redis has been asked for. Who joins a room does not wait until it has answered others.
    asking: HashSet<Subscription>,
    asks: FuturesUnordered<BoxFuture<'static, Asked>>,
    sender: mpsc::UnboundedSender<Event>,
}

/// What came of a question.
struct Asked {
    to: To,
    /// Of the connection.
    number: u64,
    is_wanted: bool,
    batch: Vec<Subscription>,
    result: RedisResult<()>,
}

/// A connection, and what Redis has confirmed on it.
struct Ear {
    lane: Lane,
    number: u64,
    hears: HashSet<Subscription>,
    ping: AbortHandle,
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.ping.abort();
    }
}

impl Listener {
    async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>) {
        let wanted = self.wanted.clone();
        let mut retry: Option<Instant> = None;
        let mut pause = RETRY.0;
        loop {
            let again = async {
                match retry {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let mut result = Ok(());
            tokio::select! {
                changed = wanted.changes() => self.pending.extend(changed),
                // It holds a sender itself.
                Some(event) = events.recv() => self.take(event),
                Some(asked) = self.asks.next() => result = self.take_answer(asked),
                () = again => retry = None,
            }
            while let Ok(event) = events.try_recv() {
                self.take(event);
            }
            // New wishes do not shorten the pause.
            if result.is_ok() && retry.is_none() && !self.pending.is_empty() {
                result = self.settle().await;
            }
            if let Err(error) = result {
                self.meter.begin(PART, error);
                self.topology.doubt();
                retry = Some(Instant::now() + pause);
                pause = (pause * 2).min(RETRY.1);
            } else if self.pending.is_empty() && self.asks.is_empty() {
                self.meter.end(PART);
                (retry, pause) = (None, RETRY.0);
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Broken(number) => {
                let broken = self.lanes.iter().find(|(_, ear)| ear.number == number).map(|(to, _)| to.clone());
                if let Some(to) = broken {
                    self.meter.begin(PART, "the connection to Redis is closed");
                    self.drop_lane(&to);
                }
            }
            Event::Gone(number, name) => {
                let subscription = Subscription { how: How::Shard, name };
                let ear = self.lanes.values_mut().find(|ear| ear.number == number);
                if ear.is_some_and(|ear| ear.hears.remove(&subscription)) {
                    self.topology.doubt();
                    self.wanted.confirm([&subscription], false);
                    self.pending.insert(subscription);
                }
            }
        }
    }

    /// Forgets a connection; what was heard on it has to be heard elsewhere.
    fn drop_lane(&mut self, to: &To) {
        let Some(mut ear) = self.lanes.remove(to) else { return };
        self.topology.doubt();
        self.wanted.confirm(&ear.hears, false);
        self.pending.extend(ear.hears.drain());
    }

    /// Asks for what is wanted and not heard, and leaves what is heard and not wanted. What cannot be asked stays pending.
    async fn settle(&mut self) -> RedisResult<()> {
        self.topology.know().await?;
        let mut failed = None;
        let mut groups: HashMap<(To, How, bool), Vec<Subscription>> = HashMap::new();
        // What is being asked for is looked at again when the answer has come.
        let pending = std::mem::take(&mut self.pending);
        for subscription in pending.into_iter().filter(|subscription| !self.asking.contains(subscription)) {
            let is_shard = subscription.how == How::Shard;
            let owner = if is_shard { self.topology.owner(&subscription.name) } else { Some(To::Any) };
            let heard = self.lanes.iter().find(|(_, ear)| ear.hears.contains(&subscription)).map(|(to, _)| to.clone());
            let (to, is_wanted) = match (heard, owner, self.wanted.is_wanted(&subscription)) {
                (Some(to), _, false) => (to, false),
                (None, Some(to), true) => (to, true),
                (None, None, true) => {
                    self.pending.insert(subscription);
                    failed = Some(unowned());
                    continue;
                }
                (Some(_), _, true) | (None, _, false) => continue,
            };
            groups.entry((to, subscription.how, is_wanted)).or_default().push(subscription);
        }
        for ((to, how, is_wanted), group) in groups {
            if !self.lanes.contains_key(&to) {
                let (hear, meter, sender) = (self.hear.clone(), self.meter.clone(), self.sender.clone());
                match connect(&self.topology, &to, hear, meter, sender).await {
                    Ok(ear) => drop(self.lanes.insert(to.clone(), ear)),
                    Err(error) => {
                        self.pending.extend(group);
                        failed = Some(error);
                        continue;
                    }
                }
            }
            self.ask(&to, how, is_wanted, group);
        }
        failed.map_or(Ok(()), Err)
    }

    fn ask(&mut self, to: &To, how: How, is_wanted: bool, group: Vec<Subscription>) {
        let Some(ear) = self.lanes.get_mut(to) else { return self.pending.extend(group) };
        for batch in group.chunks(BATCH).map(<[_]>::to_vec) {
            if !is_wanted {
                // From here on nobody may take it for heard.
                for left in &batch {
                    ear.hears.remove(left);
                }
                self.wanted.confirm(&batch, false);
            }
            self.asking.extend(batch.iter().cloned());
            let (mut lane, number, to, meter) = (ear.lane.clone(), ear.number, to.clone(), self.meter.clone());
            let asked = async move {
                let result = answer(&meter, PART, ask(&mut lane, how, is_wanted, &batch)).await;
                Asked { to, number, is_wanted, batch, result }
            };
            self.asks.push(asked.boxed());
        }
    }

    fn take_answer(&mut self, Asked { to, number, is_wanted, batch, result }: Asked) -> RedisResult<()> {
        for subscription in &batch {
            self.asking.remove(subscription);
        }
        let ear = self.lanes.get_mut(&to).filter(|ear| ear.number == number);
        match (&result, ear) {
            (Ok(()), Some(ear)) => {
                if is_wanted {
                    ear.hears.extend(batch.iter().cloned());
                    self.wanted.confirm(&batch, true);
                }
                // The wish may have changed meanwhile.
                let wanted = self.wanted.clone();
                self.pending.extend(batch.into_iter().filter(|other| wanted.is_wanted(other) != is_wanted));
            }
            (_, ear) => {
                let is_there = ear.is_some();
                self.pending.extend(batch);
                if is_there {
                    self.drop_lane(&to);
                }
            }
        }
        result
    }
}

/// Connects, and begins to hear.
async fn connect(
    topology: &Topology,
    to: &To,
    hear: Arc<Hear>,
    meter: Arc<Meter>,
    sender: mpsc::UnboundedSender<Event>,
) -> RedisResult<Ear> {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let events = sender.clone();
    let lane = Lane::connect(topology, to, hear, move |info| match info.kind {
        PushKind::Disconnection => drop(events.send(Event::Broken(number))),
        PushKind::SUnsubscribe => {
            if let Some(Value::BulkString(name)) = info.data.into_iter().next()
                && let Ok(name) = String::from_utf8(name)
            {
                events.send(Event::Gone(number, name.into())).ok();
            }
        }
        _ => {}
    })
    .await?;
    let ping = tokio::spawn(ping(lane.clone(), topology.question(), meter, sender, number));
    Ok(Ear { lane, number, hears: HashSet::new(), ping: ping.abort_handle() })
}

/// Asks now and then whether a connection is still there, and leads to where it should.
async fn ping(
    mut lane: Lane,
    question: Question,
    meter: Arc<Meter>,
    events: mpsc::UnboundedSender<Event>,
    number: u64,
) {
    /// Ends the trouble of a connection with the connection: what follows has its own.
    struct Silence(Arc<Meter>);
    impl Drop for Silence {
        fn drop(&mut self) {
            self.0.end(PING);
        }
    }
    let silence = Silence(meter.clone());
    loop {
        sleep(PING_INTERVAL).await;
        match answer(&meter, PING, question.ask(&mut lane)).await {
            Ok(Told::Well) => meter.end(PING),
            Ok(Told::Down(why)) => meter.begin(PING, why),
            Ok(Told::Elsewhere) | Err(_) => {
                // Without a moment in between in which all is well.
                meter.begin(PART, "the connection to Redis leads nowhere");
                drop(silence);
                events.send(Event::Broken(number)).ok();
                return;
            }
        }
    }
}

/// What a silent connection is called in the log.
const PING: &str = "hearing";

/// Subscribes, or takes that back.
async fn ask(lane: &mut Lane, how: How, is_wanted: bool, batch: &[Subscription]) -> RedisResult<()> {
    let names: Vec<&str> = batch.iter().map(|subscription| &*subscription.name).collect();
    match (how, is_wanted) {
        (How::Channel, true) => lane.connection.subscribe(&names).await,
        (How::Channel, false) => lane.connection.unsubscribe(&names).await,
        (How::Pattern, true) => lane.connection.psubscribe(&names).await,
        (How::Pattern, false) => lane.connection.punsubscribe(&names).await,
        (How::Shard, is_wanted) => {
            // One by one: those of a command must all be of one slot.
            let mut pipeline = Pipeline::with_capacity(names.len());
            for name in &names {
                pipeline.cmd(if is_wanted { "SSUBSCRIBE" } else { "SUNSUBSCRIBE" }).arg(*name);
            }
            let answers = lane.connection.send_packed_commands(&pipeline, 0, names.len()).await?;
            answers.into_iter().try_for_each(|answer| answer.extract_error().map(drop))
        }
    }
}

fn unowned() -> RedisError {
    RedisError::from((redis::ErrorKind::ClusterConnectionNotFound, "no node of the cluster has the slot of a channel"))
}
