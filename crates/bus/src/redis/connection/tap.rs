//! Decides what of a connection that listens goes straight to who listens: what was published. All else goes on to the
//! redis crate, which asks for channels over the same connection and takes the answers.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use limpet_proto::resp::{Frame, Reader, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::Hear;
use crate::redis::open::Duplex;

/// How many messages are taken before others on the same thread have their turn: clients, and what is published.
const TURN: usize = 256;

/// A stream out of which what was published is taken.
pub(super) struct Tap {
    stream: Box<dyn Duplex>,
    reader: Reader,
    /// What goes on: a frame at most.
    rest: BytesMut,
    hear: Arc<Hear>,
}

impl Tap {
    pub(super) fn new(stream: Box<dyn Duplex>, hear: Arc<Hear>) -> Self {
        Self { stream, reader: Reader::default(), rest: BytesMut::new(), hear }
    }
}

impl AsyncRead for Tap {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, reader, rest, hear } = self.get_mut();
        let mut heard = 0;
        loop {
            if !rest.is_empty() {
                let len = rest.len().min(out.remaining());
                out.put_slice(&rest[..len]);
                rest.advance(len);
                return Poll::Ready(Ok(()));
            }
            if reader.poll_frame().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                let frame = reader.frame();
                match message(&frame) {
                    Some((channel, pattern, bytes)) => {
                        hear(channel, pattern, bytes);
                        heard += 1;
                    }
                    None => rest.extend_from_slice(frame.bytes()),
                }
                if heard == TURN && rest.is_empty() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                continue;
            }
            // The end goes on too.
            if ready!(pin!(stream.read_buf(reader.buffer())).poll(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Tap {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Returns channel, pattern and bytes of what was published; `None` for anything else.
fn message<'a>(frame: &'a Frame<'_>) -> Option<(&'a str, Option<&'a str>, Bytes)> {
    let mut values = frame.values();
    let Value::Push(count) = values.next()? else { return None };
    let pattern = match (values.bulk()?, count) {
        (b"message" | b"smessage", 3) => None,
        (b"pmessage", 4) => Some(values.bulk()?),
        _ => return None,
    };
    let (channel, bytes) = (values.bulk()?, values.bulk()?);
    // The name of a channel may be any bytes; ours are text.
    let text = |name| str::from_utf8(name).unwrap_or_default();
    Some((text(channel), pattern.map(text), frame.share(bytes)))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn what_was_published_is_heard_and_the_rest_goes_on() {
        let published =
            ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n>4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$2\r\ncd\r\n$0\r\n\r\n";
        let rest = ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n+PONG\r\n>2\r\n$7\r\nmessage\r\n$1\r\nc\r\n";
        let mut all = Vec::new();
        // The two in turn, so that each frame has others around it.
        for _ in 0..3 {
            all.extend_from_slice(published.as_bytes());
            all.extend_from_slice(rest.as_bytes());
        }
        let (mut redis, ours) = tokio::io::duplex(7);
        tokio::spawn(async move { redis.write_all(&all).await });
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = heard.clone();
        let hear = move |channel: &str, pattern: Option<&str>, bytes: Bytes| {
            hears.lock().unwrap().push((channel.to_owned(), pattern.map(str::to_owned), bytes));
        };
        let mut read = String::new();
        Tap::new(Box::new(ours), Arc::new(hear)).read_to_string(&mut read).await.unwrap();
        assert_eq!(read, rest.repeat(3));
        let each =
            [("c".to_owned(), None, Bytes::from_static(b"hi")), ("cd".to_owned(), Some("c*".to_owned()), Bytes::new())];
        assert_eq!(*heard.lock().unwrap(), [each.clone(), each.clone(), each].concat());
    }

    #[tokio::test]
    async fn what_redis_never_says_is_an_error() {
        let mut read = Vec::new();
        let tap = Tap::new(Box::new(io::Cursor::new(b"+OK\r\nnonsense\r\n".to_vec())), Arc::new(|_, _, _| ()));
        let error = { tap }.read_to_end(&mut read).await.unwrap_err();
        assert_eq!((read, error.kind()), (b"+OK\r\n".to_vec(), io::ErrorKind::InvalidData));
    }
}
