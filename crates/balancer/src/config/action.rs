//! What a route does with the requests that it takes.

use std::fmt;

use super::StatsPage;

/// What a route does with the requests that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionConfig {
    /// Passes them on to the upstream of this name.
    Upstream(String),
    /// Sends their clients elsewhere.
    Redirect(RedirectConfig),
    /// Answers them all in the same way.
    Respond(RespondConfig),
    /// Shows what has happened, in numbers.
    Stats(StatsPage),
}

/// Where clients are sent instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectConfig {
    /// The status: 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The new place.
    pub to: String,
}

/// A fixed response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RespondConfig {
    /// The status, 200 to 599.
    pub status: u16,
    /// The type of the body.
    pub content_type: String,
    /// The body.
    pub body: String,
}

impl ActionConfig {
    /// Returns the name of the upstream, if there is one.
    pub fn upstream(&self) -> Option<&str> {
        match self {
            Self::Upstream(name) => Some(name),
            Self::Redirect(_) | Self::Respond(_) | Self::Stats(_) => None,
        }
    }
}

impl fmt::Display for ActionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(name) => write!(f, "upstream {name}"),
            Self::Redirect(redirect) => write!(f, "redirect {} to {}", redirect.status, redirect.to),
            Self::Respond(respond) => write!(f, "respond {}", respond.status),
            Self::Stats(page) => write!(f, "statistics at {}", page.uri),
        }
    }
}
