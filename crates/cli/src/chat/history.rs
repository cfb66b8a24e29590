//! Decides what a node remembers of the conversations: the newest messages, in bounded memory.
//!
//! A message is known by its id, so that it can arrive twice: from the bus and from another node's memory.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

/// The most messages of one conversation.
const MOST_MESSAGES: usize = 100;
/// The most conversations; then the one goes in which nothing was said for the longest time.
const MOST_CONVERSATIONS: usize = 500;
/// The most bytes of all messages together.
const MOST_BYTES: usize = 8 << 20;

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Unlike that of every other message, on any node.
    pub(crate) id: String,
    /// Who said it.
    pub(crate) from: String,
    /// The room in which it was said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) room: Option<String>,
    /// The user to whom it was said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) to: Option<String>,
    pub(crate) text: String,
    /// Milliseconds since 1970, by the clock of the node.
    pub(crate) at: u64,
    /// The name of the node that the user was on.
    pub(crate) node: String,
}

/// A message with the key of its conversation, as nodes tell each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) key: String,
    pub(crate) message: Message,
}

/// The newest messages of the conversations.
#[derive(Debug, Default)]
pub(crate) struct History {
    conversations: HashMap<String, VecDeque<Message>>,
    bytes: usize,
}

impl Message {
    /// About how many bytes of memory it takes.
    fn bytes(&self) -> usize {
        let texts = [&self.id, &self.from, &self.text, &self.node].map(String::len);
        let names = [&self.room, &self.to].map(|name| name.as_ref().map_or(0, String::len));
        size_of::<Self>() + texts.iter().sum::<usize>() + names.iter().sum::<usize>()
    }

    fn order(&self) -> (u64, &str) {
        (self.at, &self.id)
    }
}

impl History {
    /// Keeps a message where its time says, unless it is there.
    pub(crate) fn add(&mut self, Kept { key, message }: Kept) {
        let messages = self.conversations.entry(key).or_default();
        // Nearly always it is the newest.
        let place = messages.iter().rposition(|other| other.order() <= message.order()).map_or(0, |before| before + 1);
        if place > 0 && messages[place - 1].id == message.id {
            return;
        }
        self.bytes += message.bytes();
        messages.insert(place, message);
        if messages.len() > MOST_MESSAGES {
            self.bytes -= messages.pop_front().map_or(0, |oldest| oldest.bytes());
        }
        while self.conversations.len() > MOST_CONVERSATIONS || self.bytes > MOST_BYTES {
            self.forget_one();
        }
    }

    /// Returns the messages of a conversation, oldest first.
    pub(crate) fn of(&self, key: &str) -> Vec<Message> {
        self.conversations.get(key).map(|messages| messages.iter().cloned().collect()).unwrap_or_default()
    }

    /// Returns the newest message of each talk of a user, newest first, and who is at the other end.
    pub(crate) fn talks_of(&self, user: &str, most: usize) -> Vec<(String, Message)> {
        let is_mine = |name: &str| name.to_lowercase() == user;
        let mut talks: Vec<_> = self
            .conversations
            .values()
            .filter_map(|messages| {
                let last = messages.back()?;
                let to = last.to.as_deref()?;
                match (is_mine(&last.from), is_mine(to)) {
                    (true, _) => Some((to.to_owned(), last.clone())),
                    (false, true) => Some((last.from.clone(), last.clone())),
                    (false, false) => None,
                }
            })
            .collect();
        talks.sort_by(|(_, a), (_, b)| b.order().cmp(&a.order()));
        talks.truncate(most);
        talks
    }

    /// Returns the newest messages of all conversations, for a node that knows none: at most so many bytes.
    pub(crate) fn newest(&self, most_bytes: usize) -> Vec<Kept> {
        let each = |(key, messages): (&String, &VecDeque<Message>)| {
            messages.iter().map(|message| Kept { key: key.clone(), message: message.clone() }).collect::<Vec<_>>()
        };
        let mut all: Vec<Kept> = self.conversations.iter().flat_map(each).collect();
        all.sort_by(|a, b| b.message.order().cmp(&a.message.order()));
        let mut bytes = 0;
        let fitting = all.iter().take_while(|kept| {
            bytes += kept.key.len() + kept.message.bytes();
            bytes <= most_bytes
        });
        let fitting = fitting.count();
        all.truncate(fitting);
        all
    }

