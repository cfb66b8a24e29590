//! Decides what the packets of one client mean to a server: who joins, who leaves, what is said where, and when the client
//! has broken the rules.
//!
//! A client may speak in namespaces that it has joined, and must join one in time. Who breaks a rule is cut off. What a
//! client said before it knew that the server has put it out of a namespace is no breach; it is passed over.

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::arguments::Arguments;
use super::decoder::{Decoded, Decoder};
use super::packet::{Kind, PacketError};
use super::parser::Parser;
use crate::engineio::Version;

/// The longest name of a namespace, in bytes, without the query that version 4 puts behind it.
pub const MAX_NAMESPACE_BYTES: usize = 1024;

/// Limits what one client may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a client may take to join its first namespace; the reference gives it 45 s.
    pub connect_timeout: Duration,
    /// How many attachments one packet may have; the reference takes 10. All wait in memory until the last has come.
    pub max_attachments: usize,
    /// How many namespaces one client may be in or ask for at a time. The reference has no limit.
    pub max_namespaces: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(45), max_attachments: 10, max_namespaces: 64 }
    }
}

/// Something that a client says.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// It asks to join a namespace. To be answered with [`Connection::handle_joined`] or [`Connection::handle_left`].
    Connect {
        /// The namespace, without a query.
        namespace: Arc<str>,
        /// A list with the payload alone, an object: what the client says to prove who it is.
        auth: Option<Arguments>,
    },
    /// An event in a namespace that it has joined.
    Event {
        /// The namespace.
        namespace: Arc<str>,
        /// The number under which it wants an answer.
        id: Option<u64>,
        /// The name and what comes with it.
        arguments: Arguments,
    },
    /// An answer to an event of the server.
    Ack {
        /// The namespace.
        namespace: Arc<str>,
        /// The number of the event.
        id: u64,
        /// The values.
        arguments: Arguments,
    },
    /// It has left a namespace that it had joined.
    Disconnect {
        /// The namespace.
        namespace: Arc<str>,
    },
}

/// Says how a client broke the rules. Its session is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// What it sent is no packet.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// It spoke in a namespace that it is not in.
    #[error("a packet for a namespace that was not joined")]
    NotJoined,
    /// It asks for a namespace that it is in, or has asked for.
    #[error("a second request to join a namespace")]
    AlreadyJoined,
    /// It refuses to let the server in.
    #[error("a refusal, which only servers send")]
    Refusal,
    /// It wants to be in more namespaces than are given.
    #[error("too many namespaces")]
    TooManyNamespaces,
    /// The name of the namespace is longer than [`MAX_NAMESPACE_BYTES`].
    #[error("a namespace with too long a name")]
    LongNamespace,
}

impl ProtocolError {
    /// Returns whether the packet was well-formed, but is not allowed in this state. The reference server gives its
    /// sockets the reason "forced server close" then, and "forced close" otherwise.
    pub fn is_about_state(self) -> bool {
        !matches!(self, Self::Packet(_))
    }
}

/// The packets of one client, and the namespaces that it is in.
#[derive(Debug)]
pub struct Connection {
    decoder: Decoder,
    version: Version,
    max_namespaces: usize,
    /// When the first namespace must be joined; `None` once one was.
    deadline: Option<Instant>,
    namespaces: Vec<(Arc<str>, State)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The client has asked and waits for an answer.
    Asked,
    Joined,
    /// The server put the client out, and what the client said before it knew may still be on its way.
    PutOut,
}

static ROOT: LazyLock<Arc<str>> = LazyLock::new(|| "/".into());

impl Connection {
    /// Begins with a client that has opened a session and is in no namespace.
    ///
    /// A session of Engine.IO 4 carries protocol 5 of Socket.IO, one of Engine.IO 3 carries protocol 4.
    pub fn new(parser: Parser, version: Version, limits: Limits, now: Instant) -> Self {
        Self {
            decoder: Decoder::new(parser, limits.max_attachments),
            version,
            max_namespaces: limits.max_namespaces,
            deadline: now.checked_add(limits.connect_timeout),
            namespaces: Vec::new(),
        }
    }

    /// Says what the session begins with, to be called once and before all else: in protocol 4 every client joins `/`
    /// without asking.
    pub fn handle_open(&mut self) -> Option<Received> {
        if self.version == Version::V4 {
            return None;
        }
        self.namespaces.push((ROOT.clone(), State::Asked));
        Some(Received::Connect { namespace: ROOT.clone(), auth: None })
    }

    /// Takes a text message.
    ///
    /// # Errors
    /// [`ProtocolError`] when the session is to be closed.
    pub fn handle_text(&mut self, text: &str, _now: Instant) -> Result<Option<Received>, ProtocolError> {
        match self.decoder.handle_text(text)? {
            Some(decoded) => self.handle_packet(decoded),
            None => Ok(None),
        }
    }

    /// Takes a message of bytes.
    ///
    /// # Errors
    /// [`ProtocolError`] when the session is to be closed.
    pub fn handle_binary(&mut self, bytes: Bytes, _now: Instant) -> Result<Option<Received>, ProtocolError> {
        match self.decoder.handle_binary(&bytes)? {
            Some(decoded) => self.handle_packet(decoded),
            None => Ok(None),
        }
    }

