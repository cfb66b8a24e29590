//! What all connections for commands have in common, whoever keeps them open and reads from them.

use std::future::Future;

use redis::{Cmd, FromRedisValue, RedisResult, Value, from_redis_value};

/// A connection that takes commands, one at a time.
pub(crate) trait Ask: Send {
    /// Sends a command and returns what Redis says to it.
    fn answer(&mut self, command: &Cmd) -> impl Future<Output = RedisResult<Value>> + Send;

    /// Sends a command and reads the answer as a type; one that is an error fails.
    fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> impl Future<Output = RedisResult<T>> + Send {
        async { Ok(from_redis_value(self.answer(command).await?.extract_error()?)?) }
    }
}
