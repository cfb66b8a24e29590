//! Decides what the task of a WebSocket does: it reads, it writes what the session has to send, it keeps the time, and
//! it ends the connection.
//!
//! The task lives as long as the WebSocket, first as a candidate if the session polls. While nothing happens it holds no
//! buffer: it reads into memory that the thread's tasks share, and it writes from the messages themselves, all that wait
//! in one write. While the application takes its time over a message nothing is read.

mod accept;
mod frames;
mod socket;

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use limpet_proto::engineio::packet::PacketType;
use limpet_proto::engineio::session::{CandidateId, CandidateStep, CloseReason};
use limpet_proto::websocket::close::{CloseCode, close_frame};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Inner;
use super::alarm::Alarm;
use super::application::{Application, Incoming, Receiver as _};
use super::core::{Entry, now};
use frames::PROBE_PONG;

pub(super) use accept::{Asked, accept};
pub(super) use socket::{Event, Socket};

/// How long a client may take to answer our Close frame, and to end its side.
const CLOSING_TIME: Duration = Duration::from_secs(5);

/// How many packets may wait while messages that came together are delivered: what one write takes.
const TOGETHER: usize = 64;

/// What a turn of the task has come to.
enum Turn {
    /// A message is for the application.
    Deliver(Incoming),
    /// The session has ended.
    End(CloseReason),
}

/// Runs the WebSocket of a session that began on it, or that has moved to it, until the session and the connection
/// have ended. The socket is borrowed, since a future keeps room for whatever is moved through it.
pub(super) async fn run<A, S>(engine: &Arc<Inner<A>>, entry: &Arc<Entry<A::Receiver>>, socket: &mut Socket<S>)
where
    A: Application,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let sleep = pin!(tokio::time::sleep(Duration::ZERO));
    let mut alarm = Alarm::new(sleep);
    let reason = loop {
        match poll_fn(|cx| turn(entry, socket, &mut alarm, true, cx)).await {
            Turn::End(reason) => break reason,
            Turn::Deliver(message) => {
                let mut delivery = pin!(entry.receiver.message(message));
                poll_fn(|cx| {
                    if delivery.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(());
                    }
                    // The rest of the session goes on meanwhile; its end ends the delivery.
                    turn(entry, socket, &mut alarm, false, cx).map(drop)
                })
                .await;
            }
        }
    };
    engine.end(entry, reason);
    finish(socket, alarm).await;
}

