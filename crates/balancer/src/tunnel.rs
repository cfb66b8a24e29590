//! The relay engine for upgraded connections.
//!
//! After a 101 a connection leaves the runtime and becomes an entry of its worker's [`Engine`]: two sockets, two frame
//! cursors, some counters. All tunnels of a worker share one reactor, one buffer and one pass for timeouts.
//!
//! ```text
//! client ──bytes──▶ scratch buffer ──same bytes──▶ endpoint      and the other way round
//!                        │
//!                  frame cursor: messages, close codes, boundaries
//! ```
//!
//! Invariants:
//! - A socket is registered once, edge-triggered: an upgrade's mostly before its 101 has come ([`berth`]). Whether there is
//!   room to send is asked from the first refused send on. What an edge announced is remembered until it was read.
//! - A side is read only while its peer has taken everything; so a tunnel owns heap memory only while a peer is slow,
//!   and never more than one buffer's worth for each direction.
//! - Bytes pass unchanged. When they make no sense as frames, following ends and relaying goes on.
//! - Nothing else holds state of a tunnel, so that an entry is all that a successor process would need.

pub mod berth;
pub mod close;
pub mod engine;
mod entry;
pub mod record;
mod side;

pub use engine::Engine;
pub use record::{Limits, Record};

use crate::net::buffer::Buffer;
use crate::net::socket::Released;

/// A connection that has just been upgraded.
#[derive(Debug)]
pub struct Tunnel {
    /// The client's socket.
    pub client: Released,
    /// The endpoint's socket.
    pub upstream: Released,
    /// The 101 for the client.
    pub head: Vec<u8>,
    /// What the endpoint sent behind its 101.
    pub to_client: Option<Buffer>,
    /// What the client sent behind its request. It must not reach the endpoint before the 101 has come, which it has.
    pub to_upstream: Option<Buffer>,
    /// What is known about it.
    pub record: Record,
}

#[cfg(test)]
mod tests;
