//! Decides what becomes of what one client sends: which socket it is for, who may join, and when the client is too late.
//!
//! How it enters a namespace is decided in `enter`.
//!
//! A client is one Engine.IO session with the sockets of its namespaces. Its lock is never held while handlers, hubs or
//! other sockets are called.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use limpet_proto::engineio::message::Message;
use limpet_proto::socketio::arguments::Arguments;
use limpet_proto::socketio::connection::{Connection as Machine, Received};
use limpet_proto::socketio::packet::Kind;
use tokio::task::AbortHandle;

use crate::ack::Ack;
use crate::acks::Waiter;
use crate::emitter::acks;
use crate::engine::{CloseReason, Connection, Handshake, Incoming, Receiver, Version};
use crate::event::Event;
use crate::handler::Work;
use crate::queue::Job;
use crate::reason::DisconnectReason;
use crate::server::ServerInner;
use crate::socket::Socket;

mod enter;

pub(crate) struct Client {
    server: Arc<ServerInner>,
    connection: Connection,
    handshake: Arc<Handshake>,
    protocol: u8,
    state: Mutex<State>,
}

struct State {
    machine: Machine,
    /// The sockets that are connected or about to be.
    sockets: Vec<Socket>,
    is_closed: bool,
    /// Closes the session if no namespace is joined in time.
    timer: Option<AbortHandle>,
}

impl Client {
    pub(crate) fn open(server: Arc<ServerInner>, connection: &Connection, handshake: Arc<Handshake>) -> Arc<Self> {
        let mut machine = server.machine(connection);
        let first = machine.handle_open();
        let client = Arc::new(Self {
            connection: connection.clone(),
            handshake,
            protocol: if connection.version() == Version::V3 { 4 } else { 5 },
            state: Mutex::new(State { machine, sockets: Vec::new(), is_closed: false, timer: None }),
            server,
        });
        if let Some(received) = first {
            client.take(received);
        }
        client.limit_connect_time();
        client
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn handshake(&self) -> Arc<Handshake> {
        self.handshake.clone()
    }

    /// Returns the version of the Socket.IO protocol.
    pub(crate) fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Runs something in the background.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.server.spawn(work);
    }

    /// Writes a packet as the messages that carry it.
    pub(crate) fn encode(
        &self,
        kind: Kind,
        namespace: &str,
        id: Option<u64>,
        arguments: Option<&Arguments>,
    ) -> Vec<Message> {
        self.server.options.parser.encode(kind, namespace, id, arguments)
    }

    /// Disconnects all sockets, and then the session. What was emitted before arrives before.
    pub(crate) fn disconnect(self: &Arc<Self>) {
        let next = self.lock().sockets.first().cloned();
        let Some(socket) = next else { return self.close() };
        let client = self.clone();
        let namespace = socket.namespace().clone();
        namespace.cluster().in_order(move || {
            socket.leave_namespace(DisconnectReason::ServerNamespaceDisconnect);
            // One less than before.
            client.disconnect();
        });
    }

    /// Closes the connection once what waits has left. The sockets may recover.
    pub(crate) fn close(&self) {
        self.connection.close(CloseReason::ForcedClose, false);
    }

    /// Forgets a socket.
    pub(crate) fn left(&self, socket: &Socket) {
        let mut state = self.lock();
        let before = state.sockets.len();
        state.sockets.retain(|other| other != socket);
        if state.sockets.len() < before {
            state.machine.handle_left(socket.namespace().name());
        }
    }

    fn limit_connect_time(self: &Arc<Self>) {
        let mut state = self.lock();
        let Some(deadline) = state.machine.poll_deadline() else { return };
        let client = Arc::downgrade(self);
        state.timer = self.server.spawn(async move {
            tokio::time::sleep_until(deadline.into()).await;
            if let Some(client) = client.upgrade() {
                client.too_late();
            }
        });
    }

