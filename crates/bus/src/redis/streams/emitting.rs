//! Decides how a process without clients adds to the streams: as `@socket.io/redis-streams-emitter` does, also for what is
//! for servers.
//!
//! What Redis did not confirm is added again, with the same counter, so that our nodes give it once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::{RedisResult, Value, cmd};
use tokio::time::{Instant, sleep};

use super::patience::is_passing;
use super::{Names, StreamsOptions, entry, failed};
use crate::adapter::BusError;
use crate::envelope::Message;
use crate::log::Offset;
use crate::node::random_u64;
use crate::redis::ask::Ask;
use crate::redis::message;

/// How often it is tried, and the pause before the next attempt, which doubles.
pub(super) const ATTEMPTS: (usize, Duration) = (5, Duration::from_millis(100));

/// How long Redis may take to take what leaves together.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// For how long the number of listeners is good.
const LISTENERS_AGE: Duration = Duration::from_secs(1);

/// What adds to the streams.
#[derive(Debug)]
pub(crate) struct Emitting {
    options: StreamsOptions,
    names: Names,
    publisher: String,
    counter: AtomicU64,
    /// The last place that Redis has confirmed.
    confirmed: Mutex<Option<Offset>>,
    /// How many nodes listened to a channel, and when.
    listeners: Mutex<Option<(String, u64, Instant)>>,
}

impl Emitting {
    pub(crate) fn new(options: &StreamsOptions) -> Self {
        Self {
            names: options.names(),
            options: options.clone(),
            publisher: format!("{:016x}", random_u64()),
            counter: AtomicU64::new(0),
            confirmed: Mutex::new(None),
            listeners: Mutex::new(None),
        }
    }

    pub(crate) fn options(&self) -> &StreamsOptions {
        &self.options
    }

    /// Adds a message, and returns how many nodes listen.
    pub(crate) async fn publish(
        &self,
        connection: &mut impl Ask,
        uid: &str,
        namespace: &str,
        message: &Message,
    ) -> Result<u64, BusError> {
        let Some(written) = message::write(message)? else { return Ok(0) };
        let (kind, data) = (written.kind, entry::data(written));
        let counter = self.counter.fetch_add(1, Ordering::Relaxed) + 1;
        let before = *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pause = ATTEMPTS.1;
        for attempt in 1.. {
            let mut command = redis::Cmd::new();
            entry::add(&mut command, &self.names.stream(namespace), self.options.max_len);
            entry::write(&mut command, uid, namespace, kind, &data);
            command.arg("publisher").arg(&self.publisher).arg("counter").arg(counter);
            if let Some(before) = before.filter(|_| attempt > 1) {
                command.arg("again").arg(before.to_string());
            }
            let answer: RedisResult<Value> = connection.ask(&command).await;
            match answer {
                Ok(id) => {
                    let mut confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
                    *confirmed = (*confirmed).max(entry::offset(&id));
                    break;
                }
                Err(error) if is_passing(&error) && attempt < ATTEMPTS.0 => sleep(pause).await,
                Err(error) => return Err(failed(error)),
            }
            pause *= 2;
        }
        self.listeners(connection, namespace).await
    }

    /// Returns how many nodes listen, or have done so a moment ago.
    async fn listeners(&self, connection: &mut impl Ask, namespace: &str) -> Result<u64, BusError> {
        let channel = self.names.public(namespace);
        let known = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((known, count, at)) = known
            && known == channel
            && at.elapsed() < LISTENERS_AGE
        {
            return Ok(count);
        }
        let mut question = cmd("PUBSUB");
        question.arg(if self.options.sharded_pubsub { "SHARDNUMSUB" } else { "NUMSUB" }).arg(&channel);
        let (_, count): (String, u64) = connection.ask(&question).await.map_err(failed)?;
        let now = Some((channel, count, Instant::now()));
        *self.listeners.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(count)
    }
}
