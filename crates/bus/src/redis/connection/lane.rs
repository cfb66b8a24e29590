//! Decides what a connection that listens is, and when any is given up: when it is closed, and when it is silent for too
//! long.

use std::future::Future;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, PushInfo, RedisError, RedisResult, Value, cmd};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::tap::Tap;
use super::topology::{To, Topology};
use super::{Hear, PATIENCE, SLOW};
use crate::health::Meter;
use crate::redis::open::CONNECTION_TIMEOUT;

/// One connection to one Redis, on which channels are asked for and heard.
#[derive(Clone)]
pub(super) struct Lane {
    pub(super) connection: MultiplexedConnection,
    _driver: Arc<Driver>,
}

/// What reads and writes. It ends with the last user of the connection.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Lane {
    /// Connects. `hear` takes what is published, and `push` all else that comes without being asked for; that the connection
    /// is closed too.
    pub(super) async fn connect(
        topology: &Topology,
        to: &To,
        hear: Arc<Hear>,
        push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<Self> {
        // Who is silent is given up by `answer`.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_push_sender(move |info: PushInfo| {
            push(info);
            Ok::<(), std::convert::Infallible>(())
        });
        let dialled = topology.dial(to).await?;
        let made = MultiplexedConnection::new_with_config(&dialled.settings, Tap::new(dialled.stream, hear), config);
        let (connection, driver) = timeout(CONNECTION_TIMEOUT, made).await.unwrap_or_else(|_| Err(silent()))?;
        let driver = Driver(tokio::spawn(driver).abort_handle());
        Ok(Self { connection, _driver: Arc::new(driver) })
    }
}

/// How a connection is asked whether it is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// A Redis alone is, if it answers.
    Ping,
    /// One that Sentinels named is, as long as it is the master.
    Role,
    /// A node of a cluster is, as long as it is not cut off from the others.
    Cluster,
}

/// What it says.
pub(super) enum Told {
    Well,
    /// It waits for better days.
    Down(&'static str),
    /// Others have taken its place.
    Elsewhere,
}

impl Question {
    pub(super) async fn ask(self, lane: &mut Lane) -> RedisResult<Told> {
        match self {
            Self::Ping => lane.connection.send_packed_command(&cmd("PING")).await.map(|_| Told::Well),
            Self::Role => {
                let answer = lane.connection.send_packed_command(&cmd("ROLE")).await?;
                let is_master = match answer {
                    Value::Array(words) => matches!(words.first(), Some(Value::BulkString(role)) if role == b"master"),
                    // Who may not ask is not told.
                    _ => true,
                };
                Ok(if is_master { Told::Well } else { Told::Elsewhere })
            }
            Self::Cluster => {
                let answer: RedisResult<String> = cmd("CLUSTER").arg("INFO").query_async(&mut lane.connection).await;
                match answer {
                    Ok(info) if info.contains("cluster_state:fail") => {
                        Ok(Told::Down("the Redis Cluster says that it is down"))
                    }
                    Err(error) if error.is_io_error() => Err(error),
                    _ => Ok(Told::Well),
                }
            }
        }
    }
}

/// Waits for an answer: says soon that Redis is silent, and gives up late.
pub(super) async fn answer<T>(
    meter: &Meter,
    part: &'static str,
    answer: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    let mut answer = std::pin::pin!(answer);
    if let Ok(answer) = timeout(SLOW, &mut answer).await {
        return answer;
    }
    meter.begin(part, "Redis does not answer");
    timeout(PATIENCE.saturating_sub(SLOW), answer).await.unwrap_or_else(|_| Err(silent()))
}

fn silent() -> RedisError {
    RedisError::from((ErrorKind::Io, "Redis does not answer"))
}

/// Whether an error says that the command was not done and may be done later, or elsewhere.
pub(super) fn is_for_later(error: &RedisError) -> bool {
    use redis::ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
    let ErrorKind::Server(kind) = error.kind() else { return false };
    matches!(kind, Ask | BusyLoading | ClusterDown | MasterDown | Moved | ReadOnly | TryAgain)
}