    fn too_late(&self) {
        let is_late = self.lock().machine.handle_timeout(now());
        if is_late {
            tracing::debug!(sid = ?self.connection.sid(), "no namespace was joined in time");
            self.cut_off();
        }
    }

    /// Ends a client that does not do as it should.
    fn cut_off(&self) {
        let sockets = std::mem::take(&mut self.lock().sockets);
        for socket in sockets {
            socket.close(DisconnectReason::ForcedServerClose);
        }
        self.connection.close(CloseReason::ForcedClose, false);
    }

    /// Acts on what was received; returns the socket if its queue is full.
    fn take(self: &Arc<Self>, received: Received) -> Option<Socket> {
        match received {
            Received::Connect { namespace, auth } => {
                self.connect(&namespace, auth);
                None
            }
            Received::Event { namespace, id, arguments } => {
                let socket = self.socket(&namespace).filter(Socket::connected)?;
                let ack = id.map_or_else(Ack::default, |id| Ack::wanted(socket.clone(), id));
                let waiting = socket.submit_here(Job::Event(Event { arguments, ack }));
                (waiting >= self.server.options.max_waiting_events).then_some(socket)
            }
            Received::Ack { namespace, id, arguments } => {
                let socket = self.socket(&namespace)?;
                // Who no longer waits has dropped the receiver, or the collector.
                let waiter = acks(&socket).remove(id);
                match waiter {
                    Some(Waiter::One(sender)) => {
                        sender.send(arguments).ok();
                    }
                    Some(Waiter::Many(on_ack)) => {
                        if let Some(on_ack) = on_ack.upgrade() {
                            on_ack(arguments);
                        }
                    }
                    None => {}
                }
                None
            }
            Received::Disconnect { namespace } => {
                let socket = self.socket(&namespace)?;
                self.left(&socket);
                socket.close(DisconnectReason::ClientNamespaceDisconnect);
                None
            }
        }
    }

    fn socket(&self, namespace: &str) -> Option<Socket> {
        self.lock().sockets.iter().find(|socket| socket.namespace().name() == namespace).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes what a client's session receives. Empty if the server was gone when the client came.
pub struct Session(pub(crate) Option<Arc<Client>>);

impl Receiver for Session {
    /// Does everything at once, so that the task of an idle session keeps no room for it. Only a full queue is waited for.
    fn message(&self, message: Incoming) -> impl Future<Output = ()> + Send {
        let client = self.0.as_ref();
        let full = client.and_then(|client| Some((client.receive(message)?, client.server.options.max_waiting_events)));
        let room: Option<Work> =
            full.map(|(socket, limit)| -> Work { Box::pin(async move { socket.room_for_more(limit).await }) });
        async move {
            if let Some(room) = room {
                room.await;
            }
        }
    }

    fn close(&self, reason: CloseReason) {
        if let Some(client) = &self.0 {
            client.closed(reason);
        }
    }
}

impl Client {
    /// Acts on a message; returns a socket for whose handlers too much waits.
    fn receive(self: &Arc<Self>, message: Incoming) -> Option<Socket> {
        let received = {
            let mut state = self.lock();
            if state.is_closed {
                return None;
            }
            match message {
                Incoming::Text(text) => state.machine.handle_text(&text, now()),
                Incoming::Binary(bytes) => state.machine.handle_binary(bytes, now()),
            }
        };
        match received {
            Ok(received) => self.take(received?),
            Err(error) => {
                tracing::debug!(sid = ?self.connection.sid(), %error, "a client breaks the rules");
                if error.is_about_state() {
                    self.cut_off();
                } else {
                    self.connection.close(CloseReason::ForcedClose, false);
                }
                None
            }
        }
    }

    fn closed(&self, reason: CloseReason) {
        let (sockets, timer) = {
            let mut state = self.lock();
            state.is_closed = true;
            (std::mem::take(&mut state.sockets), state.timer.take())
        };
        if let Some(timer) = timer {
            timer.abort();
        }
        for socket in sockets {
            socket.close(reason.into());
        }
    }
}

/// The time of the runtime, so that tests can stop it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
