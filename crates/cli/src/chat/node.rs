//! One node of the chat: a Socket.IO server with the pages beside it.
//!
//! Every node keeps the newest messages as they pass over the bus; one that starts asks the others for theirs. Names need
//! no password: a name belongs to whoever uses it, on as many pages as they like.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use limpet_bus::{Adapter, Local};
use limpet_server::listen::ListenOptions;
use limpet_server::{Ack, ConnectError, Listening, Options, Recovery, Server, ServerEvent, Socket};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::conversation::{Conversation, Place, room_of, user_of};
use super::history::{History, Kept, Message};
use super::name::Name;
use super::pace::Pace;
use super::page;
use super::people::{People, USER, User};

/// The most characters of a message.
const MOST_TEXT: usize = 1000;
/// The most rooms that one page can be in.
const MOST_ROOMS: usize = 32;
/// The most talks that a page is shown at its start.
const MOST_TALKS: usize = 50;
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
struct Chat {
    /// The name that the pages show.
    name: String,
    io: Server,
    people: People,
    history: Mutex<History>,
    count: AtomicU64,
}

/// One page: one connection of a user.
struct Guest {
    chat: Arc<Chat>,
    me: Name,
    /// What it says, and where it goes.
    says: Mutex<Pace>,
    /// That it types, which is worth less.
    types: Mutex<Pace>,
}

