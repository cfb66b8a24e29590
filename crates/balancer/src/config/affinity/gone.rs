//! `when_gone`: what becomes of a request whose endpoint cannot take it. Sessions bound by sid get Engine.IO's own error.

use super::super::value::{self, Parsed};

/// What becomes of a request whose mode names an endpoint that is down, in maintenance or no longer there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenGone {
    /// It goes on to the next mode, and then wherever the upstream balances it.
    #[default]
    Move,
    /// It waits for the endpoint.
    Wait,
    /// It is answered with 503.
    Fail,
}

/// Reads what becomes of such a request.
pub(in super::super) fn when_gone(text: &str) -> Parsed<WhenGone> {
    value::word("answer", text, &[("move", WhenGone::Move), ("wait", WhenGone::Wait), ("fail", WhenGone::Fail)])
}

/// Reads what becomes of it after waiting in vain: whether it fails.
pub(in super::super) fn after_wait(text: &str) -> Parsed<bool> {
    value::word("answer", text, &[("move", false), ("fail", true)])
}
