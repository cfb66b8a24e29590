//! The life of a connection that speaks HTTP/1: requests come in, each is answered, until one side ends the connection or
//! it becomes a WebSocket.
//!
//! Who answers is asked before the connection is looked at again: so a poll has begun, and its session knows of it, before
//! the client can be seen to have gone. While an answer is waited for the connection is read on, a bounded way, to see that.

mod arrival;
mod date;
mod refusal;
mod reply;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service;

use self::arrival::{Arrival, Arrived, Rest};
use self::refusal::Refusal;
use self::reply::{Next, Reply};
use super::body::Body;
use super::ending::{End, Ending, Hearing};
use crate::engine::{Alarm, Request, now};
use crate::scratch;

/// How much is read ahead while a request is answered.
const AHEAD_BYTES: usize = 16 * 1024;

/// How much of what a client still sends is read and dropped after the last answer, and for how long.
const LINGER_BYTES: usize = 256 * 1024;
const LINGER: Duration = Duration::from_secs(2);

/// What a client that waits for it is told.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Serves a connection to its end.
pub(super) async fn serve<S>(
    stream: TcpStream,
    address: SocketAddr,
    mut service: S,
    ending: &Ending,
    patience: Duration,
) where
    S: Service<Request<Body>, Response = Response<Full<Bytes>>, Error = Infallible>,
{
    let notified = pin!(ending.notified());
    let sleep = pin!(tokio::time::sleep(Duration::ZERO));
    let mut connection = Connection {
        stream,
        arrival: Arrival::new(address),
        hearing: Hearing::new(ending, notified),
        alarm: Alarm::new(sleep),
        patience,
        until: None,
    };
    loop {
        let (request, mut rest) = match poll_fn(|cx| connection.poll_request(cx)).await {
            Wait::Over(Ok(request)) => request,
            Wait::Over(Err(refusal)) => return connection.refuse(refusal).await,
            Wait::TimedOut if connection.arrival.has_begun() => return connection.refuse(Refusal::Timeout).await,
            Wait::TimedOut | Wait::Gone => return,
        };
        let response = {
            let mut work = pin!(service.call(request));
            poll_fn(|cx| {
                loop {
                    if let Poll::Ready(Ok(response)) = work.as_mut().poll(cx) {
                        return Poll::Ready(Wait::Over(response));
                    }
                    // Either there is more for who works, or nobody waits for the work any more.
                    match ready!(connection.poll_meanwhile(&mut rest, cx)) {
                        Wait::Over(()) => {}
                        Wait::Gone => return Poll::Ready(Wait::Gone),
                        Wait::TimedOut => return Poll::Ready(Wait::TimedOut),
                    }
                }
            })
            .await
        };
        let response = match response {
            Wait::Over(response) => response,
            Wait::TimedOut => return connection.refuse(Refusal::Timeout).await,
            Wait::Gone => return,
        };
        let is_read = connection.arrival.skip(&mut rest);
        let may_go_on = rest.keeps_alive && is_read && connection.hearing.told() == End::No;
        let mut reply = Reply::new(response, &rest, may_go_on);
        if !connection.send(&mut reply).await {
            return;
        }
        match reply.next {
            Next::Request => {}
            Next::End if is_read => return drop(poll_fn(|cx| connection.poll_shutdown(cx)).await),
            Next::End => return connection.linger().await,
            Next::Takeover => {
                let Connection { stream, arrival, .. } = connection;
                let early = arrival.into_unused();
                if let Some(takeover) = rest.takeover
                    && !takeover.give(stream, early)
                {
                    tracing::debug!("nobody wants a connection that was granted an upgrade");
                }
                return;
            }
        }
    }
}

/// How a wait ends.
enum Wait<T> {
    /// With what was waited for.
    Over(T),
    /// The connection has ended, or is to end now.
    Gone,
    /// The client took too long.
    TimedOut,
}

/// A connection between two polls of its task.
struct Connection<'a, 'e> {
    stream: TcpStream,
    arrival: Arrival,
    hearing: Hearing<'a, 'e>,
    alarm: Alarm<'a>,
    /// How long the client may take for what it is waited for.
    patience: Duration,
    /// Until when it is waited for.
    until: Option<Instant>,
}