/// What a page sends with its connection.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    name: String,
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
        io.middleware(move |socket: Socket| std::future::ready(admit(&socket, &own)));
        // The server has its handlers, so they must not have the server.
        let weak = Arc::downgrade(&chat);
        io.on_connection(move |socket: Socket| {
            if let Some(chat) = weak.upgrade() {
                chat.welcome(&socket);
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

/// Lets a page in under its name, or says what a name may be. A page that comes back from another node has been asked there.
fn admit(socket: &Socket, node: &str) -> Result<(), ConnectError> {
    let auth: Auth = socket.handshake().auth().unwrap_or_default();
    let me = Name::new(&auth.name).map_err(|wrong| ConnectError::new(wrong.to_string()))?;
    socket.set_data(USER, &User { name: me.as_str().to_owned(), node: node.to_owned() });
    Ok(())
}

impl Chat {
    /// Begins the life of a page.
    fn welcome(self: &Arc<Self>, socket: &Socket) {
        let Some(Ok(me)) = socket.data::<User>(USER).map(|user| Name::new(&user.name)) else {
            return socket.disconnect(true);
        };
        if socket.recovered() {
            socket.set_data(USER, &User { name: me.as_str().to_owned(), node: self.name.clone() });
        }
        socket.join(user_of(&me));
        let talks: Vec<Value> = self
            .history()
            .talks_of(me.key(), MOST_TALKS)
            .into_iter()
            .map(|(with, last)| json!({ "with": with, "last": last }))
            .collect();
        let welcome = json!({ "node": self.name, "name": me, "time": now(), "talks": talks });
        // Fails only when the page has gone already.
        let _ = socket.emit("welcome", welcome).and_then(|()| socket.emit("people", &*self.people.last()));

        let start = Instant::now();
        let guest = Arc::new(Guest {
            chat: Arc::clone(self),
            me,
            says: Mutex::new(Pace::new(40, Duration::from_millis(500), start)),
            types: Mutex::new(Pace::new(4, Duration::from_secs(1), start)),
        });
        let opening = Arc::clone(&guest);
        socket.on("open", move |socket: Socket, place: Place, ack: Ack| {
            let answer = opening.open(&socket, &place);
            async move { reply(ack, answer) }
        });
        let saying = Arc::clone(&guest);
        socket.on("say", move |socket: Socket, place: Place, text: String, ack: Ack| {
            let answer = saying.say(&socket, &place, &text);
            async move { reply(ack, answer) }
        });
        socket.on("typing", move |socket: Socket, place: Place, typing: bool| {
            guest.typing(&socket, &place, typing);
            async {}
        });
        let leaving = Arc::clone(self);
        socket.on_disconnect(move |_: Socket, _| {
            leaving.changed();
            async {}
        });
        self.changed();
    }

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
    fn changed(&self) {
        self.people.note();
        if let Err(error) = self.io.server_side_emit("changed", ()) {
            tracing::debug!(%error, "the other nodes hear of a change later");
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }
}

impl Guest {
    /// Leads the page into a conversation: answers what was said there, and lets it hear what comes.
    fn open(&self, socket: &Socket, place: &Place) -> Result<Value, String> {
        self.take_turn()?;
        let conversation = place.conversation().map_err(|wrong| wrong.to_string())?;
        if let Some(room) = conversation.room() {
            self.join(socket, room)?;
        }
        let messages = self.chat.history().of(&conversation.key(&self.me));
        Ok(json!({ "room": conversation.room(), "with": conversation.with(), "messages": messages }))
    }

    /// Says something in a conversation.
    fn say(&self, socket: &Socket, place: &Place, text: &str) -> Result<Value, String> {
        self.take_turn()?;
        let conversation = place.conversation().map_err(|wrong| wrong.to_string())?;
        let text = text.trim();
        if text.is_empty() || text.chars().take(MOST_TEXT + 1).count() > MOST_TEXT {
            return Err(format!("A message has 1 to {MOST_TEXT} characters."));
        }
        // After a move its words can arrive before it has come back to the room.
        if let Some(room) = conversation.room() {
            self.join(socket, room)?;
        }
        let count = self.chat.count.fetch_add(1, Ordering::Relaxed);
        let message = Message {
            id: format!("{}-{count}", socket.node()),
            from: self.me.as_str().to_owned(),
            room: conversation.room().map(|room| room.as_str().to_owned()),
            to: conversation.with().map(|with| with.as_str().to_owned()),
            text: text.to_owned(),
            at: now(),
            node: self.chat.name.clone(),
        };
        let kept = Kept { key: conversation.key(&self.me), message };
        let sent = socket
            .to(conversation.targets(&self.me))
            .emit("said", &kept.message)
            .and_then(|()| self.chat.io.server_side_emit("said", &kept));
        if let Err(error) = sent {
            tracing::warn!(%error, "a message did not reach every node");
        }
        let answer = json!({ "message": kept.message });
        self.chat.history().add(kept);
        Ok(answer)
    }

    /// Lets the others know that the user types, or has stopped. Too much of it is not passed on.
    fn typing(&self, socket: &Socket, place: &Place, typing: bool) {
        let Ok(conversation) = place.conversation() else { return };
        if !lock(&self.types).take(Instant::now()) {
            return;
        }
        let to = match &conversation {
            Conversation::Room(room) => room_of(room),
            Conversation::With(other) => user_of(other),
        };
        let event = json!({ "from": self.me, "room": conversation.room(), "typing": typing });
        // Not volatile: that drops it for everybody who is between two polls or just upgrades.
        let _ = socket.to(to).emit("typing", event);
    }

    fn join(&self, socket: &Socket, room: &Name) -> Result<(), String> {
        let (room, rooms) = (room_of(room), socket.rooms());
        if rooms.iter().any(|other| **other == *room) {
            return Ok(());
        }
        // Beside them are its own and its user's.
        if rooms.len() >= MOST_ROOMS + 2 {
            return Err(format!("One page can be in {MOST_ROOMS} rooms."));
        }
        socket.join(room);
        self.chat.changed();
        Ok(())
    }

    fn take_turn(&self) -> Result<(), String> {
        if lock(&self.says).take(Instant::now()) { Ok(()) } else { Err("Not so fast, please.".to_owned()) }
    }
}

/// Answers a page: with what it asked for, or with what is wrong.
fn reply(ack: Ack, answer: Result<Value, String>) {
    let mut answer = answer.unwrap_or_else(|error| json!({ "error": error }));
    answer["ok"] = answer.get("error").is_none().into();
    // Fails only when the page has gone.
    let _ = ack.send(answer);
}

/// Returns the milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

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
