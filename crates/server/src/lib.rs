//! The Socket.IO server library.
#![forbid(unsafe_code)]
