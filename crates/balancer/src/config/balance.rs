//! `balance`: how a new session is placed.

/// How a new session is placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The endpoint with the fewest sessions, tunnels and unbound requests; ties go round.
    #[default]
    LeastConn,
    /// One after the other.
    RoundRobin,
}

impl Balance {
    /// Every value, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::LeastConn, Self::RoundRobin];

    /// Returns the word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeastConn => "least_conn",
            Self::RoundRobin => "round_robin",
        }
    }
}
