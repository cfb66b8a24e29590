//! Joins what the log of the streams is made of: the streams themselves for events, and keys for sessions.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::StreamSet;
use super::history::History;
use super::sessions::{Sessions, Unkept};
use crate::adapter::BusError;
use crate::log::{Adopted, Hold, Lease, Log, Offset, Refreshed, Session, Stretch};
use crate::node::NodeId;
use crate::target::Room;

/// What it is called in the log.
const PART: &str = "keeping of sessions";

/// The log of the streams.
pub(super) struct StreamsLog {
    pub(super) streams: Arc<StreamSet>,
    pub(super) history: History,
    pub(super) sessions: Sessions,
}

impl StreamsLog {
    /// Lets the health of the node show whether sessions can be kept.
    fn note<T>(&self, kept: Result<T, BusError>) -> Result<T, BusError> {
        match &kept {
            Ok(_) => self.streams.meter.end(PART),
            Err(error) => self.streams.meter.begin(PART, error),
        }
        kept
    }

    /// Reads the broadcasts of a stretch, or those alone that are for somebody in these rooms.
    fn stretch<'a>(
        &'a self,
        namespace: &str,
        rooms: Option<&'a [Room]>,
        after: Offset,
        upto: Offset,
    ) -> BoxFuture<'a, Result<Stretch, BusError>> {
        let (stream, namespace) = (self.streams.names.stream(namespace), namespace.to_owned());
        async move {
            let feed = self.streams.feed(&namespace);
            let nothing = |is_whole| Ok(Stretch { entries: Vec::new(), is_whole });
            if after >= upto {
                return nothing(true);
            }
            if !feed.is_sound(after) {
                return nothing(false);
            }
            if let Some(mut stretch) = feed.recall(&namespace, after, upto) {
                stretch.entries.retain(|entry| rooms.is_none_or(|rooms| entry.is_for(rooms)));
                return Ok(stretch);
            }
            self.history.read(&stream, &namespace, rooms, after, upto).await
        }
        .boxed()
    }
}

impl Log for StreamsLog {
    fn read(&self, namespace: &str, after: Offset, upto: Offset) -> BoxFuture<'_, Result<Stretch, BusError>> {
        self.stretch(namespace, None, after, upto)
    }

    fn read_for<'a>(
        &'a self,
        namespace: &str,
        rooms: &'a [Room],
        after: Offset,
        upto: Offset,
    ) -> BoxFuture<'a, Result<Stretch, BusError>> {
        self.stretch(namespace, Some(rooms), after, upto)
    }

    fn save(&self, namespace: &str, session: &Session, lease: &Lease) -> BoxFuture<'_, Result<Hold, BusError>> {
        let (namespace, session, lease) = (namespace.to_owned(), session.clone(), lease.clone());
        async move { self.note(self.sessions.save(&namespace, &session, &lease).await) }.boxed()
    }

    fn adopt(&self, namespace: &str, secret: &str, node: &NodeId) -> BoxFuture<'_, Result<Option<Adopted>, BusError>> {
        let (namespace, secret, node) = (namespace.to_owned(), secret.to_owned(), node.clone());
        async move {
            match self.sessions.adopt(&namespace, &secret, &node).await {
                // It would not help to wait for it.
                Err(Unkept::Refused(error)) => {
                    tracing::error!(namespace, %error, "Redis does not give a session: its client gets a fresh one");
                    Ok(None)
                }
                Err(Unkept::Failed(error)) => self.note(Err(error)),
                Ok(adopted) => Ok(adopted),
            }
        }
        .boxed()
    }

    fn refresh(
        &self,
        _namespace: &str,
        sessions: &[(Arc<str>, Lease)],
    ) -> BoxFuture<'_, Result<Vec<Refreshed>, BusError>> {
        let sessions = sessions.to_vec();
        async move { self.note(self.sessions.refresh(sessions).await) }.boxed()
    }

    fn forget(&self, _namespace: &str, secret: &str, lease: &Lease) -> BoxFuture<'_, Result<(), BusError>> {
        let (secret, lease) = (secret.to_owned(), lease.clone());
        async move { self.sessions.forget(&secret, &lease).await }.boxed()
    }

    fn retention(&self) -> Duration {
        self.sessions.retention
    }
}
