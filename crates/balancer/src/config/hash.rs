//! `hash`: how a key becomes an endpoint.

/// How a key becomes an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hash {
    /// Highest random weight: a change of the endpoints moves only the keys that have to move.
    #[default]
    Rendezvous,
    /// HAProxy's `hash-type consistent`: a ring with 16 points per unit of weight.
    Ring,
    /// nginx's `hash ... consistent`: a ring with 160 points per unit of weight.
    Ketama,
    /// nginx's `ip_hash`: the first three octets of an IPv4 address, the whole of an IPv6 address.
    IpHash,
    /// nginx's `hash`.
    Modulo,
    /// HAProxy's map-based hash, as of `balance source`.
    Source,
}

impl Hash {
    /// Every value, in the order of the documentation.
    pub const ALL: [Self; 6] = [Self::Rendezvous, Self::Ring, Self::Ketama, Self::IpHash, Self::Modulo, Self::Source];

    /// Returns the word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rendezvous => "rendezvous",
            Self::Ring => "ring",
            Self::Ketama => "ketama",
            Self::IpHash => "ip_hash",
            Self::Modulo => "modulo",
            Self::Source => "source",
        }
    }
}
