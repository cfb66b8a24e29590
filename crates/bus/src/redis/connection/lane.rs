//! Decides when one connection is given up: when it is closed, and when it is silent for too long.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Value, cmd};
use tokio::time::timeout;

use super::topology::{To, Topology};
use super::{PATIENCE, SLOW};
use crate::health::Meter;
use crate::redis::open::config;

/// One connection to one Redis.
#[derive(Clone)]
pub(super) struct Lane {
    pub(super) connection: MultiplexedConnection,
    is_broken: Arc<AtomicBool>,
}

impl Lane {
    /// Connects. `push` takes what comes without being asked for; that the connection is closed too.
    pub(super) async fn connect(
        topology: &Topology,
        to: &To,
        push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<Self> {
        let is_broken = Arc::new(AtomicBool::new(false));
        let breaks = is_broken.clone();
        // Who is silent is given up by `answer`.
        let config: AsyncConnectionConfig = config(None).set_push_sender(move |info: PushInfo| {
            if info.kind == PushKind::Disconnection {
                breaks.store(true, Ordering::Relaxed);
            }
            push(info);
            Ok::<(), std::convert::Infallible>(())
        });
        Ok(Self { connection: topology.connect(to, &config).await?, is_broken })
    }

    /// Returns the name of this run of Redis; nothing if this user may not ask.
    pub(super) async fn run(&mut self) -> RedisResult<String> {
        let answer: RedisResult<String> = cmd("INFO").arg("server").query_async(&mut self.connection).await;
        match answer {
            Ok(info) => Ok(info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default().to_owned()),
            Err(error) if error.is_io_error() => Err(error),
            Err(_) => Ok(String::new()),
        }
    }

    /// Whether nothing can be sent any more.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
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
    let silent = || RedisError::from((ErrorKind::Io, "Redis does not answer"));
    timeout(PATIENCE.saturating_sub(SLOW), answer).await.unwrap_or_else(|_| Err(silent()))
}

/// Whether an answer says that the command was not done and may be done later, or elsewhere.
pub(super) fn is_for_later(value: &Value) -> bool {
    use redis::ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
    let Value::ServerError(error) = value else { return false };
    matches!(error.kind(), Some(Ask | BusyLoading | ClusterDown | MasterDown | Moved | ReadOnly | TryAgain))
}