    fn handle_packet(&mut self, packet: Decoded<'_>) -> Result<Option<Received>, ProtocolError> {
        let (name, query) = match self.version {
            Version::V4 => (&*packet.namespace, None),
            Version::V3 => split_query(&packet.namespace),
        };
        let place = self.namespaces.iter().position(|(other, _)| **other == *name);
        match packet.kind {
            Kind::Connect => {
                let namespace = self.ask(name, place)?;
                let auth = match self.version {
                    Version::V4 => packet.payload,
                    Version::V3 => query.map(auth_of_query),
                };
                return Ok(Some(Received::Connect { namespace, auth }));
            }
            Kind::ConnectError => return Err(ProtocolError::Refusal),
            Kind::Event | Kind::Ack | Kind::Disconnect => {}
        }
        let (place, (namespace, state)) =
            place.and_then(|place| Some((place, self.namespaces.get(place)?))).ok_or(ProtocolError::NotJoined)?;
        match state {
            State::Joined => {}
            State::PutOut => return Ok(None),
            State::Asked => return Err(ProtocolError::NotJoined),
        }
        let namespace = namespace.clone();
        let arguments = packet.payload.unwrap_or_default();
        Ok(match (packet.kind, packet.id) {
            (Kind::Event, id) => Some(Received::Event { namespace, id, arguments }),
            (Kind::Ack, Some(id)) => Some(Received::Ack { namespace, id, arguments }),
            // An answer to nothing: the reference passes over it, too.
            (Kind::Ack, None) => None,
            _ => {
                self.namespaces.swap_remove(place);
                Some(Received::Disconnect { namespace })
            }
        })
    }

    /// Notes that the client asks for a namespace.
    fn ask(&mut self, name: &str, place: Option<usize>) -> Result<Arc<str>, ProtocolError> {
        if name.len() > MAX_NAMESPACE_BYTES {
            return Err(ProtocolError::LongNamespace);
        }
        if self.namespaces.iter().filter(|(_, state)| *state != State::PutOut).count() >= self.max_namespaces {
            return Err(ProtocolError::TooManyNamespaces);
        }
        match place.and_then(|place| self.namespaces.get_mut(place)) {
            Some((namespace, state @ State::PutOut)) => {
                *state = State::Asked;
                Ok(namespace.clone())
            }
            Some(_) => Err(ProtocolError::AlreadyJoined),
            None => {
                let namespace = if name == "/" { ROOT.clone() } else { name.into() };
                self.namespaces.push((namespace.clone(), State::Asked));
                Ok(namespace)
            }
        }
    }

    /// Notes that the client was let into a namespace that it asked for.
    pub fn handle_joined(&mut self, namespace: &str) {
        if let Some((_, state)) = self.namespaces.iter_mut().find(|(other, _)| **other == *namespace) {
            *state = State::Joined;
            self.deadline = None;
        }
    }

    /// Notes that the client was not let into a namespace, or was put out of it. No-op for one that it left by itself.
    pub fn handle_left(&mut self, namespace: &str) {
        let Some(place) = self.namespaces.iter().position(|(other, _)| **other == *namespace) else { return };
        let Some((namespace, state)) = self.namespaces.get(place).cloned() else { return };
        if state == State::PutOut {
            return;
        }
        self.namespaces.remove(place);
        if state == State::Asked {
            return;
        }
        // They are in the order in which they were left; the oldest makes room.
        if self.namespaces.iter().filter(|(_, state)| *state == State::PutOut).count() >= self.max_namespaces
            && let Some(oldest) = self.namespaces.iter().position(|(_, state)| *state == State::PutOut)
        {
            self.namespaces.remove(oldest);
        }
        self.namespaces.push((namespace, State::PutOut));
    }

    /// Returns whether the client is in a namespace.
    pub fn is_joined(&self, namespace: &str) -> bool {
        self.namespaces.iter().any(|(other, state)| **other == *namespace && *state == State::Joined)
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called; `None` once a namespace was joined.
    pub fn poll_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns whether the client has taken too long to join a namespace. Its session is to be closed.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        self.deadline.take_if(|deadline| *deadline <= now).is_some()
    }
}

/// Parts a namespace of version 4 from the query behind it.
fn split_query(namespace: &str) -> (&str, Option<&str>) {
    let without_fragment = namespace.split_once('#').map_or(namespace, |(before, _)| before);
    match without_fragment.split_once('?') {
        Some((name, query)) => (name, Some(query)),
        None => (without_fragment, None),
    }
}

/// Makes a list with one object out of a query; of members with the same name the last counts.
fn auth_of_query(query: &str) -> Arguments {
    let mut auth = serde_json::Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        auth.insert(decode(name), decode(value).into());
    }
    Arguments::trusted(format!("[{}]", serde_json::Value::Object(auth)), Vec::new())
}

/// Decodes a name or value of a query as forms do.
fn decode(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let hex = |place: usize| behind.get(place).and_then(|digit| char::from(*digit).to_digit(16));
        decoded.push(match (byte, hex(0), hex(1)) {
            (b'+', ..) => b' ',
            (b'%', Some(high), Some(low)) => {
                rest = behind.get(2..).unwrap_or_default();
                // Two digits of base 16 make a byte.
                (high * 16 + low) as u8
            }
            _ => byte,
        });
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
