//! `balance`: how a new session is placed.

use super::{Affinity, UpstreamConfig};

/// How a new session is placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The endpoint with the fewest sessions, tunnels and unbound requests for its weight; ties go round.
    #[default]
    LeastConn,
    /// One after the other, by nginx's smooth weighted round robin.
    RoundRobin,
    /// Two endpoints by chance, and of these the one with less load.
    Random2,
    /// By the client's address.
    Source,
    /// By a key of the request.
    Hash,
    /// The first endpoint that has a free slot.
    First,
}

impl Balance {
    /// Every value, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::LeastConn, Self::RoundRobin, Self::Random2, Self::Source, Self::Hash, Self::First];

    /// Returns the word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeastConn => "least_conn",
            Self::RoundRobin => "round_robin",
            Self::Random2 => "random2",
            Self::Source => "source",
            Self::Hash => "hash",
            Self::First => "first",
        }
    }

    /// Returns whether the endpoint depends on a key.
    pub fn hashes(self) -> bool {
        matches!(self, Self::Source | Self::Hash)
    }
}

/// Returns remarks on keys that have no effect with others, and on limits that mean more than they seem to.
pub(super) fn remarks(upstream: &UpstreamConfig) -> Vec<String> {
    let (name, balance) = (&upstream.name, upstream.balance);
    let mut remarks = Vec::new();
    // Affinity can hash too, whatever places new sessions.
    let hashes = balance.hashes() || upstream.affinity.iter().any(|mode| *mode != Affinity::Sid);
    if upstream.hash_balance_factor > 0 && !hashes {
        remarks.push(format!(
            "upstream.{name}.hash_balance_factor has no effect with balance = {:?}; it is for \"hash\" and \"source\"",
            balance.as_str()
        ));
    } else if upstream.hash_balance_factor > 0 && balance.hashes() && !upstream.hash.can_bound_load() {
        remarks.push(format!(
            "upstream.{name}.hash_balance_factor has no effect with hash = {:?}; it is for \"rendezvous\", \"ring\" and \
             \"ketama\"",
            upstream.hash.as_str()
        ));
    }
    let limited = upstream.endpoints.iter().find(|endpoint| endpoint.max_conn > 0);
    if let Some(endpoint) = limited.filter(|_| upstream.affinity.contains(&Affinity::Sid)) {
        remarks.push(format!(
            "upstream.{name}: max_conn = {most} of {endpoint} is the number of its live Socket.IO sessions too, for a \
             WebSocket has its slot as long as it lives and a poll while it is held; max_sessions bounds sessions \
             without a queue",
            most = endpoint.max_conn
        ));
    }
    if upstream.endpoints.iter().all(|endpoint| endpoint.weight == 0) && !upstream.endpoints.is_empty() {
        remarks.push(format!("upstream.{name}: every endpoint has weight 0, so that new sessions get 503"));
    }
    remarks
}
