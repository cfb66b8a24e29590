//! Decides what a socket keeps for the return of its client, and what is held back while the client is on its way in.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use limpet_bus::recovery::{Holding, Stamp};
use limpet_proto::engineio::message::Message;

/// The session of a socket whose client can come back.
pub(crate) struct Keep {
    pub(crate) holding: Holding,
    /// Whether the client has come back.
    pub(crate) is_recovered: bool,
    /// What came for the client before it has got what it missed.
    held: Mutex<Option<Held>>,
    stage: Mutex<Stage>,
}

/// Whether the session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is not yet known whether the client goes on where it was.
    Open,
    /// This node keeps it.
    Begun,
    /// The socket has ended.
    Over,
}

/// Events that are held back, up to the bounds on what may wait for a client.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) events: Vec<(Stamp, Vec<Message>)>,
    pub(crate) bytes: usize,
    /// Whether there were too many; then they are forgotten, and the client begins anew.
    pub(crate) is_over: bool,
}

impl Keep {
    /// Keeps a session that is new.
    pub(crate) fn fresh(holding: Holding) -> Self {
        Self { holding, is_recovered: false, held: Mutex::new(None), stage: Mutex::new(Stage::Begun) }
    }

    /// Keeps a session whose client comes back. Events are held back until they are [taken](Self::held).
    pub(crate) fn returning(holding: Holding) -> Self {
        let held = Mutex::new(Some(Held::default()));
        Self { holding, is_recovered: true, held, stage: Mutex::new(Stage::Open) }
    }

    /// Lets the session go on. Returns whether the socket can go on: not if the function says no. If the socket has ended
    /// before, the session stays as it is, so that the client can try again.
    pub(crate) fn go_on(&self, resume: impl FnOnce() -> bool) -> bool {
        let mut stage = self.stage();
        if *stage == Stage::Over {
            return true;
        }
        let goes_on = resume();
        *stage = if goes_on { Stage::Begun } else { Stage::Over };
        goes_on
    }

    /// Notes that the socket ends. Returns whether there is a session that ends with it.
    pub(crate) fn finish(&self) -> bool {
        std::mem::replace(&mut *self.stage(), Stage::Over) == Stage::Begun
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds an event back, if events are held back now; returns whether they are. Only what is in the log is kept: the
    /// rest is for clients that are connected.
    pub(crate) fn hold_back(&self, stamp: Stamp, parts: &[Message], max_messages: usize, max_bytes: usize) -> bool {
        let mut held = self.held();
        let Some(held) = &mut *held else { return false };
        if held.is_over || !matches!(stamp, Stamp::Own(_)) {
            return true;
        }
        held.bytes = held.bytes.saturating_add(parts.iter().map(|part| part.payload().len()).sum());
        held.events.push((stamp, parts.to_vec()));
        if held.events.len() > max_messages || held.bytes > max_bytes {
            *held = Held { is_over: true, ..Held::default() };
        }
        true
    }

    /// Returns what is held back. As long as it is locked, nothing reaches the client.
    pub(crate) fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Keep {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keep").field("is_recovered", &self.is_recovered).finish_non_exhaustive()
    }
}
