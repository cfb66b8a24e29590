//! What goes wrong in a run, and how it is brought about.

use super::super::*;
use super::{Get, Moves, Post, World};

/// What goes wrong in a run, at a random moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    /// The client leaves its GET.
    AbortedGet,
    /// The client leaves its POST.
    AbortedPost,
    /// A GET arrives twice.
    DoubledGet,
    /// A POST arrives while another one is under way.
    DoubledPost,
    /// The client sends what is no packet.
    Garbage,
    /// The client is gone without a word.
    Silence,
    /// The WebSocket breaks.
    BrokenWebsocket,
    /// The candidate sends garbage; the session goes on.
    BadCandidate,
    /// The client closes.
    ClientCloses,
    /// The server closes; what waits leaves first.
    ServerCloses,
    /// The server sends and closes at this step of an upgrade; what it sent leaves first.
    ServerClosesAt(Step),
}

/// How far an upgrade has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The candidate has connected.
    Connected,
    /// Its probe was answered, and the answer is under way.
    Probing,
    /// The client waits for its GET and its POST to end.
    Pausing,
    /// The client has no request under way, and its upgrade packet has not arrived.
    Paused,
    /// The WebSocket is the transport and has taken nothing yet.
    Moved,
    /// The WebSocket has been given packets that are not written yet.
    Writing,
}

pub(super) const FAULTS: [Fault; 17] = [
    Fault::Nothing,
    Fault::AbortedGet,
    Fault::AbortedPost,
    Fault::DoubledGet,
    Fault::DoubledPost,
    Fault::Garbage,
    Fault::Silence,
    Fault::BrokenWebsocket,
    Fault::BadCandidate,
    Fault::ClientCloses,
    Fault::ServerCloses,
    Fault::ServerClosesAt(Step::Connected),
    Fault::ServerClosesAt(Step::Probing),
    Fault::ServerClosesAt(Step::Pausing),
    Fault::ServerClosesAt(Step::Paused),
    Fault::ServerClosesAt(Step::Moved),
    Fault::ServerClosesAt(Step::Writing),
];

impl World {
    /// Does what is to go wrong, if it can now; returns whether it did.
    pub(super) fn break_something(&mut self) -> bool {
        let has_moved = self.moves == Moves::Moved;
        let polls = self.session.closed().is_none() && !has_moved;
        match self.fault {
            Fault::Nothing | Fault::BadCandidate => {}
            Fault::AbortedGet if self.get == Get::Asked && polls => {
                self.session.handle_get_lost();
                self.get = Get::No;
                self.is_alive = false;
            }
            Fault::AbortedPost if matches!(self.post, Post::Under(_)) && polls => {
                self.session.handle_post_broken();
                self.post = Post::No;
                self.is_alive = false;
            }
            Fault::DoubledGet if self.session.get_waits && polls => {
                assert_eq!(self.session.handle_get(), Err(Overlap));
                assert_eq!(self.session.closed(), Some(CloseReason::TransportError));
            }
            Fault::DoubledPost if self.session.has_post() && polls => {
                assert_eq!(self.session.handle_post(), Err(Overlap));
                assert_eq!(self.session.closed(), Some(CloseReason::TransportError));
            }
            Fault::Garbage => self.session.handle_garbage(),
            Fault::Silence => self.is_alive = false,
            Fault::BrokenWebsocket if has_moved => {
                self.session.handle_websocket_end(CloseReason::TransportClose);
                self.is_alive = false;
            }
            Fault::ClientCloses => {
                if self.session.handle_packet(PacketType::Close, self.now) {
                    panic!("no message");
                }
                self.was_told = true;
            }
            Fault::ServerCloses => self.session.close(CloseReason::ForcedClose, false, self.now),
            Fault::ServerClosesAt(step) if self.upgrade_is_at(step) => {
                for _ in 0..=self.random.below(2) {
                    self.session.send(&[Self::server_message(self.sent)]).unwrap();
                    self.sent += 1;
                }
                if step == Step::Writing {
                    self.give_websocket();
                }
                self.session.close(CloseReason::ForcedClose, false, self.now);
            }
            _ => return false,
        }
        true
    }

    fn upgrade_is_at(&self, step: Step) -> bool {
        let is_idle = self.get == Get::No && self.post == Post::No;
        self.session.is_open()
            && match (&self.moves, step) {
                (Moves::Connected(id), Step::Connected) | (Moves::Probing(id), Step::Probing) => {
                    self.session.has_candidate(*id)
                }
                (Moves::Pausing(id), Step::Pausing) => self.session.has_candidate(*id) && !is_idle,
                (Moves::Pausing(id), Step::Paused) => self.session.has_candidate(*id) && is_idle,
                (Moves::Moved, Step::Moved | Step::Writing) => true,
                _ => false,
            }
    }
}
