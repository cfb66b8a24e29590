//! Decides what a client is told whose request nobody gets to see.

use limpet_proto::http1::head::{HEAD_TOO_LARGE, HeadError};

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The head is malformed or ambiguous.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The head is too long.
    #[error("the request head is too large")]
    HeadTooLarge,
    /// The client took too long to send its request.
    #[error("the request did not arrive in time")]
    Timeout,
}

impl Refusal {
    /// Returns the status and the reason phrase.
    pub(super) fn status(self) -> (u16, &'static str) {
        match self {
            Self::Head(error) => error.status(),
            Self::HeadTooLarge => HEAD_TOO_LARGE,
            Self::Timeout => (408, "Request Timeout"),
        }
    }
}
