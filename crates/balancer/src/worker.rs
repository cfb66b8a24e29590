//! What the tasks of one worker share. A worker is a thread with its own runtime, listeners, idle connections and tunnels.

pub mod thread;

use std::cell::RefCell;
use std::sync::Arc;

use crate::shared::Shared;
use crate::tunnel::Engine;
use crate::upstream::pool::Pool;

/// What the tasks of one worker share.
#[derive(Debug)]
pub struct Worker {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// The idle connections to endpoints.
    pub pool: RefCell<Pool>,
    /// The tunnels.
    pub engine: Engine,
}

impl Worker {
    /// Returns whether the process is about to end.
    pub fn is_stopping(&self) -> bool {
        self.shared.is_stopping()
    }
}
