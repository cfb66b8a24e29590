//! What a snapshot is made from: how much each endpoint is preferred, and how much it bears.

use std::time::Duration;

use super::WEIGHT_SCALE;
use crate::config::AdminState;
use crate::table::Seconds;
use crate::upstream::endpoint::Endpoint;

/// What a snapshot says of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) serial: u64,
    pub(super) rank: Option<Rank>,
    /// As configured.
    pub(super) weight: u32,
    /// Sixteenths, within a slow start less than configured.
    pub(super) effective_weight: u32,
    pub(super) slots: u32,
    pub(super) max_sessions: u32,
}

/// How much an endpoint is preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Ready,
    ReadyBackup,
    Ejected,
    EjectedBackup,
    Down,
    DownBackup,
}

impl Standing {
    pub(super) fn of(endpoint: &Endpoint, slow_start: Duration, now: Seconds) -> Self {
        let (health, weight) = (endpoint.health(), endpoint.weight());
        let rank = if endpoint.state() != AdminState::Ready || weight == 0 {
            None
        } else {
            match (endpoint.is_backup(), health.is_down(), health.is_ejected(now)) {
                (_, false, _) if health.is_no_new() => None,
                (false, false, false) => Some(Rank::Ready),
                (true, false, false) => Some(Rank::ReadyBackup),
                (false, false, true) => Some(Rank::Ejected),
                (true, false, true) => Some(Rank::EjectedBackup),
                (false, true, _) => Some(Rank::Down),
                (true, true, _) => Some(Rank::DownBackup),
            }
        };
        let grown = grown(endpoint, slow_start, now);
        let share = |whole: u32| match (whole, grown) {
            (0, _) => 0,
            (whole, Some((part, of))) => {
                u32::try_from(u64::from(whole) * u64::from(part) / u64::from(of)).unwrap_or(whole).max(1)
            }
            (whole, None) => whole,
        };
        Self {
            serial: endpoint.serial(),
            rank,
            weight,
            effective_weight: share(weight * WEIGHT_SCALE),
            slots: share(endpoint.max_conn()),
            max_sessions: endpoint.max_sessions(),
        }
    }
}

/// Returns how far an endpoint is within its slow start: seconds since it came up, of seconds in all.
fn grown(endpoint: &Endpoint, slow_start: Duration, now: Seconds) -> Option<(u32, u32)> {
    let lasts = if slow_start.is_zero() { return None } else { Seconds::lasting(slow_start).0 };
    let since = now.since(endpoint.health().up_since()?).0;
    (since < lasts).then_some((since, lasts))
}

/// Returns how much of its weight an endpoint has within its slow start, in percent; `None` outside of it.
pub(crate) fn throttle(endpoint: &Endpoint, slow_start: Duration, now: Seconds) -> Option<u32> {
    grown(endpoint, slow_start, now)?;
    let whole = endpoint.weight() * WEIGHT_SCALE;
    (Standing::of(endpoint, slow_start, now).effective_weight * 100).checked_div(whole)
}
