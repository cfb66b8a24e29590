//! WebSocket (RFC 6455): what a relay needs, which follows frames and never holds payloads, and what an end needs, which
//! reads and writes messages.

pub mod close;
pub mod deflate;
pub mod frame;
pub mod handshake;
mod header;
pub mod mask;
pub mod message;
