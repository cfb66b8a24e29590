//! Sockets, buffers, deadlines, connection limits and child processes.

pub mod accept;
pub mod buffer;
pub mod child;
pub mod connect;
pub mod deadline;
pub mod limit;
pub mod listen;
pub mod socket;
pub mod stream;