    /// Forgets the conversation in which nothing was said for the longest time.
    fn forget_one(&mut self) {
        let newest = |messages: &VecDeque<Message>| messages.back().map(|message| message.at);
        let oldest = self.conversations.iter().min_by_key(|(_, messages)| newest(messages)).map(|(key, _)| key.clone());
        let gone = oldest.and_then(|key| self.conversations.remove(&key));
        self.bytes -= gone.iter().flatten().map(Message::bytes).sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(key: &str, at: u64) -> Kept {
        let message = Message {
            id: format!("{key}{at}"),
            from: "Anna".to_owned(),
            room: None,
            to: Some("Bert".to_owned()),
            text: format!("number {at}"),
            at,
            node: "node 1".to_owned(),
        };
        Kept { key: key.to_owned(), message }
    }

    fn times(history: &History, key: &str) -> Vec<u64> {
        history.of(key).iter().map(|message| message.at).collect()
    }

    #[test]
    fn messages_lie_in_the_order_of_their_time_and_once() {
        let mut history = History::default();
        for at in [3, 1, 2, 3, 1, 5] {
            history.add(kept("a", at));
        }
        assert_eq!(times(&history, "a"), [1, 2, 3, 5]);
        assert!(history.of("b").is_empty());
    }

    #[test]
    fn old_messages_and_silent_conversations_are_forgotten() {
        let mut history = History::default();
        (0..250).for_each(|at| history.add(kept("a", at)));
        assert_eq!((times(&history, "a").len(), times(&history, "a")[0]), (MOST_MESSAGES, 150));
        (0..MOST_CONVERSATIONS as u64).for_each(|n| history.add(kept(&format!("talk {n}"), 1000 + n)));
        assert!(history.of("a").is_empty(), "it was the one that was silent for the longest time");
        assert_eq!(history.conversations.len(), MOST_CONVERSATIONS);
    }

    #[test]
    fn memory_is_bounded_and_counted_right() {
        let mut history = History::default();
        for at in 0..20_000 {
            let mut kept = kept(&format!("talk {}", at % 300), at);
            kept.message.text = "x".repeat(4000);
            history.add(kept);
            assert!(history.bytes <= MOST_BYTES);
        }
        let counted: usize = history.conversations.values().flatten().map(Message::bytes).sum();
        assert_eq!(history.bytes, counted);
        assert!(counted > MOST_BYTES / 2);
    }

    #[test]
    fn a_new_node_gets_the_newest() {
        let mut history = History::default();
        (0..50).for_each(|at| history.add(kept(if at % 2 == 0 { "a" } else { "b" }, at)));
        let each = kept("a", 10).message.bytes() + 1;
        let newest = history.newest(each * 10);
        assert_eq!(newest.iter().map(|kept| kept.message.at).collect::<Vec<_>>(), (40..50).rev().collect::<Vec<_>>());
        let mut other = History::default();
        newest.into_iter().for_each(|kept| other.add(kept));
        assert_eq!(times(&other, "a"), [40, 42, 44, 46, 48]);
    }

    #[test]
    fn the_talks_of_a_user_name_the_other_end() {
        let mut history = History::default();
        history.add(kept("talk:anna|bert", 1));
        let mut back = kept("talk:anna|bert", 2);
        (back.message.from, back.message.to) = ("Bert".to_owned(), Some("Anna".to_owned()));
        history.add(back);
        for (user, other) in [("anna", "Bert"), ("bert", "Anna")] {
            let talks = history.talks_of(user, 9);
            assert_eq!(talks.iter().map(|(with, last)| (with.as_str(), last.at)).collect::<Vec<_>>(), [(other, 2)]);
        }
        assert!(history.talks_of("cleo", 9).is_empty());
    }
}
