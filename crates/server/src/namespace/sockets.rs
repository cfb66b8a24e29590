//! Decides what reaches the sockets of a namespace on this node, whichever node it comes from.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use limpet_bus::cluster::{OnAck, Reply, Sockets};
use limpet_bus::hub::OnRoom;
use limpet_bus::recovery::{Holding, Snapshot, Stamp};
use limpet_bus::{Flags, NodeId, Offset, Room, SocketInfo, Targets};
use limpet_proto::engineio::message::Message;
use limpet_proto::socketio::arguments::Arguments;
use limpet_proto::socketio::packet::Kind;

use super::Inner;
use crate::acks::Waiter;
use crate::emitter::acks;
use crate::server_event::ServerEvent;
use crate::socket::Socket;

impl Inner {
    /// Writes an event as the messages that carry it.
    pub(super) fn write(&self, arguments: &Arguments, compress: bool, offset: Option<Offset>) -> Vec<Message> {
        let parser = self.options.parser;
        let parts = match offset {
            Some(offset) => parser.encode_followed(&self.name, arguments, &offset.to_string()),
            None => parser.encode(Kind::Event, &self.name, None, Some(arguments)),
        };
        if compress { parts } else { parts.into_iter().map(|part| part.uncompressed()).collect() }
    }

    /// Returns the socket that has this session.
    fn holder(&self, holding: &Holding) -> Option<Socket> {
        let socket = self.hub.get(holding.id())?;
        socket.keep().is_some_and(|keep| keep.holding == *holding).then_some(socket)
    }

    /// Notes that the rooms of these sockets may have changed.
    fn touched(&self, targets: &Targets) {
        if self.cluster.recovery().is_some() {
            self.hub.select(targets).iter().for_each(Socket::touched);
        }
    }
}

impl Sockets for Inner {
    fn broadcast(&self, arguments: &Arguments, targets: &Targets, flags: Flags, stamp: Stamp) {
        if self.hub.is_empty() {
            return;
        }
        // Nobody may be meant here.
        let mut parts = None;
        let mut watched = Vec::new();
        // An older offset behind a newer one would lead the client back.
        let order = (stamp != Stamp::None).then(|| self.order.lock().unwrap_or_else(PoisonError::into_inner));
        self.hub.broadcast(targets, |socket| {
            let parts = parts.get_or_insert_with(|| self.write(arguments, flags.compress, stamp.offset()));
            socket.give(parts, flags.volatile, stamp, |stamp| self.write(arguments, flags.compress, stamp.offset()));
            if socket.is_watched() {
                watched.push(socket.clone());
            }
        });
        drop(order);
        watched.iter().for_each(|socket| socket.show_outgoing(arguments));
    }

    fn broadcast_with_ack(&self, arguments: &Arguments, targets: &Targets, flags: Flags, on_ack: &Arc<OnAck>) -> usize {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let mut parts = self.options.parser.encode(Kind::Event, &self.name, Some(id), Some(arguments));
        if !flags.compress {
            parts = parts.into_iter().map(|part| part.uncompressed()).collect();
        }
        let sockets = self.hub.select(targets);
        let last_text = self.cluster.recovery().and_then(|_| arguments.last_text());
        for socket in &sockets {
            let waiter = Waiter::Many(Arc::downgrade(on_ack));
            // Who cannot be asked counts as one that does not answer.
            if acks(socket).add(id, waiter, self.options.max_waiting_acks) {
                socket.mistake(last_text.as_deref());
                socket.send(&parts, flags.volatile).ok();
            }
            if socket.is_watched() {
                socket.show_outgoing(arguments);
            }
        }
        sockets.len()
    }

    fn join(&self, targets: &Targets, rooms: &[Room]) {
        self.hub.join_all(targets, rooms);
        self.touched(targets);
    }

    fn leave(&self, targets: &Targets, rooms: &[Room]) {
        // Who leaves a room is no longer found by it.
        let found = self.cluster.recovery().map(|_| self.hub.select(targets)).unwrap_or_default();
        self.hub.leave_all(targets, rooms);
        found.iter().for_each(Socket::touched);
    }

    fn disconnect(&self, targets: &Targets, close: bool) {
        self.hub.select(targets).iter().for_each(|socket| socket.disconnect(close));
    }

    fn fetch(&self, targets: &Targets) -> Vec<SocketInfo> {
        let mut found = Vec::new();
        self.hub.visit(targets, |socket, rooms| found.push((socket.clone(), rooms)));
        found.into_iter().map(|(socket, rooms)| socket.info(rooms)).collect()
    }

    fn rooms(&self) -> Vec<Room> {
        self.hub.room_names()
    }

    fn has_room(&self, room: &str) -> bool {
        self.hub.has_room(room)
    }

    fn watch_rooms(&self, on_room: Box<OnRoom>) {
        self.hub.watch(on_room);
    }

    fn server_side_emit(&self, node: &NodeId, arguments: Arguments, reply: Option<Reply>) {
        let Some(server) = self.server.upgrade() else { return };
        let handlers = self.handlers.server_events(&arguments.event_name());
        let event = ServerEvent::new(node.clone(), arguments, reply);
        for handler in handlers {
            let event = event.clone();
            server.spawn(async move { handler(event).await });
        }
    }

    fn snapshot(&self, holding: &Holding) -> Option<Snapshot> {
        self.holder(holding).map(|socket| socket.snapshot())
    }

    fn fenced(&self, holding: &Holding) {
        if let Some(socket) = self.holder(holding) {
            socket.fence();
        }
    }
}
