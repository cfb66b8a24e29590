//! Events between the nodes of a cluster.
//!
//! A [`hub`] reaches the sockets of one namespace on one node. An [`adapter`] joins the nodes; who writes one carries
//! [`envelope`]s and nothing else. Requests, answers, time limits and the naming of nodes that did not answer live once,
//! in [`cluster`]. [`Local`] joins nodes of one process.
#![forbid(unsafe_code)]

pub mod adapter;
pub mod cluster;
mod emitter;
pub mod envelope;
pub mod health;
pub mod hub;
mod local;
pub mod log;
mod node;
pub mod recovery;
mod redis;
mod target;

pub use adapter::{Adapter, BusError, Link, Outsiders, Peers, Receiver, RoomKind, To};
pub use cluster::{Cluster, ClusterOptions, Missing, Sockets};
pub use emitter::{Bulk, Emitter, Unsent};
pub use envelope::{Envelope, Message, SocketInfo};
pub use health::Health;
pub use local::{Local, LocalOptions};
pub use log::{Log, Offset};
pub use node::NodeId;
pub use recovery::Recovery;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use redis::fuzzing;
pub use redis::streams::{Streams, StreamsOptions};
pub use redis::{Redis, RedisOptions, Sharding};
pub use target::{Flags, Room, Targets};
