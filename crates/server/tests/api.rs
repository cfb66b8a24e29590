//! What applications can do through the public API, seen from real `socket.io-client`s on Node.

#[path = "api/acks.rs"]
mod acks;
#[path = "api/bounds.rs"]
mod bounds;
#[path = "api/disconnects.rs"]
mod disconnects;
#[path = "api/events.rs"]
mod events;
#[path = "api/namespaces.rs"]
mod namespaces;
#[path = "api/nodes.rs"]
mod nodes;
#[path = "api/rooms.rs"]
mod rooms;
#[path = "api/script.rs"]
mod script;
