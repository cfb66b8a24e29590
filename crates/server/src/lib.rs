//! The Socket.IO server library.
#![forbid(unsafe_code)]

pub mod engine;
pub mod listen;
