//! Decides how a client enters a namespace: as somebody new, or with the session that it had.
//!
//! A client that comes back and cannot go on where it was enters as somebody new; it never has a gap that it does not know
//! of. While the log cannot be reached it waits for some time, in which it has not entered.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use limpet_bus::recovery::{Lost, Recovery, Snapshot};
use limpet_proto::socketio::arguments::Arguments;
use serde_json::Value;
use tokio::time::Instant;

use super::Client;
use crate::engine::CloseReason;
use crate::error::ConnectError;
use crate::namespace::Namespace;
use crate::queue::{Job, panic_text};
use crate::reason::DisconnectReason;
use crate::socket::Socket;
use crate::socket::keep::Keep;
use crate::socket::life::NotReleased;

/// What a client is told when there is no namespace of this name.
const INVALID_NAMESPACE: &str = "Invalid namespace";

/// How long a new client waits for its session to be kept; then it enters, and the session is kept when that is possible.
const SAVE_WAIT: Duration = Duration::from_secs(2);

/// How long a client that comes back waits for a log that cannot be reached; then it enters as somebody new.
const LOG_WAIT: Duration = Duration::from_secs(20);

/// How long the log is left alone when it could not be reached.
const LOG_PAUSE: Duration = Duration::from_millis(250);

/// What a client that was here before says of it.
struct Claim {
    secret: String,
    /// The last offset that it has.
    offset: Option<String>,
}

/// How the return of a client went.
enum Return {
    /// It is in, was refused, or has gone.
    Done,
    /// It has to begin anew.
    Fresh,
    /// The log could not be reached.
    Again,
}

impl Client {
    pub(super) fn connect(self: &Arc<Self>, name: &str, auth: Option<Arguments>) {
        let Some(namespace) = self.server.claim(name, auth.as_ref()) else {
            self.lock().machine.handle_left(name);
            self.refuse(name, &ConnectError::new(INVALID_NAMESPACE));
            return;
        };
        if self.protocol != 4 && namespace.cluster().recovery().is_some() {
            let client = self.clone();
            self.begin(async move { client.enter_kept(&namespace, auth).await });
            return;
        }
        let id = self.server.socket_id(self.protocol, &self.connection, name);
        let middlewares = namespace.handlers().middlewares();
        let Some(socket) = self.socket_for(Socket::new(id, namespace, self.clone(), auth)) else { return };
        if middlewares.is_empty() {
            self.decide(&socket, Ok(()));
            return;
        }
        let client = self.clone();
        self.begin(async move {
            let outcome = check(&socket).await;
            client.decide(&socket, outcome);
        });
    }

