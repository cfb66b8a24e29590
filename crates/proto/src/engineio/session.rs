//! Decides how one session of a server goes on: what a request or a packet does to it, what is sent, and when it ends.
//!
//! The machine knows no sockets and no clock. What comes is given by a `handle_*` method with the time; what is to be
//! sent is asked for by a `poll_*` method afterwards. At most one GET and one POST are under way, at most one WebSocket
//! is the transport, and at most one more is a candidate for it. Messages leave in the order of [`Session::send`], each
//! on one transport, and what waits is bounded. Follows the reference server but where that loses sessions: an upgrade
//! does not end the wait for a pong.

mod body;
mod close;
mod heartbeat;
mod outbox;
mod polling;
mod reason;
mod upgrade;
mod websocket;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::message::Message;
use super::packet::PacketType;
use super::sid::Sid;
use super::{Transport, Version};
use heartbeat::Heartbeat;
use outbox::Outbox;
use upgrade::Candidate;

pub use body::{PollBody, read_form, write_body};
pub use close::CLOSE_TIMEOUT;
pub use outbox::{Batch, Outgoing};
pub use polling::Overlap;
pub use reason::CloseReason;
pub use upgrade::{CandidateId, CandidateStep, NOOP_INTERVAL};

/// What the sessions of a server have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How often a client of version 4 is pinged, and one of version 3 pings.
    pub ping_interval: Duration,
    /// How long the answer to a ping may take.
    pub ping_timeout: Duration,
    /// How long a candidate may take.
    pub upgrade_timeout: Duration,
    /// The most bytes of a message, as clients are told.
    pub max_payload_bytes: usize,
    /// The most packets that may wait to be sent.
    pub max_queued_messages: usize,
    /// The most bytes of messages that may wait to be sent; one message alone may have more.
    pub max_queued_bytes: usize,
}

/// Why messages are not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session has ended or is about to.
    #[error("the session is closed")]
    Closed,
    /// More waits for the client than is allowed; the session has been closed for it.
    #[error("the client does not read: its queue is full")]
    QueueFull,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    version: Version,
    phase: Phase,
    carrier: Carrier,
    /// Whether a GET waits for its answer.
    get_waits: bool,
    /// Whether a POST is under way.
    post_waits: bool,
    /// What the waiting GET is answered with instead of the outbox.
    answer: Option<PacketType>,
    candidate: Option<Candidate>,
    candidates: u32,
    heartbeat: Heartbeat,
    outbox: Outbox,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// What waits leaves, and then the session is closed; until then it takes nothing.
    Closing {
        reason: CloseReason,
        until: Instant,
    },
    Closed(CloseReason),
}

/// What carries the packets now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Polling,
    Websocket {
        /// The client takes no more bytes.
        blocked: bool,
    },
}

impl Session {
    /// Opens a session on this transport; the open packet waits to be sent, and behind it `initial`.
    pub fn new(
        config: Arc<Config>,
        version: Version,
        transport: Transport,
        sid: &Sid,
        upgrades: bool,
        initial: Option<&Message>,
        now: Instant,
    ) -> Self {
        let mut outbox = Outbox::default();
        outbox.push(Outgoing::Open(Box::new(open_data(&config, sid, upgrades))));
        if let Some(initial) = initial {
            outbox.push(Outgoing::Message(initial.clone()));
        }
        let carrier = match transport {
            Transport::Websocket => Carrier::Websocket { blocked: false },
            Transport::Polling | Transport::Other => Carrier::Polling,
        };
        Self {
            heartbeat: Heartbeat::new(version, &config, now),
            config,
            version,
            phase: Phase::Open,
            carrier,
            get_waits: false,
            post_waits: false,
            answer: None,
            candidate: None,
            candidates: 0,
            outbox,
        }
    }

    /// Returns the protocol version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the transport that packets take now.
    pub fn transport(&self) -> Transport {
        match self.carrier {
            Carrier::Polling => Transport::Polling,
            Carrier::Websocket { .. } => Transport::Websocket,
        }
    }

