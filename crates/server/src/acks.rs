//! Decides who waits for which acknowledgement of a client.
//!
//! Ids are counted by the namespace, so that one encoded event can ask many clients. Who has stopped waiting is forgotten
//! when the list would grow.

use std::collections::HashMap;
use std::sync::Weak;

use limpet_bus::cluster::OnAck;
use limpet_proto::socketio::arguments::Arguments;
use tokio::sync::oneshot;

/// The acknowledgements that a socket owes.
#[derive(Default)]
pub(crate) struct Acks {
    #[expect(clippy::box_collection, reason = "most sockets owe nothing, and should not keep room for it")]
    waiting: Option<Box<HashMap<u64, Waiter>>>,
}

/// Who waits.
pub(crate) enum Waiter {
    /// The future of one event.
    One(oneshot::Sender<Arguments>),
    /// The collector of a broadcast.
    Many(Weak<OnAck>),
}

impl Waiter {
    fn is_gone(&self) -> bool {
        match self {
            Self::One(sender) => sender.is_closed(),
            Self::Many(on_ack) => on_ack.strong_count() == 0,
        }
    }
}

impl Acks {
    /// Adds a waiter; says no when there are too many.
    pub(crate) fn add(&mut self, id: u64, waiter: Waiter, limit: usize) -> bool {
        let waiting = self.waiting.get_or_insert_default();
        if waiting.len() >= limit.min(waiting.capacity()) {
            waiting.retain(|_, waiter| !waiter.is_gone());
        }
        if waiting.len() >= limit {
            return false;
        }
        waiting.insert(id, waiter);
        true
    }

    /// Removes a waiter.
    pub(crate) fn remove(&mut self, id: u64) -> Option<Waiter> {
        let waiting = self.waiting.as_mut()?;
        let waiter = waiting.remove(&id);
        if waiting.is_empty() {
            self.waiting = None;
        }
        waiter
    }

    /// Removes all; who waits hears that no answer comes.
    pub(crate) fn clear(&mut self) {
        self.waiting = None;
    }
}
