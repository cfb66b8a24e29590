//! What a cluster asks of the sockets of its node.

use std::sync::Arc;

use limpet_proto::socketio::arguments::Arguments;

use super::Reply;
use crate::envelope::SocketInfo;
use crate::hub::OnRoom;
use crate::node::NodeId;
use crate::recovery::{Holding, Snapshot, Stamp};
use crate::target::{Flags, Room, Targets};

/// Takes a client's acknowledgement of a broadcast.
pub type OnAck = dyn Fn(Arguments) + Send + Sync;

/// The sockets of a namespace on this node. Nothing here waits.
pub trait Sockets: Send + Sync + 'static {
    /// Sends an event. The offset of its stamp, if it has one, is written behind its arguments as one more text. A socket
    /// that holds a session asks [`Holding::admit`] first.
    fn broadcast(&self, arguments: &Arguments, targets: &Targets, flags: Flags, stamp: Stamp);

    /// Sends an event that is to be acknowledged, and returns to how many. Acknowledgements are passed on while somebody
    /// else holds `on_ack`: keep it weakly.
    fn broadcast_with_ack(&self, arguments: &Arguments, targets: &Targets, flags: Flags, on_ack: &Arc<OnAck>) -> usize;

    /// Lets sockets join rooms.
    fn join(&self, targets: &Targets, rooms: &[Room]);

    /// Lets sockets leave rooms.
    fn leave(&self, targets: &Targets, rooms: &[Room]);

    /// Disconnects sockets.
    fn disconnect(&self, targets: &Targets, close: bool);

    /// Describes sockets.
    fn fetch(&self, targets: &Targets) -> Vec<SocketInfo>;

    /// Names the rooms that have sockets, without those that are single sockets' own.
    fn rooms(&self) -> Vec<Room>;

    /// Whether anybody on this node is in a room.
    fn has_room(&self, room: &str) -> bool {
        let _ = room;
        true
    }

    /// Tells of the rooms that there are and that come and go; see [`Hub::watch`](crate::hub::Hub::watch).
    fn watch_rooms(&self, on_room: Box<OnRoom>) {
        drop(on_room);
    }

    /// Takes an event of another server.
    fn server_side_emit(&self, node: &NodeId, arguments: Arguments, reply: Option<Reply>);

    /// Returns what is to be kept of the socket that has this session; `None` if it is not in the hub.
    fn snapshot(&self, holding: &Holding) -> Option<Snapshot> {
        let _ = holding;
        None
    }

    /// Closes the socket that has this session, since its client is connected elsewhere: as if its transport had closed.
    /// The client hears nothing. [`Recovery::end`](crate::Recovery::end) need not be called.
    fn fenced(&self, holding: &Holding) {
        let _ = holding;
    }
}
