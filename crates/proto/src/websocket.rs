//! WebSocket frames (RFC 6455), as far as a relay needs them: it follows headers and never holds payloads.

pub mod close;
pub mod frame;
