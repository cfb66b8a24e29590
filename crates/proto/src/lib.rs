//! Sans-IO wire protocols: every decision about bytes on the wire is taken here, and nowhere else.
//!
//! Nothing in this crate knows sockets, clocks or randomness; time and random bytes are arguments.
//! Methods named `handle_*` take input, methods named `poll_*` give output.
#![forbid(unsafe_code)]

pub mod engineio;
pub mod http1;
pub mod proxy_header;
pub mod resp;
pub mod socketio;
pub mod websocket;
