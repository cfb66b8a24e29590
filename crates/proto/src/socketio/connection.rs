//! Stand-in until the real connection is merged.
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::arguments::Arguments;
use super::packet::{Body, Packet, PacketError};
use super::parser::Parser;

/// What was received.
#[derive(Debug)]
pub enum Received {
    /// Join.
    Connect {
        /// Where.
        namespace: String,
        /// Auth.
        auth: Option<Arguments>,
    },
    /// Event.
    Event {
        /// Where.
        namespace: String,
        /// Id.
        id: Option<u64>,
        /// Arguments.
        arguments: Arguments,
    },
    /// Ack.
    Ack {
        /// Where.
        namespace: String,
        /// Id.
        id: u64,
        /// Arguments.
        arguments: Arguments,
    },
    /// Leave.
    Disconnect {
        /// Where.
        namespace: String,
    },
}

/// Limits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connect timeout.
    pub connect_timeout: Duration,
    /// Attachments.
    pub max_attachments: usize,
    /// Namespaces.
    pub max_namespaces: usize,
}

/// The machine.
#[derive(Debug)]
pub struct Connection {
    deadline: Option<Instant>,
}

impl Connection {
    /// New.
    pub fn new(_: Parser, limits: Limits, now: Instant) -> Self {
        Self { deadline: Some(now + limits.connect_timeout) }
    }

    /// Text.
    ///
    /// # Errors
    /// Bad packet.
    pub fn handle_text(&mut self, text: &str, _: Instant) -> Result<Option<Received>, PacketError> {
        let packet = Packet::parse(text, 10)?;
        let namespace = packet.namespace.to_owned();
        let list = |list: &[&serde_json::value::RawValue]| {
            let text = serde_json::to_string(list).map_err(|_| PacketError::Payload)?;
            Arguments::from_parts(text, Vec::new()).map_err(|_| PacketError::Payload)
        };
        Ok(Some(match packet.body {
            Body::Connect(auth) => Received::Connect { namespace, auth: auth.map(|auth| list(&[auth])).transpose()? },
            Body::Disconnect => Received::Disconnect { namespace },
            Body::Event(event) => Received::Event { namespace, id: packet.id, arguments: list(&event)? },
            Body::Ack(values) => {
                Received::Ack { namespace, id: packet.id.unwrap_or_default(), arguments: list(&values)? }
            }
            Body::ConnectError(_) => return Err(PacketError::Payload),
        }))
    }

    /// Bytes.
    ///
    /// # Errors
    /// Bad packet.
    pub fn handle_binary(&mut self, _: Bytes, _: Instant) -> Result<Option<Received>, PacketError> {
        Err(PacketError::Attachments)
    }

    /// Joined.
    pub fn handle_joined(&mut self, _: &str) {
        self.deadline = None;
    }

    /// Left.
    pub fn handle_left(&mut self, _: &str) {}

    /// Deadline.
    pub fn poll_deadline(&self) -> Option<Instant> {
        self.deadline
    }
}
