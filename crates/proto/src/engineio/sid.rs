//! Decides which strings are session ids.
//!
//! A sid is a secret: who knows it can take the session over. Logs therefore show a few characters only.

use std::borrow::Borrow;
use std::fmt;

/// Longest sid in characters, a tag included. Known servers use 16 to 36.
pub const MAX_SID_CHARS: usize = 128;

/// How many characters the debug form shows.
const SHOWN_CHARS: usize = 6;

/// Holds a session id of 1 to 128 characters out of `A-Z a-z 0-9 _ - . ~`, which need no escape in a URL or in JSON.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sid(Box<str>);

impl Sid {
    /// Copies the id if it is one; see [`is_sid`].
    pub fn parse(text: &str) -> Option<Self> {
        is_sid(text).then(|| Self(text.into()))
    }

    /// Gives the whole secret.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Says whether the text has the length and the characters of a session id.
pub fn is_sid(text: &str) -> bool {
    (1..=MAX_SID_CHARS).contains(&text.len()) && text.bytes().all(is_sid_byte)
}

fn is_sid_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'~')
}

impl AsRef<str> for Sid {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Sid {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Shows the whole secret; for the wire, not for logs.
impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Redacted(&self.0).fmt(f)
    }
}

/// Shows the first characters of a sid, and of a short one fewer than half.
pub(super) struct Redacted<'a>(pub(super) &'a str);

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = SHOWN_CHARS.min(self.0.chars().count() / 2);
        let start = self.0.char_indices().nth(shown).map_or(0, |(at, _)| at);
        write!(f, "{}…", self.0.get(..start).unwrap_or_default().escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn accepts_what_servers_make() {
        for text in ["lv_VI97HAXpY6yYWAAAC", "a", "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "A.b~c", &"x".repeat(128)] {
            assert_eq!(Sid::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "a b", "a%41", "a/b", "a+b", "a\"b", "é", "a\n", "a=", &"x".repeat(129)] {
            assert_eq!(Sid::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn debug_hides_the_secret() {
        assert_eq!(format!("{:?}", Sid::parse("lv_VI97HAXpY6yYWAAAC").unwrap()), "lv_VI9…");
        assert_eq!(format!("{:?}", Sid::parse("abcdef").unwrap()), "abc…");
        assert_eq!(format!("{:?}", Sid::parse("a").unwrap()), "…");
        assert_eq!(format!("{:?}", Redacted("")), "…");
        assert_eq!(Sid::parse("lv_VI97").unwrap().to_string(), "lv_VI97");
    }

    #[test]
    fn is_found_by_its_text() {
        let set = HashSet::from([Sid::parse("abc").unwrap()]);
        assert!(set.contains("abc"));
        assert!(!set.contains("abd"));
    }
}
