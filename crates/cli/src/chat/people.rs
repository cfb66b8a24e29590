//! Decides who is shown as online, and on which node, and when the pages are told.
//!
//! Whatever changes is noted; a moment later the nodes are asked who is there, and the pages of this node are told if the
//! answer differs from the last one. A slow tick finds what nobody noted, such as the end of a node.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use limpet_server::Server;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::conversation::ROOM;

/// The most users that are shown.
const MOST: usize = 200;
/// How long changes are gathered before the nodes are asked.
const GATHER: Duration = Duration::from_millis(100);
/// How often the nodes are asked although nothing was noted.
const TICK: Duration = Duration::from_secs(3);

/// The key of a socket's data under which its user is kept.
pub(super) const USER: &str = "user";

/// What the other nodes know of a socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) node: String,
}

/// One connection of a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Person {
    name: String,
    node: String,
    rooms: Vec<String>,
}

/// Who is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Online {
    people: Vec<Person>,
    /// How many connections there are beside those.
    more: usize,
}

/// Who is there, as this node last heard.
#[derive(Debug, Default)]
pub(super) struct People {
    changed: Notify,
    last: Mutex<Arc<Online>>,
}

impl People {
    /// Notes that somebody came, went or moved, here or on another node.
    pub(super) fn note(&self) {
        self.changed.notify_one();
    }

    /// Returns the last answer, for who has just come.
    pub(super) fn last(&self) -> Arc<Online> {
        Arc::clone(&self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the pages of this node, for as long as it lives.
    pub(super) async fn run(&self, io: &Server) {
        loop {
            // Both ends of the wait lead to the same look.
            let _ = tokio::time::timeout(TICK, self.changed.notified()).await;
            tokio::time::sleep(GATHER).await;
            if io.sockets().is_empty() {
                continue;
            }
            let now = Arc::new(ask(io).await);
            let before =
                std::mem::replace(&mut *self.last.lock().unwrap_or_else(PoisonError::into_inner), Arc::clone(&now));
            if before != now
                && let Err(error) = io.local().emit("people", &*now)
            {
                tracing::warn!(%error, "the pages cannot be told who is there");
            }
        }
    }
}

/// Asks all nodes who is there.
async fn ask(io: &Server) -> Online {
    let found = io.fetch_sockets().await;
    let mut people: Vec<Person> = found
        .sockets
        .iter()
        .filter_map(|socket| {
            let User { name, node } = socket.data(USER)?;
            let rooms = socket.rooms().iter().filter_map(|room| room.strip_prefix(ROOM).map(str::to_owned)).collect();
            Some(Person { name, node, rooms })
        })
        .collect();
    people.sort();
    let more = people.len().saturating_sub(MOST);
    people.truncate(MOST);
    Online { people, more }
}
