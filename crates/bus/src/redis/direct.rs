//! Decides how a connection is kept to the one Redis that has a certain key: made anew with the next commands after it
//! broke, and led to another node of a Redis Cluster when the key has moved.

#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use limpet_proto::resp::{self, Frame, MAX_FRAME};
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value, parse_redis_value};
use tokio::time::timeout;

use super::ask::Ask;
use super::connection::{To, Topology};
use super::open::{Address, is_broken};
use super::wire::{Wire, refusal};

/// How often commands follow a key that moves.
const MAX_MOVES: usize = 4;

/// A connection for commands about one key. Commands that fail are not repeated, but for those that another node has to do.
pub(crate) struct Direct {
    topology: Topology,
    key: String,
    /// How long answers may take together.
    patience: Duration,
    /// How many bytes an answer may have.
    max_answer: usize,
    wire: Option<Wire>,
}

impl Direct {
    /// Connects, and fails if that is not possible now.
    pub(crate) async fn connect(address: Address, key: &str, patience: Duration) -> RedisResult<Self> {
        let mut direct =
            Self { topology: Topology::new(address), key: key.to_owned(), patience, max_answer: MAX_FRAME, wire: None };
        direct.wire = Some(direct.dial().await?);
        Ok(direct)
    }

    async fn dial(&mut self) -> RedisResult<Wire> {
        self.topology.know().await?;
        let to = self.topology.owner(&self.key).ok_or_else(|| {
            RedisError::from((ErrorKind::ClusterConnectionNotFound, "no node of the cluster has the slot of a stream"))
        })?;
        Wire::new(self.topology.dial(&to).await?).await
    }

    /// Lets the answers to what is sent from now on have at most so many bytes. One that has more breaks the connection.
    pub(super) fn limit(&mut self, max_answer: usize) {
        self.max_answer = max_answer;
    }

    /// Sends commands and gives each of their `count` answers to the function. An answer that is an error fails all of
    /// them; then the function may have got some answers, and gets them again if another node had to be asked.
    pub(crate) async fn exchange(
        &mut self,
        commands: &[u8],
        count: usize,
        mut each: impl FnMut(usize, &Frame<'_>) -> RedisResult<()>,
    ) -> RedisResult<()> {
        let mut asks = false;
        for _ in 0..MAX_MOVES {
            // One that was closed while nobody used it has lost nothing.
            let kept = self.wire.take().and_then(|mut wire| (!wire.is_closed()).then_some(wire));
            let mut wire = match kept {
                Some(wire) => wire,
                None => self.dial().await?,
            };
            wire.limit(self.max_answer);
            let result = timeout(self.patience, exchange(&mut wire, asks, commands, count, &mut each)).await;
            let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "Redis does not answer").into());
            let error = match result.unwrap_or_else(late) {
                Ok(()) => {
                    // Who was asked for once is not where the key is.
                    self.wire = Some(wire).filter(|_| !asks);
                    return Ok(());
                }
                Err(error) => error,
            };
            if let Some(to) = other(&error) {
                asks = error.kind() == ErrorKind::Server(ServerErrorKind::Ask);
                if !asks {
                    self.topology.doubt();
                }
                self.wire = Some(Wire::new(self.topology.dial(&to).await?).await?);
                continue;
            }
            // After anything but a word of Redis nobody knows what comes next.
            if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) && !is_broken(&error) {
                self.wire = Some(wire);
            } else {
                self.topology.doubt();
            }
            return Err(error);
        }
        Err(RedisError::from((ErrorKind::ClusterConnectionNotFound, "the slot of a stream moves on and on")))
    }
}

/// Returns the first answer that is an error, after all have come: the next ones are those of the next commands.
async fn exchange(
    wire: &mut Wire,
    asks: bool,
    commands: &[u8],
    count: usize,
    mut each: impl FnMut(usize, &Frame<'_>) -> RedisResult<()>,
) -> RedisResult<()> {
    if asks {
        let mut asking = Vec::new();
        resp::write_command(&[b"ASKING"], &mut asking);
        wire.exchange(&asking, 1, |_, _| ()).await?;
    }
    let mut result = Ok(());
    wire.exchange(commands, count, |number, frame| {
        if result.is_ok() {
            result = refusal(frame).map_or_else(|| each(number, frame), Err);
        }
    })
    .await?;
    result
}

/// Returns which node an error says has the key.
fn other(error: &RedisError) -> Option<To> {
    let (node, _) = error.redirect_node()?;
    let (host, port) = node.rsplit_once(':')?;
    // One that does not know its own name says nothing: the topology is asked.
    (!host.is_empty()).then_some(())?;
    Some(To::Node(host.into(), port.parse().ok()?))
}

impl Ask for Direct {
    async fn answer(&mut self, command: &Cmd) -> RedisResult<Value> {
        let mut answer = Value::Nil;
        let take = |_, frame: &Frame<'_>| parse_redis_value(frame.bytes()).map(|value| answer = value);
        self.exchange(&command.get_packed_command(), 1, take).await?;
        Ok(answer)
    }
}
