//! The Socket.IO server library.
#![forbid(unsafe_code)]

pub mod engine;
pub mod listen;

mod ack;
mod acks;
mod broadcast;
mod client;
mod dynamic;
mod emitter;
mod error;
mod event;
mod handler;
mod handshake;
mod mount;
mod namespace;
mod options;
mod queue;
mod reason;
mod remote;
mod rooms;
mod server;
mod server_event;
mod socket;

pub use ack::Ack;
pub use broadcast::{Broadcast, Fetched};
pub use client::Session;
pub use dynamic::DynamicNamespaces;
pub use emitter::Emitter;
pub use error::{AckError, ArgumentError, BroadcastAckError, ConnectError, EmitError, EventError, ServerAckError};
pub use event::Event;
pub use handler::{EventHandler, FromEvent};
pub use handshake::Handshake;
pub use limpet_bus::{Adapter, Local, Missing, NodeId, Room};
pub use limpet_proto::socketio::arguments::Arguments;
pub use limpet_proto::socketio::parser::Parser;
pub use mount::{Listening, SocketIoService};
pub use namespace::Namespace;
pub use options::Options;
pub use reason::DisconnectReason;
pub use remote::RemoteSocket;
pub use rooms::IntoRooms;
pub use server::{App, Server};
pub use server_event::ServerEvent;
pub use socket::Socket;
