//! Decides when a connection for commands is made anew: with the next command after it broke, and never twice at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use super::{Address, Connection, RESPONSE_TIMEOUT};
use crate::redis::ask::Ask;

/// A connection for commands that comes back. A command that fails is not repeated: who sent it knows whether it may be.
/// Clones share it.
#[derive(Clone)]
pub(crate) struct Kept(Arc<Inner>);

struct Inner {
    address: Address,
    response_timeout: Option<Duration>,
    current: Mutex<Option<Current>>,
}

#[derive(Clone)]
struct Current {
    /// Tells it from the next one.
    number: u64,
    connecting: Shared<BoxFuture<'static, RedisResult<Connection>>>,
}

impl Kept {
    /// Connects, and fails if that is not possible now. Each answer may take 5 seconds.
    pub(crate) async fn connect(address: Address) -> RedisResult<Self> {
        Self::connect_with(address, Some(RESPONSE_TIMEOUT)).await
    }

    /// Connects; each answer may take so long.
    pub(crate) async fn connect_with(address: Address, response_timeout: Option<Duration>) -> RedisResult<Self> {
        let kept = Self(Arc::new(Inner { address, response_timeout, current: Mutex::new(None) }));
        kept.get().await?;
        Ok(kept)
    }

    /// Returns the connection of now; waits while it is made.
    pub(crate) async fn get(&self) -> RedisResult<Connection> {
        self.current().await.map(|(_, connection)| connection)
    }

    async fn current(&self) -> RedisResult<(u64, Connection)> {
        let Current { number, connecting } = self.begin();
        match connecting.await {
            Ok(connection) => Ok((number, connection)),
            Err(error) => {
                self.leave(number);
                Err(error)
            }
        }
    }

    fn begin(&self) -> Current {
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = &*current {
            return current.clone();
        }
        let (address, timeout) = (self.0.address.clone(), self.0.response_timeout);
        let connecting = async move { address.connect(timeout).await }.boxed().shared();
        let number = NUMBERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        current.insert(Current { number, connecting }).clone()
    }

    /// Leaves a connection, so that the next command makes another one.
    fn leave(&self, number: u64) {
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| current.number == number) {
            *current = None;
        }
    }

    fn judge<T>(&self, number: u64, result: RedisResult<T>) -> RedisResult<T> {
        if result.as_ref().is_err_and(is_broken) {
            self.leave(number);
        }
        result
    }
}

static NUMBERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// Whether another connection may do better: this one is gone, is silent, or leads to what was a master.
pub(crate) fn is_broken(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown))
}

impl Ask for Kept {
    async fn answer(&mut self, command: &Cmd) -> RedisResult<Value> {
        let (number, mut connection) = self.current().await?;
        self.judge(number, connection.answer(command).await)
    }
}
