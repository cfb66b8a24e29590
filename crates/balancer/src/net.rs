//! Sockets, buffers, deadlines and connection limits.

pub mod buffer;
pub mod connect;
pub mod deadline;
pub mod limit;
pub mod listen;
pub mod stream;
