//! Decides how long a question to Redis is asked again when the connection is broken: a restart should not make a client
//! lose its session.

use std::time::Duration;

use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::{Instant, sleep};

use crate::redis::Kept;
use crate::redis::ask::Ask;

/// How long is tried.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause between attempts, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(300));

/// A connection for commands that do no harm when they are done twice: each is tried until there is an answer, or the time
/// is over.
#[derive(Clone)]
pub(super) struct Patient(pub(super) Kept);

impl Ask for Patient {
    async fn answer(&mut self, command: &Cmd) -> RedisResult<Value> {
        let end = Instant::now() + PATIENCE;
        let mut pause = PAUSE.0;
        loop {
            match self.0.answer(command).await {
                Err(error) if is_passing(&error) && Instant::now() < end => sleep(pause).await,
                answer => return answer,
            }
            pause = PAUSE.1.min(pause * 2);
        }
    }
}

/// Says whether it may be better soon.
pub(super) fn is_passing(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => true,
        ErrorKind::Server(kind) => matches!(kind, BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain),
        _ => error.is_connection_dropped(),
    }
}