    /// Begins something in place, and goes on in the background if it has to wait.
    fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut work = Box::pin(work);
        // Whoever must be woken polls again as a task.
        let mut context = Context::from_waker(Waker::noop());
        if work.as_mut().poll(&mut context).is_pending() {
            self.spawn(work);
        }
    }

    /// Notes a socket that is about to be connected; closes it if the client has gone.
    fn socket_for(&self, socket: Socket) -> Option<Socket> {
        {
            let mut state = self.lock();
            if !state.is_closed {
                state.sockets.push(socket.clone());
                return Some(socket);
            }
        }
        socket.close(DisconnectReason::TransportClose);
        None
    }

    /// Lets a client in whose session is kept.
    async fn enter_kept(self: &Arc<Self>, namespace: &Namespace, auth: Option<Arguments>) {
        let (claim, auth) = claim_of(auth);
        if let Some(claim) = &claim {
            let deadline = Instant::now() + LOG_WAIT;
            loop {
                match self.come_back(namespace, &auth, claim).await {
                    Return::Done => return,
                    Return::Fresh => break,
                    Return::Again if Instant::now() >= deadline || self.lock().is_closed => break,
                    Return::Again => tokio::time::sleep(LOG_PAUSE).await,
                }
            }
        }
        let id = self.server.socket_id(self.protocol, &self.connection, namespace.name());
        let socket = Socket::new(id, namespace.clone(), self.clone(), auth);
        let Some(socket) = self.socket_for(socket) else { return };
        let outcome = check(&socket).await;
        if outcome.is_ok()
            && let Some(recovery) = namespace.cluster().recovery()
        {
            keep_fresh(recovery, &socket, claim.and_then(|claim| claim.offset)).await;
        }
        self.decide(&socket, outcome);
    }

    /// Lets a client go on where it was, if that can be.
    async fn come_back(self: &Arc<Self>, namespace: &Namespace, auth: &Option<Arguments>, claim: &Claim) -> Return {
        let Some(recovery) = namespace.cluster().recovery() else { return Return::Fresh };
        let adoption = match recovery.adopt(&claim.secret, claim.offset.as_deref()).await {
            Ok(Some(adoption)) => adoption,
            Ok(None) => return Return::Fresh,
            Err(error) => {
                tracing::warn!(namespace = namespace.name(), %error, "a client that comes back has to wait");
                return Return::Again;
            }
        };
        let session = adoption.session();
        let socket = Socket::new(session.id.clone(), namespace.clone(), self.clone(), auth.clone());
        socket.keep_session(Keep::returning(adoption.holding().clone()));
        socket.restore(Snapshot { rooms: session.rooms.clone(), data: session.data.clone() });
        let Some(socket) = self.socket_for(socket) else { return Return::Done };
        if !namespace.skips_middlewares()
            && let Err(error) = check(&socket).await
        {
            self.decide(&socket, Err(error));
            return Return::Done;
        }
        if !socket.hold() {
            return self.left_out(&socket, Lost::Taken);
        }
        let missed = match recovery.missed(&adoption).await {
            Ok(missed) => missed,
            Err(lost) => return self.left_out(&socket, lost),
        };
        let Some(timer) = self.joined(namespace.name()) else { return Return::Done };
        match socket.release(&self.server.connect_reply(self.protocol, &socket), &missed) {
            Ok(()) => {}
            Err(NotReleased::TooMuch) => {
                tracing::debug!(socket = socket.id(), "a client has missed more than may wait for it");
                return self.left_out(&socket, Lost::Gap);
            }
            Err(NotReleased::Closed) => {
                self.refuse(namespace.name(), &ConnectError::new("disconnected"));
                return Return::Done;
            }
        }
        if let Some(timer) = timer {
            timer.abort();
        }
        if socket.resume(adoption) {
            socket.run_here(Job::Connection);
        } else {
            socket.fence();
        }
        Return::Done
    }

    /// Takes a socket back whose client does not go on where it was.
    fn left_out(&self, socket: &Socket, lost: Lost) -> Return {
        self.lock().sockets.retain(|other| other != socket);
        if !socket.abandon() {
            // It was closed meanwhile. If the client is still there, an application has disconnected it.
            self.refuse(socket.namespace().name(), &ConnectError::new("disconnected"));
            return Return::Done;
        }
        match lost {
            Lost::Gap => Return::Fresh,
            Lost::Bus(error) => {
                tracing::warn!(namespace = socket.namespace().name(), %error, "a client that comes back has to wait");
                Return::Again
            }
            Lost::Taken => {
                socket.namespace().released();
                // Nobody reads this: the client is connected elsewhere.
                self.connection.close(CloseReason::TransportClose, true);
                Return::Done
            }
        }
    }

    /// Lets a socket in, or refuses it.
    fn decide(&self, socket: &Socket, outcome: Result<(), ConnectError>) {
        let name = socket.namespace().name();
        match outcome {
            Ok(()) => {
                let Some(timer) = self.joined(name) else { return };
                if let Some(timer) = timer {
                    timer.abort();
                }
                let reply = self.server.connect_reply(self.protocol, socket);
                if socket.connect(&reply) {
                    socket.run_here(Job::Connection);
                } else {
                    // A middleware has disconnected it and let it in.
                    self.refuse(name, &ConnectError::new("disconnected"));
                }
            }
            Err(error) => {
                if self.lock().is_closed {
                    return;
                }
                self.left(socket);
                self.refuse(name, &error);
                socket.close(DisconnectReason::ServerNamespaceDisconnect);
            }
        }
    }

    /// Notes that the client is in, and returns the timer that is no longer needed; `None` if the client has gone.
    #[expect(clippy::option_option, reason = "there may be no timer any more")]
    fn joined(&self, namespace: &str) -> Option<Option<tokio::task::AbortHandle>> {
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        state.machine.handle_joined(namespace);
        Some(state.timer.take())
    }

    fn refuse(&self, namespace: &str, error: &ConnectError) {
        let parts = self.server.refusal(self.protocol, namespace, error);
        self.connection.send(&parts).ok();
    }
}

/// Lets the middlewares of the namespace look at a socket.
async fn check(socket: &Socket) -> Result<(), ConnectError> {
    let middlewares = socket.namespace().handlers().middlewares();
    let checks = async {
        for middleware in middlewares.iter() {
            middleware(socket.clone()).await?;
        }
        Ok(())
    };
    AssertUnwindSafe(checks).catch_unwind().await.unwrap_or_else(|panic| {
        tracing::error!(panic = panic_text(&*panic), "a middleware panicked");
        Err(ConnectError::new("internal error"))
    })
}

/// Keeps the session of a new client, if the system has randomness for a secret.
async fn keep_fresh(recovery: &Recovery, socket: &Socket, brought: Option<String>) {
    let Some(secret) = crate::random::secret() else { return };
    let snapshot = socket.snapshot();
    let Some(id) = snapshot.rooms.first().cloned() else { return };
    let holding = recovery.begin(&id, &secret, brought.as_deref(), snapshot);
    if tokio::time::timeout(SAVE_WAIT, recovery.saved(&holding)).await.is_err() {
        tracing::warn!(socket = socket.id(), "a session cannot be kept yet");
    }
    if !socket.keep_session(Keep::fresh(holding.clone())) {
        recovery.end(&holding, None);
    }
}

/// Reads what a client says of the session that it had. The rest of `auth` is for the application: the secret is not.
fn claim_of(auth: Option<Arguments>) -> (Option<Claim>, Option<Arguments>) {
    let Some(mut members) = auth.as_ref().and_then(|auth| auth.get::<serde_json::Map<String, Value>>(0).ok()) else {
        return (None, auth);
    };
    let Some(Value::String(secret)) = members.remove("pid") else { return (None, auth) };
    let offset = match members.remove("offset") {
        Some(Value::String(offset)) => Some(offset),
        _ => None,
    };
    let auth = Arguments::values(&(members,)).ok();
    (Some(Claim { secret, offset }), auth)
}
