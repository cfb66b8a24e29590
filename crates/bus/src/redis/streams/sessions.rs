//! Decides who holds a session, in Redis itself: scripts compare and set in one step, so that two nodes never both get it.
//!
//! Beside a session's key lies a second one, in the same slot, with the epoch, the digest of the session as the holder wrote
//! it, and the holder's name. Both end at the same instant. Node takes a session by deleting its key and writes another one
//! when the client leaves it: then the second key is there without the first, or the digest is another one, and the
//! holder of before learns that it was taken.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value, cmd};
use sha1::{Digest as _, Sha1};

use super::patience::Patient;
use super::writer::is_final;
use super::{failed, session};
use crate::adapter::BusError;
use crate::log::{Adopted, Hold, Lease, Refreshed, Session};
use crate::node::NodeId;
use crate::redis::ask::Ask;

/// How many sessions are refreshed at a time.
const AT_ONCE: usize = 128;

/// How long a client's secret may be.
const MAX_SECRET: usize = 64;

/// Reads the second key into `epoch`, `digest` and `node`; all nil without one.
const OWNER: &str = "
local function owner()
  local text = redis.call('GET', KEYS[2])
  if not text then return nil end
  local epoch, digest, node = string.match(text, '^(%d+):(%x*):(.*)$')
  return tonumber(epoch), digest, node
end
local function own(epoch, value, node, ttl)
  redis.call('SET', KEYS[2], string.format('%.0f', epoch) .. ':' .. redis.sha1hex(value) .. ':' .. node, 'PX', ttl)
end
";

/// ARGV: value, milliseconds, node, epoch. Answers 1 if it is kept, and 0 if it is somebody else's.
static SAVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local value, epoch, digest, node = redis.call('GET', KEYS[1]), owner()
local mine = tonumber(ARGV[4])
if epoch then
  if not value or redis.sha1hex(value) ~= digest or epoch > mine or (epoch == mine and node ~= ARGV[3]) then return 0 end
elseif value then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
own(mine, ARGV[1], ARGV[3], ARGV[2])
return 1",
    )
});

/// ARGV: node, milliseconds, the epoch that was found in the session or nothing. Answers nothing if there is no session;
/// value, 0 and nothing if the epoch in the session is needed; else value, epoch and the holder of before.
static ADOPT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local value, epoch, digest, node = redis.call('GET', KEYS[1]), owner()
if not value then return false end
if not epoch then
  if ARGV[3] == '' then return {value, 0, ''} end
  epoch = tonumber(ARGV[3])
end
epoch = epoch + 1
own(epoch, value, ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {value, epoch, node or ''}",
    )
});

/// ARGV: milliseconds, node, epoch. Answers 1 if it is kept, 2 if it is somebody else's, 3 if it is gone.
static REFRESH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local value, epoch, digest, node = redis.call('GET', KEYS[1]), owner()
local mine = tonumber(ARGV[3])
if not value then return epoch and 2 or 3 end
if not epoch or epoch > mine or redis.sha1hex(value) ~= digest then return 2 end
if epoch < mine then return 3 end
if node ~= ARGV[2] then return 2 end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return 1",
    )
});

/// ARGV: node, epoch.
static FORGET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local value, epoch, digest, node = redis.call('GET', KEYS[1]), owner()
if epoch == tonumber(ARGV[2]) and node == ARGV[1] then
  if value and redis.sha1hex(value) == digest then redis.call('DEL', KEYS[1]) end
  redis.call('DEL', KEYS[2])
end
return 1",
    )
});

/// Why Redis does not give a session.
#[derive(Debug)]
pub(super) enum Unkept {
    /// It will not do so later either.
    Refused(BusError),
    /// It may be better soon.
    Failed(BusError),
}

/// The sessions that a Redis keeps.
#[derive(Clone)]
pub(super) struct Sessions {
    pub(super) connection: Patient,
    /// With what keys begin.
    pub(super) prefix: Arc<str>,
    pub(super) retention: Duration,
}

struct Script {
    text: String,
    digest: String,
}

impl Script {
    fn new(body: &str) -> Self {
        let text = format!("{OWNER}{body}");
        let mut digest = String::with_capacity(40);
        for byte in Sha1::digest(&text) {
            // Writing to a text does not fail.
            let _ = write!(digest, "{byte:02x}");
        }
        Self { text, digest }
    }

