//! What one probe found, in HAProxy's words.

use std::fmt;
use std::time::Duration;

use crate::table::Seconds;

/// How a probe ended. The words, the sentences and their meaning are HAProxy's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CheckStatus {
    /// The endpoint is not probed.
    #[default]
    Unknown,
    /// It is going to be probed.
    Initializing,
    /// The probe failed on our side of the connection, or the connection broke after it was open.
    SocketError,
    /// A connection was opened, and nothing more is asked for.
    Layer4Ok,
    /// No connection was opened in time.
    Layer4Timeout,
    /// The connection was refused or has no way to the endpoint.
    Layer4Connection,
    /// The response was as expected.
    Layer7Ok,
    /// The response was a 404 by which the endpoint asks for no new sessions.
    Layer7OkConditionally,
    /// There was a connection, and no whole response in time.
    Layer7Timeout,
    /// The response is not HTTP, or its body lacks the expected text.
    Layer7Response,
    /// The status is none of the expected ones.
    Layer7Status,
}

/// What a probe says about its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Passed,
    /// It works, and asks for no new sessions.
    PassedConditionally,
    /// It does not work.
    Failed,
}

impl CheckStatus {
    /// Returns HAProxy's word for it, as in the column `check_status`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "UNK",
            Self::Initializing => "INI",
            Self::SocketError => "SOCKERR",
            Self::Layer4Ok => "L4OK",
            Self::Layer4Timeout => "L4TOUT",
            Self::Layer4Connection => "L4CON",
            Self::Layer7Ok => "L7OK",
            Self::Layer7OkConditionally => "L7OKC",
            Self::Layer7Timeout => "L7TOUT",
            Self::Layer7Response => "L7RSP",
            Self::Layer7Status => "L7STS",
        }
    }

    /// Returns HAProxy's sentence for it, as in the column `check_desc`.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Initializing => "Initializing",
            Self::SocketError => "Socket error",
            Self::Layer4Ok => "Layer4 check passed",
            Self::Layer4Timeout => "Layer4 timeout",
            Self::Layer4Connection => "Layer4 connection problem",
            Self::Layer7Ok => "Layer7 check passed",
            Self::Layer7OkConditionally => "Layer7 check conditionally passed",
            Self::Layer7Timeout => "Layer7 timeout",
            Self::Layer7Response => "Layer7 invalid response",
            Self::Layer7Status => "Layer7 wrong status",
        }
    }

    /// Returns what it says about the endpoint.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Layer4Ok | Self::Layer7Ok => Verdict::Passed,
            Self::Layer7OkConditionally => Verdict::PassedConditionally,
            _ => Verdict::Failed,
        }
    }
}

/// What one probe found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// How it ended.
    pub status: CheckStatus,
    /// The HTTP status, if there was one.
    pub code: Option<u16>,
    /// How long it took.
    pub duration: Duration,
    /// What was said last: the reason phrase, or the error; at most [`Self::MAX_TEXT_BYTES`].
    pub text: Box<str>,
}

impl Check {
    /// The longest text that is kept, in bytes.
    pub const MAX_TEXT_BYTES: usize = 120;

    /// Makes a result that took no time yet. Of the text, control characters and what is too long are left out, since
    /// it comes from the endpoint and goes to logs and pages.
    pub fn new(status: CheckStatus, code: Option<u16>, text: &str) -> Self {
        let mut kept = String::new();
        for character in text.chars().filter(|character| !character.is_control()) {
            if kept.len() + character.len_utf8() > Self::MAX_TEXT_BYTES {
                break;
            }
            kept.push(character);
        }
        Self { status, code, duration: Duration::ZERO, text: kept.into() }
    }
}

/// As HAProxy's page shows it: `L7STS/503 in 3ms`.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.status.word())?;
        if let Some(code) = self.code {
            write!(f, "/{code}")?;
        }
        match self.status {
            CheckStatus::Unknown | CheckStatus::Initializing => Ok(()),
            _ => write!(f, " in {}ms", self.duration.as_millis()),
        }
    }
}

/// The last probe of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastCheck {
    /// What it found; of the one before while one is running.
    pub check: Check,
    /// When it ended; `None` if there was none yet.
    pub at: Option<Seconds>,
    /// Whether one is running now. HAProxy writes `* ` before the word then.
    pub running: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_endpoint_says_is_cut_and_cleaned() {
        let check = Check::new(CheckStatus::Layer7Status, Some(503), &format!("a\r\nb\x1b[31m{}", "ü".repeat(100)));
        assert!(check.text.starts_with("ab[31mü") && check.text.len() <= Check::MAX_TEXT_BYTES, "{}", check.text);
        assert_eq!(check.to_string(), "L7STS/503 in 0ms");
        assert_eq!(Check::default().to_string(), "UNK");
    }
}
