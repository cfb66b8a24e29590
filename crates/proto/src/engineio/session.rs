//! Decides how one session of a server goes on: what a request or a packet does to it, what is sent, and when it ends.
//!
//! The machine knows no sockets and no clock. Whatever it takes is given by a `handle_*` method with the time, and
//! whatever it wants is asked for by a `poll_*` method afterwards.

mod reason;

pub use reason::CloseReason;
