//! A Socket.IO server for Rust applications, to which unmodified `socket.io-client`s of 3.x and 4.x connect, and of 2.x if
//! [`engine::Options::allow_eio3`] is on.
//!
//! # A server
//! ```no_run
//! use limpet_server::{Ack, Options, Server, Socket};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> std::io::Result<()> {
//!     let io = Server::new(Options::default());
//!     io.on_connection(|socket: Socket| async move {
//!         println!("{} is here", socket.id());
//!         socket.on("say", |socket: Socket, room: String, text: String| async move {
//!             socket.to(&room).emit("said", (socket.id(), text)).ok();
//!         });
//!         socket.on("join", |socket: Socket, room: String, ack: Ack| async move {
//!             socket.join(room);
//!             ack.send(socket.rooms().len()).ok();
//!         });
//!         socket.on_disconnect(|socket: Socket, reason| async move { println!("{} is gone: {reason}", socket.id()) });
//!     });
//!     let _listening = io.bind("127.0.0.1:3000").await?;
//!     std::future::pending().await
//! }
//! ```
//!
//! # In axum
//! [`Server::service`] is a tower service for HTTP requests, polling and WebSocket alike:
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use axum::{Router, routing::get};
//! use limpet_server::{Options, Server};
//! let io = Server::new(Options::default());
//! let app: Router = Router::new().route("/", get(|| async { "hello" })).route_service("/socket.io/", io.service());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, app).await
//! # }
//! ```
//! Only the listener knows where a client is. To have it in [`Handshake::address`], hand it on as
//! [`engine::RemoteAddr`], and serve with connect info:
//! ```no_run
//! # async fn example(io: limpet_server::Server, listener: tokio::net::TcpListener) -> std::io::Result<()> {
//! use std::net::SocketAddr;
//! use axum::extract::{ConnectInfo, Request};
//! use axum::{Router, middleware};
//! use limpet_server::engine::RemoteAddr;
//! let told = middleware::map_request(|ConnectInfo(address): ConnectInfo<SocketAddr>, mut request: Request| async move {
//!     request.extensions_mut().insert(RemoteAddr(address));
//!     request
//! });
//! let app: Router = Router::new().route_service("/socket.io/", io.service()).layer(told);
//! axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
//! # }
//! ```
//!
//! # HTTP/2
//! Polls and WebSockets may share a connection of HTTP/2: a WebSocket is opened on a stream of it by extended CONNECT (RFC
//! 8441), as browsers do it where the server offers it. axum offers it when its feature `http2` is on; with hyper call
//! `enable_connect_protocol` on the builder. The route must take every method, as `route_service` does, for a CONNECT is no
//! GET. [`Server::bind_with`] speaks HTTP/2 to clients that begin with it if [`listen::ListenOptions::http2`] is on; browsers
//! begin with it over TLS alone, which is for what stands in front.
//!
//! # Memory
//! What a session used is free when it has ended. After a crowd of 1,000 or more has gone, glibc is asked for the pages that it
//! keeps, which would otherwise stay with the process: of 330 MB after 15,000 clients, half of them polling, 8 MB stay. Other
//! allocators decide by themselves.
//!
//! # Arguments
//! Events carry what serde can write and read. What is sent follows one rule everywhere: a tuple is several arguments,
//! `()` is none, anything else is one (an array of fixed size is a tuple to serde; `([1, 2],)` sends it as one argument).
//! `bytes::Bytes` anywhere in them travel as binary attachments. Handlers name the types that they want, see
//! [`EventHandler`].
//!
//! # Rooms
//! A socket [joins](Socket::join) rooms, and is always in the room of its own id. [`Broadcast`] says who is meant: by
//! rooms, by what is left out, on all nodes or on this one. Who is meant gets an event once.
//! ```no_run
//! # fn example(io: limpet_server::Server, socket: limpet_server::Socket) -> Result<(), limpet_server::EmitError> {
//! socket.join(["news", "sport"]);
//! io.to("news").except("muted").emit("headline", "it rains")?;
//! socket.broadcast().volatile().emit("typing", ())?;
//! # Ok(())
//! # }
//! ```
//!
//! # Acknowledgements
//! A handler whose last parameter is an [`Ack`] answers the client. The server asks a client by
//! [`Socket::emit_with_ack`], and many at once by [`Broadcast::emit_with_ack`]. A handler may wait for an answer of the
//! client that it serves.
//!
//! # Several servers
//! An [`Adapter`] joins servers: [`Local`] those of one process. Broadcasts, [`Broadcast::fetch_sockets`],
//! [`Broadcast::sockets_join`] and the like then mean the sockets of all of them, and
//! [`Server::server_side_emit`] reaches the servers themselves. To write an adapter see [`limpet_bus::adapter`].
//!
//! # Clients that come back
//! With [`Options::recovery`] a client that lost its connection comes back with its id, its rooms and its data, on any of
//! the servers that are joined, and gets the events that it missed: each once, and in order.
//! [`Socket::recovered`] tells such a client from a new one.
//!
//! # What is bounded
//! | what | by | beyond it |
//! |---|---|---|
//! | messages and bytes that wait for a client | [`engine::Options::max_queued_messages`], [`engine::Options::max_queued_bytes`] | the client is disconnected; volatile events are dropped before |
//! | events that wait for a handler | [`Options::max_waiting_events`] | the client is not read until there is room |
//! | answers that a client owes | [`Options::max_waiting_acks`] | [`AckError::TooMany`] |
//! | size of a message | [`engine::Options::max_payload_bytes`] | the client is disconnected |
//! | attachments of a packet | [`Options::max_attachments`] | the client is disconnected |
//! | namespaces of a client | [`Options::max_namespaces_per_client`] | the client is disconnected |
//! | what a client missed while it was away | the bounds on what waits for a client, and those of the adapter's log | it begins anew |
//! | time without a namespace | [`Options::connect_timeout`] | the client is disconnected |
#![deny(unsafe_code)]

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
mod health;
mod mount;
mod namespace;
mod options;
mod queue;
mod random;
mod reason;
mod remote;
mod rooms;
mod scratch;
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
pub use options::{Options, Recovery};
pub use reason::DisconnectReason;
pub use remote::RemoteSocket;
pub use rooms::IntoRooms;
pub use server::{App, Server};
pub use server_event::ServerEvent;
pub use socket::Socket;