    /// Returns whether messages can be queued.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Returns why the session has ended, once it has.
    pub fn closed(&self) -> Option<CloseReason> {
        match self.phase {
            Phase::Closed(reason) => Some(reason),
            Phase::Open | Phase::Closing { .. } => None,
        }
    }

    /// Queues messages that stay together.
    ///
    /// # Errors
    /// [`SendError`], when none of them is queued. A full queue closes the session.
    pub fn send(&mut self, messages: &[Message]) -> Result<(), SendError> {
        if self.phase != Phase::Open {
            return Err(SendError::Closed);
        }
        if !self.outbox.has_room(&self.config, messages) {
            self.fail(CloseReason::TransportError);
            return Err(SendError::QueueFull);
        }
        for message in messages {
            self.outbox.push(Outgoing::Message(message.clone()));
        }
        Ok(())
    }

    /// Queues messages if they could leave at once: a GET waits that has nothing to carry yet, or the WebSocket takes
    /// bytes. `false` says that they were dropped.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub fn send_volatile(&mut self, messages: &[Message]) -> Result<bool, SendError> {
        if self.phase != Phase::Open {
            return Err(SendError::Closed);
        }
        let leaves = match self.carrier {
            Carrier::Polling => self.is_waited_for() && self.outbox.is_empty(),
            Carrier::Websocket { blocked } => !blocked,
        };
        if leaves && self.outbox.has_room(&self.config, messages) {
            self.send(messages)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Takes a packet that came on the transport; returns whether its data is for the application.
    pub fn handle_packet(&mut self, kind: PacketType, now: Instant) -> bool {
        if self.phase != Phase::Open {
            if kind == PacketType::Close {
                self.handle_close_packet();
            }
            return false;
        }
        match (kind, self.version) {
            (PacketType::Ping, Version::V4) | (PacketType::Pong, Version::V3) => {
                // A heartbeat in the wrong direction.
                self.fail(CloseReason::TransportError);
                return false;
            }
            (PacketType::Ping, Version::V3) => self.push_control(Outgoing::Pong),
            (PacketType::Close, _) => {
                self.handle_close_packet();
                return false;
            }
            _ => {}
        }
        self.heartbeat.handle_packet(kind, &self.config, now);
        kind == PacketType::Message
    }

    /// Takes something that is no packet.
    pub fn handle_garbage(&mut self) {
        self.fail(CloseReason::ParseError);
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) has something to do; later calls may give another time.
    pub fn poll_deadline(&self) -> Option<Instant> {
        let candidate = self.candidate.as_ref().map(Candidate::deadline);
        let earlier = |at: Instant, other: Option<Instant>| Some(other.map_or(at, |other| other.min(at)));
        match self.phase {
            Phase::Open => earlier(self.heartbeat.deadline(), candidate),
            Phase::Closing { until, .. } => earlier(until, candidate),
            Phase::Closed(_) => None,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Open => match self.heartbeat.handle_timeout(&self.config, now) {
                heartbeat::Due::Nothing => {}
                heartbeat::Due::Ping => self.push_control(Outgoing::Ping),
                heartbeat::Due::Close => self.fail(CloseReason::PingTimeout),
            },
            Phase::Closing { until, reason } if now >= until => self.end(reason),
            Phase::Closing { .. } | Phase::Closed(_) => {}
        }
        self.handle_candidate_timeout(now);
    }

    /// Queues a packet of our own. These count as messages do: a client that only pings must cost no more.
    fn push_control(&mut self, packet: Outgoing) {
        if self.outbox.has_room(&self.config, &[]) {
            self.outbox.push(packet);
        } else {
            self.fail(CloseReason::TransportError);
        }
    }
}

/// Returns the data of the open packet, members in the order of the reference server.
fn open_data(config: &Config, sid: &Sid, upgrades: bool) -> String {
    // A sid needs no escape.
    format!(
        r#"{{"sid":"{sid}","upgrades":[{}],"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
        if upgrades { r#""websocket""# } else { "" },
        config.ping_interval.as_millis(),
        config.ping_timeout.as_millis(),
        config.max_payload_bytes,
    )
}