impl Connection<'_, '_> {
    /// Waits for a request.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Wait<Arrived>> {
        if let Some(arrived) = self.arrival.take() {
            return Poll::Ready(Wait::Over(arrived));
        }
        loop {
            let has_begun = self.arrival.has_begun();
            match self.arrival.poll_read(Pin::new(&mut self.stream), cx) {
                Poll::Ready(Ok(Some(arrived))) => {
                    self.until = None;
                    return Poll::Ready(Wait::Over(arrived));
                }
                Poll::Ready(Ok(None)) if self.arrival.has_begun() == has_begun => {}
                // A head has as long as an idle connection.
                Poll::Ready(Ok(None)) => self.until = None,
                Poll::Ready(Err(_)) => return Poll::Ready(Wait::Gone),
                Poll::Pending => {
                    self.until.get_or_insert_with(|| now() + self.patience);
                    // Who has begun is still answered.
                    let known = if has_begun { End::Gracefully } else { End::No };
                    return self.poll_stop(known, cx);
                }
            }
        }
    }

    /// Reads on while somebody works on the answer. Ready with `Over` when that one has something to read.
    fn poll_meanwhile(&mut self, rest: &mut Rest, cx: &mut Context<'_>) -> Poll<Wait<()>> {
        loop {
            let is_waited_for = self.arrival.feeds(rest, cx);
            if rest.was_fed() {
                self.until = None;
                return Poll::Ready(Wait::Over(()));
            }
            if is_waited_for {
                self.until.get_or_insert_with(|| now() + self.patience);
                while let Some(line) = rest.unsaid(CONTINUE) {
                    match Pin::new(&mut self.stream).poll_write(cx, line) {
                        Poll::Ready(Ok(count)) => rest.said += count,
                        Poll::Ready(Err(_)) => return Poll::Ready(Wait::Gone),
                        Poll::Pending => break,
                    }
                }
            } else {
                self.until = None;
            }
            if self.arrival.unused() >= AHEAD_BYTES {
                return self.poll_stop(End::Gracefully, cx);
            }
            match self.arrival.poll_read_ahead(Pin::new(&mut self.stream), cx) {
                Poll::Ready(Ok(())) => self.until = None,
                Poll::Ready(Err(_)) => return Poll::Ready(Wait::Gone),
                Poll::Pending => return self.poll_stop(End::Gracefully, cx),
            }
        }
    }

    /// Waits until more is told than is known, or the time is over.
    fn poll_stop<T>(&mut self, known: End, cx: &mut Context<'_>) -> Poll<Wait<T>> {
        if self.hearing.poll_more_than(known, cx).is_ready() {
            return Poll::Ready(Wait::Gone);
        }
        loop {
            let time = now();
            if self.until.is_some_and(|until| time >= until) {
                return Poll::Ready(Wait::TimedOut);
            }
            ready!(self.alarm.poll_until(self.until, time, cx));
        }
    }

    /// Sends an answer. `false` if the client does not take it.
    async fn send(&mut self, reply: &mut Reply) -> bool {
        self.until = None;
        let sent = poll_fn(|cx| {
            loop {
                match reply.poll_write(Pin::new(&mut self.stream), cx) {
                    Poll::Ready(Ok(true)) => return Poll::Ready(true),
                    // Who takes some of it may have as long again.
                    Poll::Ready(Ok(false)) => self.until = None,
                    Poll::Ready(Err(_)) => return Poll::Ready(false),
                    Poll::Pending => {
                        self.until.get_or_insert_with(|| now() + self.patience);
                        return self.poll_stop::<()>(End::Gracefully, cx).map(|_| false);
                    }
                }
            }
        });
        let sent = sent.await;
        self.until = None;
        sent
    }

    /// Answers what is no request, or has not come in time, and ends the connection.
    async fn refuse(&mut self, refusal: Refusal) {
        if self.send(&mut Reply::refusal(refusal)).await {
            self.linger().await;
        }
    }

    /// Ends our side, and lets the client end its own, so that it gets our last answer although it is still sending.
    async fn linger(&mut self) {
        self.until = Some(now() + LINGER);
        let mut left = LINGER_BYTES;
        poll_fn(|cx| {
            if ready!(self.poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            loop {
                match poll_drop(Pin::new(&mut self.stream), cx) {
                    Poll::Ready(Ok(count)) if count > 0 && count < left => left -= count,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.poll_stop::<()>(End::Gracefully, cx).map(drop),
                }
            }
        })
        .await;
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Reads once and drops what came; gives how much.
fn poll_drop(stream: Pin<&mut TcpStream>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    scratch::with(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        ready!(stream.poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    })
}
