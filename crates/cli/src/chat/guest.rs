//! One page of the chat: how it gets in, what it may do, and how much of that.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use limpet_server::{Ack, ConnectError, Socket};
use serde::Deserialize;
use serde_json::{Value, json};

use super::conversation::{Conversation, Place, room_of, user_of};
use super::history::{Kept, Message};
use super::name::Name;
use super::node::{Chat, lock};
use super::pace::Pace;
use super::people::{USER, User};

/// The most characters of a message.
const MOST_TEXT: usize = 1000;
/// The most rooms that one page can be in.
const MOST_ROOMS: usize = 32;
/// The most talks that a page is shown at its start.
const MOST_TALKS: usize = 50;

/// What a page sends with its connection.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    name: String,
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

/// Lets a page in under its name, or says what a name may be. A page that comes back from another node has been asked there.
pub(super) fn admit(socket: &Socket, node: &str) -> Result<(), ConnectError> {
    let auth: Auth = socket.handshake().auth().unwrap_or_default();
    let me = Name::new(&auth.name).map_err(|wrong| ConnectError::new(wrong.to_string()))?;
    socket.set_data(USER, &User { name: me.as_str().to_owned(), node: node.to_owned() });
    Ok(())
}

/// Begins the life of a page.
pub(super) fn welcome(chat: &Arc<Chat>, socket: &Socket) {
    let Some(Ok(me)) = socket.data::<User>(USER).map(|user| Name::new(&user.name)) else {
        return socket.disconnect(true);
    };
    if socket.recovered() {
        socket.set_data(USER, &User { name: me.as_str().to_owned(), node: chat.name.clone() });
    }
    socket.join(user_of(&me));
    let talks: Vec<Value> = chat
        .history()
        .talks_of(me.key(), MOST_TALKS)
        .into_iter()
        .map(|(with, last)| json!({ "with": with, "last": last }))
        .collect();
    let welcome = json!({ "node": chat.name, "name": me, "time": now(), "talks": talks });
    // Fails only when the page has gone already.
    let _ = socket.emit("welcome", welcome).and_then(|()| socket.emit("people", &*chat.people.last()));

    let start = Instant::now();
    let guest = Arc::new(Guest {
        chat: Arc::clone(chat),
        me,
        says: Mutex::new(Pace::new(40, Duration::from_millis(500), start)),
        types: Mutex::new(Pace::new(8, Duration::from_secs(1), start)),
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
    let leaving = Arc::clone(chat);
    socket.on_disconnect(move |_: Socket, _| {
        leaving.changed();
        async {}
    });
    chat.changed();
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
