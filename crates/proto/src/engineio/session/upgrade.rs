//! Decides how a polling session moves to a WebSocket.
//!
//! A WebSocket with the sid of a polling session is a candidate. It must send `2probe`, is answered `3probe`, and from
//! then on a waiting GET is released every 100 ms, so that the client can stop polling; with `5` the candidate becomes
//! the transport. Until then messages leave by polling. A candidate that sends anything else is dismissed, and so is
//! one that takes too long; the session goes on.

use std::time::{Duration, Instant};

use super::{Carrier, Phase, Session};
use crate::engineio::packet::{Data, Packet, PacketType};

/// How often a waiting GET is released during an upgrade.
pub const NOOP_INTERVAL: Duration = Duration::from_millis(100);

/// Names a candidate of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandidateId(u32);

/// What a candidate has to do after a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateStep {
    /// Send `3probe`.
    Pong,
    /// Be the transport from now on: what waits is its to send.
    Upgraded,
    /// Close.
    Dismissed,
}

#[derive(Debug)]
pub(super) struct Candidate {
    id: CandidateId,
    until: Instant,
    /// When the waiting GET is released next; set by the probe.
    noop_at: Option<Instant>,
}

impl Candidate {
    pub(super) fn deadline(&self) -> Instant {
        self.noop_at.map_or(self.until, |at| at.min(self.until))
    }
}

impl Session {
    /// Takes a WebSocket with the sid of this session. `None` says that it is to be closed: there is another one, as
    /// candidate or as transport.
    pub fn handle_candidate(&mut self, now: Instant) -> Option<CandidateId> {
        if self.candidate.is_some() || self.carrier != Carrier::Polling || self.closed().is_some() {
            return None;
        }
        self.candidates = self.candidates.wrapping_add(1);
        let id = CandidateId(self.candidates);
        self.candidate = Some(Candidate { id, until: now + self.config.upgrade_timeout, noop_at: None });
        Some(id)
    }

    /// Returns whether this one is still the candidate.
    pub fn has_candidate(&self, id: CandidateId) -> bool {
        self.candidate.as_ref().is_some_and(|candidate| candidate.id == id)
    }

    /// Takes a packet of a candidate; `None` stands for something that is no packet.
    pub fn handle_candidate_packet(
        &mut self,
        id: CandidateId,
        packet: Option<&Packet<'_>>,
        now: Instant,
    ) -> CandidateStep {
        let Some(candidate) = self.candidate.as_mut().filter(|candidate| candidate.id == id) else {
            return CandidateStep::Dismissed;
        };
        match packet {
            Some(Packet { kind: PacketType::Ping, data: Data::Text(data) }) if data == "probe" => {
                candidate.noop_at = Some(now + NOOP_INTERVAL);
                CandidateStep::Pong
            }
            Some(Packet { kind: PacketType::Upgrade, .. }) => {
                self.candidate = None;
                if self.is_waited_for() {
                    self.answer = Some(PacketType::Noop);
                }
                self.carrier = Carrier::Websocket { blocked: false };
                self.heartbeat.handle_upgrade(&self.config, now);
                CandidateStep::Upgraded
            }
            _ => {
                self.candidate = None;
                CandidateStep::Dismissed
            }
        }
    }

    /// Learns that a candidate's connection has ended.
    pub fn handle_candidate_end(&mut self, id: CandidateId) {
        if self.has_candidate(id) {
            self.candidate = None;
        }
    }

    pub(super) fn handle_candidate_timeout(&mut self, now: Instant) {
        let Some(candidate) = &mut self.candidate else { return };
        if matches!(self.phase, Phase::Closed(_)) || now >= candidate.until {
            self.candidate = None;
        } else if candidate.noop_at.is_some_and(|at| now >= at) {
            candidate.noop_at = Some(now + NOOP_INTERVAL);
            self.release_get();
        }
    }
}