/// Lets the session go on as far as it can. With `reads` messages are taken from the client.
fn turn<R, S: AsyncRead + AsyncWrite + Unpin>(
    entry: &Entry<R>,
    socket: &mut Socket<S>,
    alarm: &mut Alarm<'_>,
    reads: bool,
    cx: &mut Context<'_>,
) -> Poll<Turn> {
    let core = &entry.core;
    if reads && let Some(message) = take_next(entry, socket) {
        return Poll::Ready(Turn::Deliver(message));
    }
    loop {
        let time = now();
        // What was taken earlier is to be written before there is more.
        let is_behind = !socket.frames.is_empty();
        let next = core.update(|state| {
            let session = &mut state.session;
            if session.poll_deadline().is_some_and(|at| time >= at) {
                session.handle_timeout(time);
            }
            // A POST from before the upgrade has the word until it ends.
            let may_read = reads && !session.has_post();
            if !is_behind && let Some(batch) = session.poll_websocket() {
                socket.push_batch(core.version, batch);
            }
            if let Some(reason) = session.closed() {
                return Err(reason);
            }
            let until = session.poll_deadline();
            // The application's answer to a message is looked for when the message has been delivered.
            let delivers = may_read && socket.has_message();
            state.wait_as_driver(cx, !delivers && !is_behind, until);
            Ok((until, may_read))
        });
        let (until, may_read) = match next {
            Ok(next) => next,
            Err(reason) => {
                // What came before the end is still the application's, unless that has ended it.
                let by_us = matches!(reason, CloseReason::ForcedClose | CloseReason::ServerShuttingDown);
                if reads
                    && !by_us
                    && let Some(message) = socket.take_message()
                {
                    return Poll::Ready(Turn::Deliver(message));
                }
                return Poll::Ready(Turn::End(reason));
            }
        };
        match socket.poll_write(cx) {
            Poll::Ready(Ok(_)) => {
                if std::mem::take(&mut socket.was_blocked) {
                    core.update(|state| state.session.handle_blocked(false));
                }
                if is_behind {
                    // What came meanwhile has woken nobody.
                    continue;
                }
            }
            Poll::Ready(Err(_)) => {
                core.update(|state| state.session.handle_websocket_end(CloseReason::TransportClose));
                continue;
            }
            Poll::Pending => {
                socket.was_blocked = true;
                core.update(|state| {
                    state.session.handle_blocked(true);
                    state.wait_as_driver(cx, false, until);
                });
            }
        }
        if may_read {
            if let Some(message) = socket.take_message() {
                return Poll::Ready(Turn::Deliver(message));
            }
            if socket.poll_read(cx, &mut |event| take(entry, event, time)).is_ready() {
                // A pong leaves before the application has its say.
                if !socket.owes_pong()
                    && let Some(message) = socket.take_message()
                {
                    return Poll::Ready(Turn::Deliver(message));
                }
                continue;
            }
        }
        match alarm.poll_until(until, time, cx) {
            Poll::Ready(()) => {}
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// Takes the next of the messages that came together. The answers to these leave together: they are looked for when the last
/// message has been delivered, or has to wait for the application.
fn take_next<R, S: AsyncRead + AsyncWrite + Unpin>(entry: &Entry<R>, socket: &mut Socket<S>) -> Option<Incoming> {
    if !socket.has_message() || socket.owes_pong() || !socket.frames.is_empty() {
        return None;
    }
    let may_wait = entry.core.look(|session| session.is_open() && !session.has_post() && session.waiting() < TOGETHER);
    if may_wait { socket.take_message() } else { None }
}

/// Takes what the client sent on the transport; gives what is for the application, to be delivered in this turn or
/// behind what is.
fn take<R>(entry: &Entry<R>, event: Event, time: Instant) -> Option<Incoming> {
    let core = &entry.core;
    match event {
        Event::Packet(kind) => {
            core.update(|state| state.session.handle_packet(kind, time));
            None
        }
        Event::Message(message) => {
            let is_taken = core.update(|state| {
                let is_taken = state.session.handle_packet(PacketType::Message, time);
                if is_taken {
                    state.expect_driver();
                }
                is_taken
            });
            is_taken.then_some(message)
        }
        Event::Garbage => {
            core.update(|state| state.session.handle_garbage());
            None
        }
        Event::End(reason) => {
            core.update(|state| state.session.handle_websocket_end(reason));
            None
        }
    }
}

/// Runs a candidate until it has become the transport (`true`) or has been dismissed.
pub(super) async fn run_candidate<R, S>(entry: &Arc<Entry<R>>, socket: &mut Socket<S>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(id) = entry.core.update(|state| state.session.handle_candidate(now())) else {
        return false;
    };
    let _guard = Guard { entry, id };
    poll_fn(|cx| candidate_turn(entry, id, socket, cx)).await
}

fn candidate_turn<R, S: AsyncRead + AsyncWrite + Unpin>(
    entry: &Entry<R>,
    id: CandidateId,
    socket: &mut Socket<S>,
    cx: &mut Context<'_>,
) -> Poll<bool> {
    loop {
        let is_candidate = entry.core.update(|state| {
            let is_candidate = state.session.has_candidate(id);
            if is_candidate {
                state.candidate = Some((id, cx.waker().clone()));
            }
            is_candidate
        });
        if !is_candidate {
            return Poll::Ready(false);
        }
        match socket.poll_write(cx) {
            Poll::Ready(Ok(true)) => continue,
            Poll::Ready(Err(_)) => return Poll::Ready(false),
            Poll::Ready(Ok(false)) | Poll::Pending => {}
        }
        let mut step = None;
        let read = socket.poll_read_one(cx, &mut |packet| {
            let (taken, driver) = entry.core.update(|state| {
                let taken = state.session.handle_candidate_packet(id, packet, now());
                let driver = (taken == CandidateStep::Upgraded).then(|| state.hand_over()).flatten();
                (taken, driver)
            });
            if let Some(driver) = driver {
                driver.wake();
            }
            step = Some(taken);
        });
        match (step, read) {
            (Some(CandidateStep::Pong), _) => socket.frames.push_fixed(PROBE_PONG),
            (Some(CandidateStep::Upgraded), _) => return Poll::Ready(true),
            (Some(CandidateStep::Dismissed), _) | (None, Poll::Ready(false)) => return Poll::Ready(false),
            (None, Poll::Ready(true)) => {}
            (None, Poll::Pending) => return Poll::Pending,
        }
    }
}

/// Takes a candidate back when its task ends.
struct Guard<'a, R> {
    entry: &'a Entry<R>,
    id: CandidateId,
}

impl<R> Drop for Guard<'_, R> {
    fn drop(&mut self) {
        self.entry.core.update(|state| {
            state.session.handle_candidate_end(self.id);
            state.candidate = None;
        });
    }
}

/// Ends a connection that no session uses (any more): sends a Close frame and waits for that of the client.
pub(super) async fn close<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut Socket<S>) {
    let sleep = pin!(tokio::time::sleep(Duration::ZERO));
    finish(socket, Alarm::new(sleep)).await;
}

async fn finish<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut Socket<S>, mut alarm: Alarm<'_>) {
    let code = socket.close_code.unwrap_or(CloseCode::NO_STATUS);
    socket.frames.discard();
    if !socket.is_broken {
        socket.frames.push_own(close_frame(code, "", None).as_bytes().into());
    }
    let until = now() + CLOSING_TIME;
    poll_fn(|cx| match poll_goodbye(socket, cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => alarm.poll_until(Some(until), now(), cx),
    })
    .await;
}

/// Writes what is left, waits for the end of the client's side, and ends our own.
fn poll_goodbye<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut Socket<S>, cx: &mut Context<'_>) -> Poll<()> {
    let mut written = socket.poll_write(cx);
    while !socket.has_ended {
        ready!(socket.poll_read(cx, &mut |_| None));
        written = socket.poll_write(cx);
    }
    if socket.is_broken || ready!(written).is_err() {
        return Poll::Ready(());
    }
    socket.poll_shutdown(cx)
}
