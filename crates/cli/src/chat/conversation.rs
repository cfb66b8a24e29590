//! Decides what belongs together: the messages of a room, or those between two users.

use serde::Deserialize;

use super::name::{Name, WrongName};

/// Where something is said, seen by one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Conversation {
    /// Everybody who is in the room.
    Room(Name),
    /// One other user.
    With(Name),
}

/// A conversation as a page names it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    room: Option<String>,
    with: Option<String>,
}

impl Place {
    /// Reads the names; a room comes before a user.
    pub(crate) fn conversation(&self) -> Result<Conversation, WrongName> {
        match (&self.room, &self.with) {
            (Some(room), _) => Name::new(room).map(Conversation::Room),
            (None, Some(with)) => Name::new(with).map(Conversation::With),
            (None, None) => Err(WrongName),
        }
    }
}

impl Conversation {
    /// Returns what its messages are kept under. It is the same for both users of a talk, and no name contains the
    /// signs in it.
    pub(crate) fn key(&self, me: &Name) -> String {
        match self {
            Self::Room(room) => room_of(room),
            Self::With(other) if other.key() < me.key() => talk(other.key(), me.key()),
            Self::With(other) => talk(me.key(), other.key()),
        }
    }

    /// Returns the Socket.IO rooms of those who get a message. Both users of a talk do: on each of their pages.
    pub(crate) fn targets(&self, me: &Name) -> Vec<String> {
        match self {
            Self::Room(room) => vec![room_of(room)],
            Self::With(other) => vec![user_of(other), user_of(me)],
        }
    }

    /// Returns the name of the room.
    pub(crate) fn room(&self) -> Option<&Name> {
        match self {
            Self::Room(room) => Some(room),
            Self::With(_) => None,
        }
    }

    /// Returns the other user of a talk.
    pub(crate) fn with(&self) -> Option<&Name> {
        match self {
            Self::Room(_) => None,
            Self::With(other) => Some(other),
        }
    }
}

/// Begins the Socket.IO rooms that are rooms of the chat.
pub(crate) const ROOM: &str = "room:";

/// Returns the Socket.IO room of a room.
pub(crate) fn room_of(room: &Name) -> String {
    format!("{ROOM}{}", room.key())
}

/// Returns the Socket.IO room of all pages of a user.
pub(crate) fn user_of(user: &Name) -> String {
    format!("user:{}", user.key())
}

fn talk(first: &str, second: &str) -> String {
    format!("talk:{first}|{second}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn a_talk_is_the_same_from_both_sides() {
        let (anna, bert) = (name("Anna"), name("bert"));
        let key = Conversation::With(bert.clone()).key(&anna);
        assert_eq!(key, "talk:anna|bert");
        assert_eq!(Conversation::With(name("ANNA")).key(&bert), key);
        assert_eq!(Conversation::With(bert).targets(&anna), ["user:bert", "user:anna"]);
    }

    #[test]
    fn a_room_is_the_same_for_everybody() {
        let place: Place = serde_json::from_str(r#"{"room":"Harbour","other":1}"#).unwrap();
        let harbour = place.conversation().unwrap();
        assert_eq!(harbour.key(&name("Anna")), "room:harbour");
        assert_eq!(harbour.targets(&name("Bert")), ["room:harbour"]);
        assert!(Place::default().conversation().is_err());
    }
}
