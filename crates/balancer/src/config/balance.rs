//! `balance`: how a new session is placed.

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
