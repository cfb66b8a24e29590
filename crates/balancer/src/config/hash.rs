//! `hash`, `hash_key`: how a key becomes an endpoint, and where the key comes from.

use super::value::Parsed;

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
    /// HAProxy's map-based hash with its avalanche.
    SourceAvalanche,
}

impl Hash {
    /// Every value, in the order of the documentation.
    pub const ALL: [Self; 7] =
        [Self::Rendezvous, Self::Ring, Self::Ketama, Self::IpHash, Self::Modulo, Self::Source, Self::SourceAvalanche];

    /// Returns the word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rendezvous => "rendezvous",
            Self::Ring => "ring",
            Self::Ketama => "ketama",
            Self::IpHash => "ip_hash",
            Self::Modulo => "modulo",
            Self::Source => "source",
            Self::SourceAvalanche => "source_avalanche",
        }
    }

    /// Returns the part of a header's value that is the key: HAProxy's functions take the first of several values between
    /// commas, without blanks around it; the others take all of it.
    pub fn part_of_header(self, value: &[u8]) -> &[u8] {
        if !matches!(self, Self::Ring | Self::Source | Self::SourceAvalanche) {
            return value;
        }
        let (mut is_quoted, mut is_escaped) = (false, false);
        let ends = |byte: &u8| {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if is_quoted => is_escaped = true,
                b'"' => is_quoted = !is_quoted,
                b',' => return !is_quoted,
                _ => {}
            }
            false
        };
        let end = value.iter().position(ends).unwrap_or(value.len());
        value[..end].trim_ascii()
    }

    /// Returns whether `hash_balance_factor` applies.
    pub fn can_bound_load(self) -> bool {
        matches!(self, Self::Rendezvous | Self::Ring | Self::Ketama)
    }
}

/// Where the key of `balance = "hash"` comes from. A request without it is placed by turns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashKey {
    /// The address of the client.
    #[default]
    Client,
    /// The path as it was sent, without the query.
    Path,
    /// The first value of a header.
    Header(String),
    /// The first value of a query parameter, as it was sent.
    Query(String),
}

/// Reads where a key comes from.
pub(super) fn hash_key(text: &str) -> Parsed<HashKey> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match text.split_once(':') {
        None if text == "client" => Ok(HashKey::Client),
        None if text == "path" => Ok(HashKey::Path),
        Some(("header", name)) if !name.is_empty() && name.bytes().all(token) => Ok(HashKey::Header(name.to_owned())),
        Some(("query", name)) if !name.is_empty() && !name.contains(['&', '=', '#']) => {
            Ok(HashKey::Query(name.to_owned()))
        }
        _ => Err(format!(
            "{text:?} is not the source of a key; write \"client\", \"path\", \"header:X-User\" or \"query:room\""
        )),
    }
}

/// Reads how far above the average a hash may load an endpoint, in percent; 0 for no bound.
pub(super) fn balance_factor(text: &str) -> Parsed<u32> {
    match text.parse() {
        Ok(factor) if factor == 0 || (101..=65535).contains(&factor) => Ok(factor),
        _ => Err(format!("{text:?} is not a factor; write 0 for none, or percent from 101, such as 125")),
    }
}
