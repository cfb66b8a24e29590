//! Decides how commands are sent and answers read where both come in great numbers: many commands in one write, and answers
//! that are looked at where they lie.

use std::io;

use futures_util::FutureExt;
use limpet_proto::resp::{Frame, Reader, RespError, Value as Said};
use redis::{Cmd, ErrorKind, RedisError, RedisResult, Value, parse_redis_value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::ask::Ask;
use super::open::{Dialled, Duplex};

/// What is said of an answer that is longer than is read.
const TOO_LONG: &str = "an answer of Redis is too long";

/// A connection for commands that are answered in their order. Of no use any more after an error that is not one of Redis.
pub(super) struct Wire {
    stream: Box<dyn Duplex>,
    reader: Reader,
}

impl Wire {
    pub(super) async fn new(dialled: Dialled) -> RedisResult<Self> {
        Ok(Self { stream: dialled.introduce().await?, reader: Reader::default() })
    }

    /// Lets the answers to what is sent from now on have at most so many bytes.
    pub(super) fn limit(&mut self, max_answer: usize) {
        self.reader.limit(max_answer);
    }

    /// Whether it is known to be closed. Only while no answer is awaited.
    pub(super) fn is_closed(&mut self) -> bool {
        let read = self.stream.read_buf(self.reader.buffer()).now_or_never();
        matches!(read, Some(Ok(0) | Err(_)))
    }

    /// Sends commands and gives each of their `count` answers to the function.
    pub(super) async fn exchange(
        &mut self,
        commands: &[u8],
        count: usize,
        mut each: impl FnMut(usize, &Frame<'_>),
    ) -> RedisResult<()> {
        self.stream.write_all(commands).await?;
        self.stream.flush().await?;
        for number in 0..count {
            let frame = self.answer().await?;
            each(number, &frame);
        }
        Ok(())
    }

    async fn answer(&mut self) -> RedisResult<Frame<'_>> {
        while !self.reader.poll_frame().map_err(broken)? {
            if self.stream.read_buf(self.reader.buffer()).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(self.reader.frame())
    }
}

/// Returns what an answer says as an error, if it is one.
pub(super) fn refusal(frame: &Frame<'_>) -> Option<RedisError> {
    match frame.first()? {
        Said::Error(text) => Some(error(text)),
        _ => None,
    }
}

/// Returns an error of Redis as the redis crate knows it.
pub(super) fn error(text: &[u8]) -> RedisError {
    match parse_redis_value(&[b"-", text, b"\r\n"].concat()).and_then(Value::extract_error) {
        Err(error) => error,
        Ok(_) => RedisError::from((ErrorKind::Parse, "an error of Redis is none")),
    }
}

/// Says whether an answer was longer than is read.
pub(super) fn is_too_long(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Io && error.to_string().starts_with(TOO_LONG)
}

fn broken(error: RespError) -> RedisError {
    let what = match error {
        RespError::Malformed => "what came is not the protocol of Redis",
        RespError::TooLong => TOO_LONG,
    };
    RedisError::from((ErrorKind::Io, what))
}

impl Ask for Wire {
    async fn answer(&mut self, command: &Cmd) -> RedisResult<Value> {
        let mut answer = Ok(Value::Nil);
        self.exchange(&command.get_packed_command(), 1, |_, frame| answer = parse_redis_value(frame.bytes())).await?;
        answer?.extract_error()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_is_seen_before_anything_is_sent() {
        let (redis, ours) = tokio::io::duplex(100);
        let mut wire = Wire { stream: Box::new(ours), reader: Reader::default() };
        assert!(!wire.is_closed());
        drop(redis);
        assert!(wire.is_closed());
    }

    #[tokio::test]
    async fn answers_come_in_the_order_of_the_commands() {
        let (mut redis, ours) = tokio::io::duplex(5);
        let mut wire = Wire { stream: Box::new(ours), reader: Reader::default() };
        let answers = tokio::spawn(async move {
            let mut sent = [0; 4];
            redis.read_exact(&mut sent).await.unwrap();
            redis.write_all(b":1\r\n-ERR no\r\n$2\r\nhi\r\n").await.unwrap();
            sent
        });
        let mut said = Vec::new();
        wire.exchange(b"sent", 3, |number, frame| said.push((number, frame.bytes().to_vec()))).await.unwrap();
        let expected: [&[u8]; 3] = [b":1\r\n", b"-ERR no\r\n", b"$2\r\nhi\r\n"];
        assert_eq!(said, expected.into_iter().map(<[u8]>::to_vec).enumerate().collect::<Vec<_>>());
        assert_eq!(&answers.await.unwrap(), b"sent");
        // Nobody is left to answer.
        assert!(wire.exchange(b"more", 1, |_, _| ()).await.is_err());
    }

    #[test]
    fn an_answer_that_is_too_long_is_told_from_other_failures() {
        assert!(is_too_long(&broken(RespError::TooLong)));
        assert!(!is_too_long(&broken(RespError::Malformed)));
        assert!(!is_too_long(&io::Error::from(io::ErrorKind::UnexpectedEof).into()));
    }

    #[test]
    fn errors_of_redis_are_known_by_their_kind() {
        let moved = error(b"MOVED 42 10.0.0.1:6379");
        assert_eq!(moved.redirect_node(), Some(("10.0.0.1:6379", 42)));
        assert_eq!(error(b"WRONGTYPE no").code(), Some("WRONGTYPE"));
        assert_eq!(error(b"ERR no").kind(), ErrorKind::Server(redis::ServerErrorKind::ResponseError));
        // Nothing of it has to be known.
        assert!(!error(b"").is_io_error() && !error(b"\xff").is_io_error());
    }
}
