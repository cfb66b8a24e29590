//! Decides what a name may be: of a user, of a room, of a node.

use std::fmt;

use serde::{Serialize, Serializer};

/// The most characters of a name.
const MOST: usize = 24;

/// A name as it was given. Two names that differ in capitals alone are the same to [`key`](Self::key).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    text: String,
    key: String,
}

impl Name {
    /// Reads a name: 1 to 24 letters, digits, spaces and some signs, with no spaces around it. What is not among
    /// them could look like another name, or end the key of a conversation early.
    pub(crate) fn new(text: &str) -> Result<Self, WrongName> {
        let text = text.trim();
        let is_fine = |letter: char| letter.is_alphanumeric() || " ._-'".contains(letter);
        if text.is_empty() || text.chars().take(MOST + 1).count() > MOST || !text.chars().all(is_fine) {
            return Err(WrongName);
        }
        Ok(Self { text: text.to_owned(), key: text.to_lowercase() })
    }

    /// Returns what names are compared by.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Returns the name as it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// A text that is no name; says what would be one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WrongName;

impl fmt::Display for WrongName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "A name has 1 to {MOST} letters, digits, spaces, and . _ - '")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_any_script_are_fine_and_capitals_do_not_count() {
        let name = Name::new("  Zoë O'Neil-2 ").unwrap();
        assert_eq!((name.as_str(), name.key()), ("Zoë O'Neil-2", "zoë o'neil-2"));
        assert_eq!(Name::new("浜辺").unwrap().as_str(), "浜辺");
        assert_eq!(Name::new(&"x".repeat(24)).unwrap().as_str().len(), 24);
    }

    #[test]
    fn what_could_be_taken_for_something_else_is_refused() {
        for wrong in ["", "   ", "a|b", "a\nb", "<b>", "a\u{202e}b", "user:x", &"x".repeat(25), &"x".repeat(1 << 20)] {
            assert_eq!(Name::new(wrong), Err(WrongName), "{:?}", wrong.chars().take(9).collect::<String>());
        }
    }
}
