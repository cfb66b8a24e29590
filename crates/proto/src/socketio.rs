//! Socket.IO packets: what the messages of an Engine.IO session mean.
//!
//! Follows protocol 5 of the Socket.IO documentation and socket.io-parser 4.2. Protocol 4, which clients of 2.x speak,
//! has the same grammar.

pub mod arguments;
pub mod connection;
pub mod decoder;
pub mod msgpack;
pub mod packet;
pub mod parser;
