//! How packets travel between the two machines: polls, posts, the upgrade and the WebSocket.

use super::super::body::packet;
use super::super::*;
use super::faults::Fault;
use super::{Get, Moves, Post, World};
use crate::engineio::packet::Packet;

impl World {
    pub(super) fn polls(&self) -> bool {
        self.is_alive && !self.was_told && matches!(self.moves, Moves::No | Moves::Connected(_) | Moves::Probing(_))
    }

    pub(super) fn begin_get(&mut self) {
        if self.get == Get::No && self.polls() && self.session.closed().is_none() {
            self.session.handle_get().unwrap();
            self.get = Get::Asked;
        }
    }

    pub(super) fn server_writes(&mut self) {
        if let Some(batch) = self.session.poll_get() {
            assert_eq!(self.get, Get::Asked);
            let has = |kind| batch.iter().any(|packet| packet.kind() == kind);
            assert!(!has(PacketType::Close) || !has(PacketType::Message), "the client would not hear the message");
            let body = write_body(self.version, &batch, false, None);
            self.get = Get::Answered(String::from_utf8(body.bytes).unwrap());
        }
        // The end drops what the WebSocket has not written.
        if self.session.closed().is_some() {
            self.unwritten.clear();
        }
        if self.random.chance(2) {
            self.to_client.append(&mut self.unwritten);
        }
        self.give_websocket();
    }

    pub(super) fn give_websocket(&mut self) {
        if self.unwritten.is_empty()
            && let Some(batch) = self.session.poll_websocket()
        {
            for outgoing in batch {
                let mut text = String::new();
                packet(&outgoing).write_text(self.version, &mut text);
                self.unwritten.push_back(text);
            }
        }
    }

    pub(super) fn end_get(&mut self) {
        if let Get::Answered(body) = std::mem::replace(&mut self.get, Get::No) {
            self.read_body(&body, Self::client_takes);
        } else if self.session.get_waits {
            self.get = Get::Asked;
        }
    }

    pub(super) fn begin_post(&mut self) {
        if self.post == Post::No && self.polls() && !self.outbox.is_empty() && self.session.closed().is_none() {
            self.session.handle_post().unwrap();
            let body = self.body(&self.outbox);
            self.outbox.clear();
            self.post = Post::Under(body);
        }
    }

    pub(super) fn end_post(&mut self) {
        self.post = match std::mem::replace(&mut self.post, Post::No) {
            Post::Under(body) => {
                self.read_body(&body, Self::server_takes);
                self.session.handle_post_end();
                Post::Answered
            }
            Post::Answered | Post::No => Post::No,
        };
    }

    pub(super) fn upgrade(&mut self) {
        match self.moves {
            Moves::No if self.is_alive && self.random.chance(4) => {
                if let Some(id) = self.session.handle_candidate(self.now) {
                    if self.fault == Fault::BadCandidate && self.random.chance(2) {
                        let step = self.session.handle_candidate_packet(id, None, self.now);
                        assert_eq!(step, CandidateStep::Dismissed);
                        return;
                    }
                    self.moves = Moves::Connected(id);
                }
            }
            Moves::Connected(id) if !self.session.has_candidate(id) => self.moves = Moves::No,
            Moves::Connected(id) => {
                let probe = Packet::text(PacketType::Ping, "probe");
                assert_eq!(self.session.handle_candidate_packet(id, Some(&probe), self.now), CandidateStep::Pong);
                self.candidate_answers.push_back("3probe");
                self.moves = Moves::Probing(id);
            }
            Moves::Probing(id) if !self.session.has_candidate(id) => {
                self.candidate_answers.clear();
                self.moves = Moves::No;
            }
            Moves::Probing(id) if self.candidate_answers.pop_front().is_some() => self.moves = Moves::Pausing(id),
            Moves::Pausing(id) if !self.session.has_candidate(id) => self.moves = Moves::No,
            Moves::Pausing(id) if self.get == Get::No && self.post == Post::No => {
                let upgrade = Packet::empty(PacketType::Upgrade);
                let step = self.session.handle_candidate_packet(id, Some(&upgrade), self.now);
                assert_eq!(step, CandidateStep::Upgraded);
                self.moves = Moves::Moved;
            }
            _ => {}
        }
    }

    pub(super) fn websocket_to_client(&mut self) {
        // More than a step sends, or the line would grow longer and longer.
        for _ in 0..8 {
            if let (true, Some(text)) = (self.is_alive, self.to_client.pop_front()) {
                self.client_takes(&Packet::from_text(self.version, &text).unwrap());
            }
        }
    }

    pub(super) fn websocket_to_server(&mut self) {
        if self.moves == Moves::Moved && self.is_alive {
            self.to_server.extend(self.outbox.drain(..));
        }
        for _ in 0..8 {
            if let Some(text) = self.to_server.pop_front() {
                self.server_takes(&Packet::from_text(self.version, &text).unwrap());
            }
        }
    }
}
