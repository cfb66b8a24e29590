//! The log as the nodes see it: an adapter of the world.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use limpet_bus::log::{Adopted, Entry, Hold, Lease, Log, Refreshed, Session, Stretch};
use limpet_bus::recovery::Repeats;
use limpet_bus::{Adapter, BusError, Envelope, Link, Message, NodeId, Offset, Peers, Receiver, To};
use tokio::sync::{mpsc, oneshot};

use super::world::{Kept, State, World};

pub(crate) const RETENTION: Duration = Duration::from_secs(60);

/// The way of one process to the log.
pub(crate) struct Bus {
    pub(crate) world: Arc<World>,
    pub(crate) instance: usize,
}

pub(crate) struct Way {
    world: Arc<World>,
    instance: usize,
    node: NodeId,
    writer: Writer,
}

/// Publishes in order, and again what may not have arrived.
#[derive(Clone)]
pub(crate) struct Writer(mpsc::UnboundedSender<(Message, Option<oneshot::Sender<()>>)>);

struct SimLog {
    world: Arc<World>,
    instance: usize,
}

impl Writer {
    /// `instance` is the process that dies with it, if one does.
    pub(crate) fn new(world: &Arc<World>, node: &NodeId, instance: Option<usize>) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<(Message, Option<oneshot::Sender<()>>)>();
        let (world, node) = (world.clone(), node.clone());
        let publisher: Arc<str> = format!("publisher {node}").into();
        tokio::spawn(async move {
            let mut count = 0;
            while let Some(first) = receiver.recv().await {
                let mut batch = vec![first];
                while batch.len() < 3
                    && let Ok(next) = receiver.try_recv()
                {
                    batch.push(next);
                }
                loop {
                    tokio::time::sleep(world.delay(15)).await;
                    if instance.is_some_and(|instance| !world.is_alive(instance)) {
                        return;
                    }
                    // So many arrive, and whether the answer does is another matter.
                    let (arriving, is_answered) = {
                        let mut state = world.lock();
                        match !state.is_calm && state.chance.percent(15) {
                            true => (state.chance.below(batch.len() as u64 + 1) as usize, false),
                            false => (batch.len(), true),
                        }
                    };
                    for (index, (message, _)) in batch.iter().take(arriving).enumerate() {
                        let count = count + index as u64;
                        let offset = world.append(&node, &publisher, count, message.clone());
                        if world.without.ordering
                            && let Some(instance) = instance
                        {
                            give(&world, instance, &node, Some(offset), message.clone());
                        }
                    }
                    if is_answered {
                        break;
                    }
                }
                count += batch.len() as u64;
                for (_, confirm) in batch {
                    confirm.map(|confirm| confirm.send(()).ok());
                }
            }
        });
        Self(sender)
    }

    pub(crate) fn publish(&self, message: Message, confirm: Option<oneshot::Sender<()>>) {
        self.0.send((message, confirm)).ok();
    }
}

/// Gives a message to a process.
fn give(world: &World, instance: usize, node: &NodeId, offset: Option<Offset>, message: Message) {
    let receiver = world.lock().instances[instance].receiver.clone();
    if let Some(receiver) = receiver {
        receiver.receive(Envelope { node: node.clone(), namespace: "/".into(), offset, message });
    }
}

impl Adapter for Bus {
    fn join(&self, _: &str, node: NodeId, receiver: Arc<dyn Receiver>) -> Result<Box<dyn Link>, BusError> {
        let (world, instance) = (self.world.clone(), self.instance);
        let mut repeats = Repeats::new(100);
        let mut next = {
            let mut state = world.lock();
            state.instances[instance].receiver = Some(receiver.clone());
            for entry in &state.log {
                repeats.is_new(&entry.publisher, entry.count);
            }
            state.log.len()
        };
        let end = world.lock().log.last().map_or(Offset::ZERO, |entry| entry.offset);
        receiver.advance(end);
        drop(receiver);
        let writer = Writer::new(&world, &node, Some(instance));
        let way = Way { world: world.clone(), instance, node: node.clone(), writer };
        tokio::spawn(async move {
            loop {
                let appended = world.appended.notified();
                if world.lock().log.len() == next {
                    appended.await;
                }
                tokio::time::sleep(world.delay(20)).await;
                let batch = {
                    let mut state = world.lock();
                    if !state.instances[instance].is_alive {
                        return;
                    }
                    if state.instances[instance].is_stalled && !state.is_calm { 0 } else { state.chance.below(5) + 1 }
                };
                if batch == 0 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                for _ in 0..batch {
                    let (from, offset, is_new, message) = {
                        let state = world.lock();
                        let Some(entry) = state.log.get(next) else { break };
                        let is_new = repeats.is_new(&entry.publisher, entry.count) || world.without.deduplication;
                        (entry.node.clone(), entry.offset, is_new, entry.message.clone())
                    };
                    next += 1;
                    let is_given = world.without.ordering && from == node;
                    if is_new && !is_given {
                        give(&world, instance, &from, Some(offset), message);
                    } else if let Some(receiver) = { world.lock().instances[instance].receiver.clone() } {
                        receiver.advance(offset);
                    }
                }
            }
        });
        Ok(Box::new(way))
    }

    fn log(&self, _: Duration) -> Option<Arc<dyn Log>> {
        Some(Arc::new(SimLog { world: self.world.clone(), instance: self.instance }))
    }
}

