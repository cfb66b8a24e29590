//! Decides how long a question to Redis is asked again when the connection is broken: a restart should not make a client
//! lose its session.

use std::time::Duration;

use futures_util::FutureExt;
use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, ServerErrorKind, Value};
use tokio::time::{Instant, sleep};

use crate::redis::Kept;

/// How long is tried.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause between attempts, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(300));

/// A connection for commands that do no harm when they are done twice: each is tried until there is an answer, or the time
/// is over. Pipelines are tried once.
#[derive(Clone)]
pub(super) struct Patient(pub(super) Kept);

impl ConnectionLike for Patient {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        async move {
            let end = Instant::now() + PATIENCE;
            let mut pause = PAUSE.0;
            loop {
                match self.0.req_packed_command(cmd).await {
                    Err(error) if is_passing(&error) && Instant::now() < end => sleep(pause).await,
                    answer => return answer,
                }
                pause = PAUSE.1.min(pause * 2);
            }
        }
        .boxed()
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.0.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}

/// Says whether it may be better soon.
fn is_passing(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => true,
        ErrorKind::Server(kind) => matches!(kind, BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain),
        _ => error.is_connection_dropped(),
    }
}
