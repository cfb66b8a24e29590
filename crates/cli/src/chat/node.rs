//! One node of the chat: a Socket.IO server with the pages beside it.
//!
//! Every node keeps the newest messages as they pass over the bus; one that starts asks the others for theirs. Names need
//! no password: a name belongs to whoever uses it, on as many pages as they like.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use limpet_bus::{Adapter, Local};
use limpet_server::listen::ListenOptions;
use limpet_server::{Listening, Options, Recovery, Server, ServerEvent, Socket};
use tokio::task::JoinHandle;

use super::guest;
use super::history::{History, Kept};
use super::page;
use super::people::People;

/// How much a node that starts is told of what was said before.
const HISTORY_BYTES: usize = 1 << 20;

/// A running node.
pub(crate) struct Node {
    chat: Arc<Chat>,
    listening: Listening,
    tasks: [JoinHandle<()>; 2],
}

/// What joins a node to others.
#[derive(Clone)]
pub(crate) struct Bus {
    pub(crate) adapter: Arc<dyn Adapter>,
    /// Whether it keeps a log, so that pages which lose their node go on elsewhere.
    pub(crate) keeps_log: bool,
    /// Whether `/health` fails while the other nodes cannot be reached.
    pub(crate) is_strict: bool,
}

impl Bus {
    /// Makes a bus between the nodes of this process.
    pub(crate) fn local() -> Self {
        Self { adapter: Arc::new(Local::new()), keeps_log: true, is_strict: false }
    }
}

/// What the handlers of a node share.
pub(super) struct Chat {
    /// The name that the pages show.
    pub(super) name: String,
    pub(super) io: Server,
    pub(super) people: People,
    history: Mutex<History>,
    /// The messages that were said here.
    pub(super) count: AtomicU64,
}

impl Node {
    /// Starts a node that listens on an address and is joined to others by a bus.
    pub(crate) async fn start(name: &str, address: SocketAddr, bus: Bus) -> io::Result<Self> {
        let Bus { adapter, keeps_log, is_strict } = bus;
        let bus = adapter.clone();
        let recovery = keeps_log.then(Recovery::default);
        let io = Server::new(Options { adapter, recovery, ..Options::default() });
        let chat = Arc::new(Chat {
            name: name.to_owned(),
            io: io.clone(),
            people: People::default(),
            history: Mutex::default(),
            count: AtomicU64::new(0),
        });
        let own = name.to_owned();
        io.middleware(move |socket: Socket| std::future::ready(guest::admit(&socket, &own)));
        // The server has its handlers, so they must not have the server.
        let weak = Arc::downgrade(&chat);
        io.on_connection(move |socket: Socket| {
            if let Some(chat) = weak.upgrade() {
                guest::welcome(&chat, &socket);
            }
            async {}
        });
        chat.listen_to_nodes();
        let pages = move |request| {
            let bus = bus.clone();
            async move { page::answer(&request, || bus.health(), is_strict) }
        };
        let listening = io.bind_with(address, ListenOptions::default(), pages).await?;
        let remembering = tokio::spawn(Arc::clone(&chat).remember());
        let watched = Arc::clone(&chat);
        let watching = tokio::spawn(async move { watched.people.run(&watched.io).await });
        Ok(Self { chat, listening, tasks: [remembering, watching] })
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listening.addr()
    }

    /// Returns how many pages are connected.
    pub(crate) fn users(&self) -> usize {
        self.chat.io.sockets().len()
    }

    /// Sends the users away, one after the other over some time. Their pages connect again, to where the balancer leads.
    pub(crate) fn send_away(&self, within: Duration) -> impl Future<Output = ()> + Send + use<> {
        let sockets = self.chat.io.sockets();
        async move {
            let pause = within / u32::try_from(sockets.len()).unwrap_or(u32::MAX).max(1);
            for socket in sockets {
                socket.close_connection();
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Stops it. Pages that are connected lose their connection, and connect again elsewhere.
    pub(crate) async fn stop(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.listening.close(Duration::ZERO).await;
    }
}

impl Chat {
    /// Takes over what other nodes say, and answers those that start.
    fn listen_to_nodes(self: &Arc<Self>) {
        let chat = Arc::downgrade(self);
        self.io.on_server_event("said", move |event: ServerEvent| {
            if let (Some(chat), Ok(kept)) = (chat.upgrade(), event.get::<Kept>(0)) {
                chat.history().add(kept);
            }
            async {}
        });
        let chat = Arc::downgrade(self);
        self.io.on_server_event("changed", move |_: ServerEvent| {
            chat.upgrade().iter().for_each(|chat| chat.people.note());
            async {}
        });
        let chat = Arc::downgrade(self);
        self.io.on_server_event("remember", move |event: ServerEvent| {
            let newest = chat.upgrade().map(|chat| chat.history().newest(HISTORY_BYTES)).unwrap_or_default();
            // Whoever asked may have gone.
            let _ = event.reply((newest,));
            async {}
        });
    }

    /// Asks the other nodes for what was said before this one started.
    async fn remember(self: Arc<Self>) {
        let answers = match self.io.server_side_emit_with_ack::<Vec<Kept>>("remember", ()).await {
            Ok(answers) => answers,
            Err(error) => {
                tracing::warn!(node = self.name, %error, "not every node has told what was said before");
                error.answers
            }
        };
        let mut history = self.history();
        answers.into_iter().flatten().for_each(|kept| history.add(kept));
    }

    /// Notes a change of who is where, on all nodes.
    pub(super) fn changed(&self) {
        self.people.note();
        if let Err(error) = self.io.server_side_emit("changed", ()) {
            tracing::debug!(%error, "the other nodes hear of a change later");
        }
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Instant;

    use super::super::history::Message;
    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    async fn start(name: &str, bus: &Bus) -> Node {
        Node::start(name, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), bus.clone()).await.unwrap()
    }

    /// Lets the tasks run until a condition holds.
    async fn until(what: &str, condition: impl Fn() -> bool) {
        let end = Instant::now() + SOON;
        while !condition() {
            assert!(Instant::now() < end, "{what} did not come about");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_node_that_starts_is_told_what_was_said_and_one_that_ends_leaves_nothing_behind() {
        let bus = Bus::local();
        let first = start("node 1", &bus).await;
        let message = Message {
            id: "a-0".to_owned(),
            from: "Anna".to_owned(),
            room: Some("harbour".to_owned()),
            to: None,
            text: "before".to_owned(),
            at: 1,
            node: "node 1".to_owned(),
        };
        first.chat.history().add(Kept { key: "room:harbour".to_owned(), message: message.clone() });

        let second = start("node 2", &bus).await;
        until("the history", || second.chat.history().of("room:harbour") == [message.clone()]).await;

        let gone = Arc::downgrade(&first.chat);
        first.stop().await;
        until("the end of the first node", || gone.upgrade().is_none()).await;
        let asked = Instant::now();
        assert!(second.chat.io.fetch_sockets().await.missing.is_empty());
        assert!(asked.elapsed() < second.chat.io.options().request_timeout, "nobody waits for the node that has ended");
        second.stop().await;
    }
}