impl Link for Way {
    fn publish(&self, to: To<'_>, message: Message) -> Result<(), BusError> {
        let is_question = matches!(message, Message::Broadcast { request: Some(_), .. });
        if to == To::All && !is_question {
            self.writer.publish(message, None);
            return Ok(());
        }
        let meant: Vec<usize> = {
            let state = self.world.lock();
            let is_meant = |instance: &usize| match to {
                To::All => *instance != self.instance,
                To::Node(node) => state.instances[*instance].name == *node,
            };
            (0..state.instances.len()).filter(is_meant).collect()
        };
        for instance in meant {
            let (world, node, message) = (self.world.clone(), self.node.clone(), message.clone());
            let is_lost = world.lock().chance.percent(10);
            let delay = world.delay(30);
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                if !is_lost {
                    give(&world, instance, &node, None, message);
                }
            });
        }
        Ok(())
    }

    fn publish_confirmed(&self, _: To<'_>, message: Message) -> BoxFuture<'static, Result<(), BusError>> {
        let (sender, confirmed) = oneshot::channel();
        self.writer.publish(message, Some(sender));
        async move { confirmed.await.map_err(|_| BusError::Closed) }.boxed()
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, BusError>> {
        let state = self.world.lock();
        let others = state.instances.iter().enumerate();
        let others = others.filter(|(index, instance)| *index != self.instance && instance.is_alive);
        let names = others.map(|(_, instance)| instance.name.clone()).collect();
        std::future::ready(Ok(Peers::Known(names))).boxed()
    }

    fn close(&self) {}
}

impl SimLog {
    /// Asks the log: what is asked may be done or not when there is no answer.
    fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&World, &mut State) -> T + Send + 'static,
    ) -> BoxFuture<'static, Result<T, BusError>> {
        let (world, instance) = (self.world.clone(), self.instance);
        async move {
            let answer = async {
                tokio::time::sleep(world.delay(10)).await;
                let (is_asked, is_answered) = {
                    let mut state = world.lock();
                    let is_calm = state.is_calm;
                    (is_calm || !state.chance.percent(2), is_calm || !state.chance.percent(2))
                };
                if !world.is_alive(instance) {
                    std::future::pending::<()>().await;
                }
                if !is_asked {
                    return Err(BusError::Failed("not asked".into()));
                }
                let answer = {
                    let mut state = world.lock();
                    act(&world, &mut state)
                };
                tokio::time::sleep(world.delay(10)).await;
                if is_answered { Ok(answer) } else { Err(BusError::Failed("no answer".into())) }
            };
            let answer = answer.await;
            if !world.is_alive(instance) {
                std::future::pending::<()>().await;
            }
            answer
        }
        .boxed()
    }
}

impl Log for SimLog {
    fn read(&self, _: &str, after: Offset, upto: Offset) -> BoxFuture<'_, Result<Stretch, BusError>> {
        self.ask(move |world, state| {
            let mut repeats = Repeats::new(100);
            let mut entries = Vec::new();
            for logged in &state.log {
                let is_new = repeats.is_new(&logged.publisher, logged.count) || world.without.deduplication;
                let Message::Broadcast { arguments, targets, flags, .. } = &logged.message else { continue };
                if is_new && logged.offset > after && logged.offset <= upto && logged.offset > state.floor {
                    let (arguments, targets) = (arguments.clone(), targets.clone());
                    entries.push(Entry { offset: logged.offset, arguments, targets, flags: *flags });
                }
            }
            Stretch { entries, is_whole: after >= state.floor }
        })
    }

    fn save(&self, _: &str, session: &Session, lease: &Lease) -> BoxFuture<'_, Result<Hold, BusError>> {
        let (session, lease) = (session.clone(), lease.clone());
        self.ask(move |world, state| {
            let kept = state.sessions.get(&*session.secret);
            let is_taken = kept.is_some_and(|kept| !(lease.epoch > kept.lease.epoch || lease == kept.lease));
            if is_taken && !world.without.fencing {
                return Hold::Taken;
            }
            let lease = match kept {
                Some(kept) if is_taken => kept.lease.clone(),
                _ => lease,
            };
            state.sessions.insert(session.secret.to_string(), Kept { session, lease });
            Hold::Kept
        })
    }

    fn adopt(&self, _: &str, secret: &str, node: &NodeId) -> BoxFuture<'_, Result<Option<Adopted>, BusError>> {
        let (secret, node) = (secret.to_owned(), node.clone());
        self.ask(move |world, state| {
            let kept = state.sessions.get_mut(&secret)?;
            let epoch = kept.lease.epoch + 1;
            let former = std::mem::replace(&mut kept.lease, Lease { node, epoch }).node;
            let former = (!world.without.fencing).then_some(former);
            Some(Adopted { session: kept.session.clone(), epoch, former })
        })
    }

    fn refresh(&self, _: &str, sessions: &[(Arc<str>, Lease)]) -> BoxFuture<'_, Result<Vec<Refreshed>, BusError>> {
        let sessions = sessions.to_vec();
        self.ask(move |world, state| {
            let refresh = |(secret, lease): &(Arc<str>, Lease)| match state.sessions.get(&**secret) {
                None => Refreshed::Lost,
                Some(kept) if kept.lease != *lease && !world.without.fencing => Refreshed::Taken,
                Some(_) => Refreshed::Kept,
            };
            sessions.iter().map(refresh).collect()
        })
    }

    fn forget(&self, _: &str, secret: &str, lease: &Lease) -> BoxFuture<'_, Result<(), BusError>> {
        let (secret, lease) = (secret.to_owned(), lease.clone());
        self.ask(move |_, state| {
            if state.sessions.get(&secret).is_some_and(|kept| kept.lease == lease) {
                state.sessions.remove(&secret);
            }
        })
    }

    fn retention(&self) -> Duration {
        RETENTION
    }
}
