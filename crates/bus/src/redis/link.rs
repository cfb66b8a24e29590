//! Decides what becomes of what a node publishes: on which channels it goes, and to Python's servers too.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Shared;
use super::connection::{Published, Subscription};
use super::member::Member;
use super::python;
use crate::adapter::{BusError, Link, Outsiders, Peers, RoomKind, To};
use crate::envelope::Message;
use crate::node::NodeId;
use crate::target::{Room, Targets};

/// The way of one node to the others of a namespace.
pub(super) struct RedisLink {
    shared: Arc<Shared>,
    member: Arc<Member>,
    /// What is listened to whatever rooms there are.
    listens: Vec<Subscription>,
    /// The rooms of this node, if they matter; `None` after the end.
    rooms: Mutex<Option<HashSet<(Room, RoomKind)>>>,
}

impl RedisLink {
    pub(super) fn new(shared: Arc<Shared>, member: Arc<Member>) -> Self {
        let listens = member.form.subscriptions(&member.node);
        listens.iter().for_each(|subscription| shared.connections.want(subscription.clone()));
        Self { shared, member, listens, rooms: Mutex::new(Some(HashSet::new())) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashSet<(Room, RoomKind)>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what goes on our channels, after what goes to Python's servers has gone.
    fn write(&self, to: To<'_>, message: Message) -> Result<Option<Published>, BusError> {
        let member = &self.member;
        if let Some(python) = &self.shared.python {
            for body in python.write(to, &member.namespace, &message) {
                let channel = python.channel().to_owned();
                self.shared.connections.publish(Published { channel, bytes: body, is_shard: false, taken: None })?;
            }
        }
        let to = match to {
            To::All => None,
            // It has its answer.
            To::Node(node) if python::is_host(node) => return Ok(None),
            To::Node(node) => Some(node),
        };
        // Somebody asked for ids alone, in a form that our own nodes do not use.
        if let Message::Fetched { request, sockets } = &message
            && let Some(asker) = member.asker_of_ids(request)
        {
            let ids: Vec<_> = sockets.iter().map(|socket| socket.id.clone()).collect();
            return Ok(member.form.write_ids(asker.as_ref(), request, &ids));
        }
        member.form.write(&member.node, to, &message)
    }
}

impl Link for RedisLink {
    fn publish(&self, to: To<'_>, message: Message) -> Result<(), BusError> {
        match self.write(to, message)? {
            Some(published) => self.shared.connections.publish(published),
            None => Ok(()),
        }
    }

    fn publish_confirmed(&self, to: To<'_>, message: Message) -> BoxFuture<'static, Result<(), BusError>> {
        match self.write(to, message) {
            Ok(Some(published)) => self.shared.connections.publish_confirmed(published),
            Ok(None) => std::future::ready(Ok(())).boxed(),
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }

    fn wants_rooms(&self) -> bool {
        self.member.form.wants_rooms()
    }

    fn room(&self, room: &Room, kind: RoomKind, exists: bool) {
        let Some(subscription) = self.member.form.room(room, kind) else { return };
        let mut rooms = self.lock();
        let Some(rooms) = &mut *rooms else { return };
        let key = (room.clone(), kind);
        if exists {
            if rooms.insert(key) {
                self.shared.connections.want(subscription);
            }
        } else if rooms.remove(&key) {
            self.shared.connections.leave(&subscription);
        }
    }

    fn outsiders(&self, targets: &Targets) -> Outsiders {
        self.shared.python.as_ref().map_or(Outsiders::None, |python| python.outsiders(targets))
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, BusError>> {
        async {
            // Who asks before it listens hears no answer.
            self.shared.connections.confirmed(&self.listens).await?;
            let (channel, how) = self.member.form.counted();
            let listeners = self.shared.connections.listeners(channel, how).await?;
            // One of them is the connection of this process, which may serve several nodes.
            let own = self.shared.members.count(&self.member.namespace);
            Ok(Peers::Count(listeners.saturating_sub(1) + own.saturating_sub(1)))
        }
        .boxed()
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<NodeId>, BusError>> {
        async {
            let Member { form, node, .. } = &*self.member;
            let (before, how) = form.own_channels();
            let mut names = self.shared.connections.names(before, how, node).await?;
            names.retain(|name| form.is_name(name.as_str()));
            Ok(names)
        }
        .boxed()
    }

    fn close(&self) {
        let Some(rooms) = self.lock().take() else { return };
        self.shared.members.remove(&self.member);
        let rooms = rooms.iter().filter_map(|(room, kind)| self.member.form.room(room, *kind));
        for subscription in self.listens.iter().cloned().chain(rooms) {
            self.shared.connections.leave(&subscription);
        }
    }
}
