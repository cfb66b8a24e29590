//! What is known of an endpoint's health.

use std::time::Duration;

use crate::config::AdminState;
use crate::table::Seconds;
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;

/// Whether an endpoint is used, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Probes say that it is up.
    Up,
    /// Nobody probes it, so it counts as up.
    NotProbed,
    /// Its sessions stay, new ones go elsewhere, because it asks for that.
    NoNew,
    /// Its sessions stay, new ones go elsewhere, because the operator wants that.
    Drain,
    /// Real traffic failed too often; it is tried again soon.
    Ejected,
    /// Probes say that it is down.
    Down,
    /// The operator wants nothing of it.
    Maintenance,
}

impl State {
    /// Returns the word in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::NotProbed => "not_probed",
            Self::NoNew => "no_new",
            Self::Drain => "drain",
            Self::Ejected => "ejected",
            Self::Down => "down",
            Self::Maintenance => "maintenance",
        }
    }

    /// Returns HAProxy's word. An endpoint that real traffic took out is down for HAProxy's readers, which look at how the
    /// word begins; the reason stands behind it, as in HAProxy's own `DOWN (agent)`.
    pub fn as_haproxy(self) -> &'static str {
        match self {
            Self::Up => "UP",
            Self::NotProbed => "no check",
            Self::NoNew => "NOLB",
            Self::Drain => "DRAIN",
            Self::Ejected => "DOWN (ejected)",
            Self::Down => "DOWN",
            Self::Maintenance => "MAINT",
        }
    }

    /// Returns whether new sessions go there.
    pub fn takes_new(self) -> bool {
        matches!(self, Self::Up | Self::NotProbed)
    }
}

/// What probes say of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The last result in HAProxy's words, such as `L4OK`; empty before the first.
    pub status: String,
    /// The status of an HTTP probe.
    pub code: Option<u16>,
    /// How long the last probe took.
    pub took: Option<Duration>,
    /// What the last result says for people.
    pub text: String,
    /// Probes that failed while the endpoint was up.
    pub failed: u64,
    /// How often it went down.
    pub downs: u64,
    /// Seconds since it last went up or down.
    pub since_change: u64,
    /// Seconds that it was down in all.
    pub downtime: u64,
    /// Results in a row that bring it up.
    pub rise: u32,
    /// Results in a row that take it down.
    pub fall: u32,
}

/// Says whether an endpoint is used, and why not.
pub(super) fn state(upstream: &Upstream, endpoint: &Endpoint, now: Seconds) -> State {
    let health = endpoint.health();
    match endpoint.state() {
        AdminState::Maintenance => State::Maintenance,
        _ if health.is_down() => State::Down,
        AdminState::Drain => State::Drain,
        AdminState::Ready if endpoint.weight() == 0 => State::Drain,
        AdminState::Ready if health.is_no_new() => State::NoNew,
        AdminState::Ready if health.is_ejected(now) => State::Ejected,
        AdminState::Ready if upstream.config().probe.is_none() => State::NotProbed,
        AdminState::Ready => State::Up,
    }
}

/// Says what probes say: all that is known of an endpoint's health comes through here.
pub(super) fn checked(upstream: &Upstream, endpoint: &Endpoint, now: Seconds) -> Option<Checked> {
    let probe = upstream.config().probe.as_ref()?;
    let (last, history) = (endpoint.health().last_check(), endpoint.health().probed(now));
    let check = last.check;
    let text = match &*check.text {
        "" => check.status.sentence().to_owned(),
        said => format!("{}: {said}", check.status.sentence()),
    };
    Some(Checked {
        status: format!("{}{}", if last.running { "* " } else { "" }, check.status.word()),
        code: check.code,
        took: last.at.map(|_| check.duration),
        text,
        failed: history.failed_checks,
        downs: history.downs.into(),
        since_change: history.since_change.0.into(),
        downtime: history.downtime.0.into(),
        rise: probe.rise,
        fall: probe.fall,
    })
}
