//! Decides which sockets an application means, and what it can do with all of them at once, on all nodes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use limpet_bus::{BusError, Flags, Missing, Targets};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::emitter::event;
use crate::error::{AckError, ArgumentError, BroadcastAckError, EmitError};
use crate::namespace::Namespace;
use crate::remote::RemoteSocket;
use crate::rooms::IntoRooms;

/// Sockets of a namespace, by rooms, on all nodes that are joined. What is done with them is done once for each socket.
///
/// ```no_run
/// # async fn example(io: limpet_server::Server) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// io.to("news").except("muted").emit("headline", "it rains")?;
/// io.in_room("lobby").sockets_join("hall");
/// let answers: Vec<String> = io.timeout(Duration::from_secs(2)).emit_with_ack("ready?", ()).await?;
/// let there = io.in_room("hall").fetch_sockets().await;
/// println!("{} answers, {} sockets, {} nodes silent", answers.len(), there.sockets.len(), there.missing.nodes.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a broadcast does nothing until it emits"]
pub struct Broadcast {
    namespace: Namespace,
    targets: Targets,
    flags: Flags,
}

/// The sockets that were found, and the nodes that did not answer in time.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Fetched {
    /// The sockets of the nodes that answered, this one among them.
    pub sockets: Vec<RemoteSocket>,
    /// The nodes that did not answer.
    pub missing: Missing,
    /// Why the other nodes were not asked, if they could not be: then there are the sockets of this node alone.
    pub error: Option<Arc<BusError>>,
}

impl Broadcast {
    pub(crate) fn new(namespace: Namespace, targets: Targets, flags: Flags) -> Self {
        Self { namespace, targets, flags }
    }

    /// Means sockets in these rooms too.
    pub fn to(mut self, rooms: impl IntoRooms) -> Self {
        self.targets.rooms.append(&mut rooms.into_rooms());
        self
    }

    /// As [`to`](Self::to).
    pub fn in_room(self, rooms: impl IntoRooms) -> Self {
        self.to(rooms)
    }

    /// Leaves the sockets in these rooms out.
    pub fn except(mut self, rooms: impl IntoRooms) -> Self {
        self.targets.except.append(&mut rooms.into_rooms());
        self
    }

    /// Drops the event for clients that cannot take it right now.
    pub fn volatile(mut self) -> Self {
        self.flags.volatile = true;
        self
    }

    /// Means the sockets of this node only.
    pub fn local(mut self) -> Self {
        self.flags.local = true;
        self
    }

    /// Says whether the transport may compress what is sent; on unless switched off.
    pub fn compress(mut self, compress: bool) -> Self {
        self.flags.compress = compress;
        self
    }

    /// Limits the wait for acknowledgements, and for other nodes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.flags.timeout = Some(timeout);
        self
    }

    /// Sends an event. It is written once, however many get it. A tuple is several arguments, `()` is none.
    ///
    /// # Errors
    /// [`EmitError`] when the name is reserved, the arguments cannot be written, or the other nodes cannot be told.
    pub fn emit(&self, name: &str, arguments: impl Serialize) -> Result<(), EmitError> {
        let arguments = event(name, &arguments)?;
        Ok(self.namespace.cluster().broadcast(arguments, self.targets.clone(), self.flags)?)
    }

    /// Sends an event as [`emit`](Self::emit) does, and waits until the bus has it, so that it is not lost with this server.
    /// The event is queued at once, even before the future is awaited.
    ///
    /// An adapter without a log says so as soon as the event is queued. With [`Options::recovery`] the clients get the event
    /// when it comes back from the log, which may be later.
    ///
    /// ```no_run
    /// # async fn example(io: limpet_server::Server) -> Result<(), limpet_server::EmitError> {
    /// io.to("orders").emit_confirmed("paid", 17).await?;
    /// // From here on it is safe to forget the order.
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`Options::recovery`]: crate::Options::recovery
    ///
    /// # Errors
    /// As [`emit`](Self::emit), and when the bus does not take the event; then it may have arrived all the same.
    pub fn emit_confirmed(&self, name: &str, arguments: impl Serialize) -> BoxFuture<'static, Result<(), EmitError>> {
        let queued = event(name, &arguments)
            .map(|arguments| self.namespace.cluster().broadcast_confirmed(arguments, self.targets.clone(), self.flags));
        Box::pin(async move { Ok(queued?.await?) })
    }

    /// Sends an event and collects the first argument of each client's acknowledgement, in the order in which they come.
    ///
    /// Waits for the [`timeout`](Self::timeout), and 5 s without.
    ///
    /// # Errors
    /// [`BroadcastAckError`] when not all clients have answered in time, or an answer is not of this type; with the
    /// answers that came.
    pub async fn emit_with_ack<R: DeserializeOwned>(
        &self,
        name: &str,
        arguments: impl Serialize,
    ) -> Result<Vec<R>, BroadcastAckError<R>> {
        let failed = |error: AckError| BroadcastAckError {
            answers: Vec::new(),
            missing: 0,
            missing_nodes: Missing::default(),
            error: Some(error),
        };
        let arguments = event(name, &arguments).map_err(|error| failed(error.into()))?;
        let acks = self.namespace.cluster().broadcast_with_ack(arguments, self.targets.clone(), self.flags).await;
        let mut error = acks.error.map(|error| AckError::Emit(error.into()));
        let mut answers = Vec::with_capacity(acks.answers.len());
        for answer in acks.answers {
            match answer.get(0) {
                Ok(answer) => answers.push(answer),
                Err(cause) => error = Some(ArgumentError { index: 0, cause: cause.to_string() }.into()),
            }
        }
        if acks.missing == 0 && acks.missing_nodes.is_empty() && error.is_none() {
            return Ok(answers);
        }
        Err(BroadcastAckError { answers, missing: acks.missing, missing_nodes: acks.missing_nodes, error })
    }

    /// Finds the sockets. What is returned names the nodes that did not answer in time, and says so when no other node could be
    /// asked.
    pub async fn fetch_sockets(&self) -> Fetched {
        let found = self.namespace.cluster().fetch(self.targets.clone(), self.flags).await;
        if let Some(error) = &found.error {
            tracing::warn!(namespace = self.namespace.name(), %error, "only the sockets of this node are found");
        }
        let sockets = found.answers.into_iter().map(|info| RemoteSocket::new(self.namespace.clone(), info)).collect();
        Fetched { sockets, missing: found.missing, error: found.error.map(Arc::new) }
    }

    /// Lets the sockets join rooms. Other nodes do it soon.
    pub fn sockets_join(&self, rooms: impl IntoRooms) {
        let rooms = rooms.into_rooms();
        self.told(self.namespace.cluster().join_rooms(self.targets.clone(), rooms, self.flags));
    }

    /// Lets the sockets leave rooms. Other nodes do it soon.
    pub fn sockets_leave(&self, rooms: impl IntoRooms) {
        let rooms = rooms.into_rooms();
        self.told(self.namespace.cluster().leave_rooms(self.targets.clone(), rooms, self.flags));
    }

    /// Disconnects the sockets; with `close`, their clients' sessions with all their sockets. Other nodes do it soon.
    pub fn disconnect_sockets(&self, close: bool) {
        self.told(self.namespace.cluster().disconnect(self.targets.clone(), close, self.flags));
    }

    fn told(&self, result: Result<(), BusError>) {
        if let Err(error) = result {
            tracing::warn!(namespace = self.namespace.name(), %error, "the other nodes are not told");
        }
    }
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast")
            .field("namespace", &self.namespace.name())
            .field("targets", &self.targets)
            .field("flags", &self.flags)
            .finish()
    }
}