    /// Runs it; Redis gets its text only if it does not know it.
    async fn run<T: FromRedisValue>(
        &self,
        connection: &Patient,
        keys: &[String; 2],
        values: &[&[u8]],
    ) -> RedisResult<T> {
        let mut connection = connection.clone();
        let command = |name, script: &str| {
            let mut command = cmd(name);
            command.arg(script).arg(2).arg(keys).arg(values);
            command
        };
        match connection.ask(&command("EVALSHA", &self.digest)).await {
            Err(error) if is_unknown(&error) => connection.ask(&command("EVAL", &self.text)).await,
            answer => answer,
        }
    }
}

/// Says whether Redis does not know the script.
fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

impl Sessions {
    /// Returns the keys of a session; `None` for what is no secret of a client.
    fn keys(&self, secret: &str) -> Option<[String; 2]> {
        let is_plain = secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_plain || !(1..=MAX_SECRET).contains(&secret.len()) {
            return None;
        }
        let key = format!("{}{secret}", self.prefix);
        // A prefix with braces decides on the slot alone; else the whole key does.
        let owner = if key.contains('{') { format!("{key}:owner") } else { format!("{{{key}}}:owner") };
        Some([key, owner])
    }

    fn lifetime(&self) -> String {
        self.retention.as_millis().max(1).to_string()
    }

    pub(super) async fn save(&self, namespace: &str, kept: &Session, lease: &Lease) -> Result<Hold, BusError> {
        let keys = self
            .keys(&kept.secret)
            .ok_or(BusError::Unsupported("the secret of a session is 1 to 64 plain characters"))?;
        let value = session::write(namespace, kept, lease.epoch)?;
        let (lifetime, epoch) = (self.lifetime(), lease.epoch.to_string());
        let values = [value.as_bytes(), lifetime.as_bytes(), lease.node.as_str().as_bytes(), epoch.as_bytes()];
        let is_kept: bool = SAVE.run(&self.connection, &keys, &values).await.map_err(failed)?;
        Ok(if is_kept { Hold::Kept } else { Hold::Taken })
    }

    pub(super) async fn adopt(&self, namespace: &str, secret: &str, node: &NodeId) -> Result<Option<Adopted>, Unkept> {
        let Some(keys) = self.keys(secret) else { return Ok(None) };
        let lifetime = self.lifetime();
        let mut known = String::new();
        loop {
            let values = [node.as_str().as_bytes(), lifetime.as_bytes(), known.as_bytes()];
            let answer: Value = match ADOPT.run(&self.connection, &keys, &values).await {
                Err(error) if is_final(&error) => return Err(Unkept::Refused(failed(error))),
                answer => answer.map_err(|error| Unkept::Failed(failed(error)))?,
            };
            if answer == Value::Nil {
                return Ok(None);
            }
            let (value, epoch, former): (Vec<u8>, u64, String) =
                redis::from_redis_value(answer).map_err(|error| Unkept::Refused(failed(error.into())))?;
            let (session, written) = match session::read(namespace, secret, &value) {
                Ok(read) => read,
                Err(error) => {
                    tracing::warn!(namespace, %error, "a session that somebody keeps is none");
                    return Ok(None);
                }
            };
            if epoch == 0 && known.is_empty() {
                known = written.to_string();
                continue;
            }
            let former = (!former.is_empty()).then(|| NodeId::from(former)).filter(|former| former != node);
            return Ok(Some(Adopted { session, epoch, former }));
        }
    }

    pub(super) async fn refresh(&self, sessions: Vec<(Arc<str>, Lease)>) -> Result<Vec<Refreshed>, BusError> {
        let each = sessions.into_iter().map(|(secret, lease)| self.refresh_one(secret, lease));
        let answers: Vec<_> = stream::iter(each).buffered(AT_ONCE).collect().await;
        answers.into_iter().collect()
    }

    async fn refresh_one(&self, secret: Arc<str>, lease: Lease) -> Result<Refreshed, BusError> {
        let Some(keys) = self.keys(&secret) else { return Ok(Refreshed::Lost) };
        let (lifetime, epoch) = (self.lifetime(), lease.epoch.to_string());
        let values = [lifetime.as_bytes(), lease.node.as_str().as_bytes(), epoch.as_bytes()];
        let answer: u8 = REFRESH.run(&self.connection, &keys, &values).await.map_err(failed)?;
        Ok(match answer {
            1 => Refreshed::Kept,
            2 => Refreshed::Taken,
            _ => Refreshed::Lost,
        })
    }

    pub(super) async fn forget(&self, secret: &str, lease: &Lease) -> Result<(), BusError> {
        let Some(keys) = self.keys(secret) else { return Ok(()) };
        let epoch = lease.epoch.to_string();
        let values = [lease.node.as_str().as_bytes(), epoch.as_bytes()];
        FORGET.run(&self.connection, &keys, &values).await.map_err(failed)
    }
}
