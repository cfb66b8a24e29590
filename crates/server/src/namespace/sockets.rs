//! Decides what reaches the sockets of a namespace on this node, whichever node it comes from.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use limpet_bus::cluster::{OnAck, Reply, Sockets};
use limpet_bus::hub::OnRoom;
use limpet_bus::recovery::Stamp;
use limpet_bus::{Flags, NodeId, Room, SocketInfo, Targets};
use limpet_proto::socketio::arguments::Arguments;
use limpet_proto::socketio::packet::Kind;

use super::Inner;
use crate::acks::Waiter;
use crate::emitter::acks;
use crate::server_event::ServerEvent;

impl Sockets for Inner {
    fn broadcast(&self, arguments: &Arguments, targets: &Targets, flags: Flags, _: Stamp) {
        if self.hub.is_empty() {
            return;
        }
        let mut parts = self.options.parser.encode(Kind::Event, &self.name, None, Some(arguments));
        if !flags.compress {
            parts = parts.into_iter().map(|part| part.uncompressed()).collect();
        }
        let mut watched = Vec::new();
        self.hub.broadcast(targets, |socket| {
            // Who has gone, or is disconnected because its queue is full, does not get it.
            socket.send(&parts, flags.volatile).ok();
            if socket.is_watched() {
                watched.push(socket.clone());
            }
        });
        watched.iter().for_each(|socket| socket.show_outgoing(arguments));
    }

    fn broadcast_with_ack(&self, arguments: &Arguments, targets: &Targets, flags: Flags, on_ack: &Arc<OnAck>) -> usize {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let mut parts = self.options.parser.encode(Kind::Event, &self.name, Some(id), Some(arguments));
        if !flags.compress {
            parts = parts.into_iter().map(|part| part.uncompressed()).collect();
        }
        let sockets = self.hub.select(targets);
        for socket in &sockets {
            let waiter = Waiter::Many(Arc::downgrade(on_ack));
            // Who cannot be asked counts as one that does not answer.
            if acks(socket).add(id, waiter, self.options.max_waiting_acks) {
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
    }

    fn leave(&self, targets: &Targets, rooms: &[Room]) {
        self.hub.leave_all(targets, rooms);
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
}
