//! Decides what the task of a polling session does: it keeps the time, and it tells the application of the end.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::alarm::Alarm;
use super::application::{Application, Receiver as _};
use super::core::{Entry, now};
use super::{Engine, Inner};
use limpet_proto::engineio::Transport;
use limpet_proto::engineio::session::CloseReason;

/// Runs until the session has ended or moved to a WebSocket, whose task goes on then.
pub(super) async fn drive<A: Application>(engine: Engine<A>, entry: Arc<Entry<A::Receiver>>) {
    let sleep = pin!(tokio::time::sleep(Duration::ZERO));
    let mut alarm = Alarm::new(sleep);
    let end = poll_fn(|cx| poll(&entry, &mut alarm, cx)).await;
    if let Some(reason) = end {
        engine.0.end(&entry, reason);
    }
}

/// Gives the reason when the session has ended, and none when it has moved.
fn poll<R>(entry: &Entry<R>, alarm: &mut Alarm<'_>, cx: &mut Context<'_>) -> Poll<Option<CloseReason>> {
    loop {
        let time = now();
        let until = entry.core.update(|state| {
            let session = &mut state.session;
            if session.poll_deadline().is_some_and(|at| time >= at) {
                session.handle_timeout(time);
            }
            if session.transport() == Transport::Websocket {
                return Err(None);
            }
            match session.closed() {
                Some(reason) if !session.has_post() => return Err(Some(reason)),
                _ => {}
            }
            let until = session.poll_deadline();
            state.wait_as_driver(cx, false, until);
            Ok(until)
        });
        match until {
            Err(end) => return Poll::Ready(end),
            Ok(until) => {
                if alarm.poll_until(until, time, cx).is_pending() {
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<A: Application> Inner<A> {
    /// Forgets a session that has ended, and tells the application.
    pub(super) fn end(self: &Arc<Self>, entry: &Entry<A::Receiver>, reason: CloseReason) {
        self.table.remove(&entry.core.sid);
        entry.receiver.close(reason);
        if self.spare.went(self.table.len()) {
            let engine = Arc::clone(self);
            tokio::spawn(async move { engine.spare.give_back(|| engine.table.len()).await });
        }
    }
}
