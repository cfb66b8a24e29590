//! Decides which addresses a name stands for, from one answer of DNS to the next. No sockets and no clock.
//!
//! Invariants:
//! - What failed to be looked up (no answer, SERVFAIL, refused) changes nothing, however long it fails: the addresses of the
//!   last good answer stay. IPv4 and IPv6 and every target of an SRV record are judged by themselves.
//! - A name of which DNS says that it does not exist, or that it has no address, keeps its addresses for `hold`, since
//!   names vanish for moments while services are deployed; then they go.
//! - Answers are asked for again when their TTL is over, within bounds; troubles every [`RETRY`].

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::weight;
use crate::config::{DnsConfig, EndpointConfig};

/// The time between two look-ups of a name that is in trouble.
const RETRY: Duration = Duration::from_secs(2);

/// The longest time for a look-up with all that follows from it.
pub(super) const LONGEST: Duration = Duration::from_secs(30);

/// Addresses that one name may stand for.
const MAX_PLACES: usize = 1024;

/// What is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The addresses of a host.
    Host {
        /// Its name.
        name: String,
        /// The port there.
        port: u16,
    },
    /// The hosts and ports of an SRV record (RFC 2782).
    Service(String),
}

impl Target {
    /// Returns what has to be looked up for an endpoint: nothing if it has an IP address.
    pub fn of(config: &EndpointConfig) -> Option<Self> {
        if config.srv {
            return Some(Self::Service(config.host.clone()));
        }
        let is_address = config.host.parse::<IpAddr>().is_ok();
        (!is_address).then(|| Self::Host { name: config.host.clone(), port: config.port })
    }
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Addresses of A records.
    V4,
    /// Addresses of AAAA records.
    V6,
}

/// What one query gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<T> {
    /// Records.
    Found(T),
    /// DNS says that there are none.
    Missing,
    /// DNS says nothing, and why.
    Failed(String),
}

/// One SRV record, or what stands for one if a host was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The host.
    pub target: String,
    /// The port there.
    pub port: u16,
    /// The lowest are used first.
    pub priority: u16,
    /// The share among those of the same priority; none for a host.
    pub weight: Option<u16>,
}

/// What one look-up gave: the records, and the addresses of each of their targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The records.
    pub records: Part<Vec<Record>>,
    /// The addresses by target and family.
    pub addresses: HashMap<(String, Family), Part<Vec<IpAddr>>>,
    /// The shortest TTL of all that was found.
    pub ttl: Duration,
}

/// One address that a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address.
    pub address: SocketAddr,
    /// The weight of the SRV record as an endpoint's; none if there was no such record.
    pub weight: Option<u32>,
    /// An SRV record of a better priority exists.
    pub backup: bool,
}

/// What an answer did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// The places are others than before.
    pub changed: bool,
    /// What to tell the operator, once per trouble.
    pub say: Option<Say>,
}

/// What there is to tell about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// It cannot be looked up, and why.
    Trouble(String),
    /// It can be looked up again.
    Recovered,
    /// It has not existed for so long that its addresses go.
    Gone,
}

/// A name that is looked up again and again.
#[derive(Debug)]
pub struct Name {
    records: Vec<Record>,
    addresses: HashMap<(String, Family), Vec<IpAddr>>,
    places: Vec<Place>,
    missing_since: Option<Instant>,
    trouble: Option<String>,
    due: Instant,
    answered: bool,
}

impl Name {
    /// Begins with a name that is to be looked up at once.
    pub fn new(now: Instant) -> Self {
        Self {
            records: Vec::new(),
            addresses: HashMap::new(),
            places: Vec::new(),
            missing_since: None,
            trouble: None,
            due: now,
            answered: false,
        }
    }

    /// Returns the addresses of this moment.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Returns whether an answer, good or bad, has come.
    pub fn is_answered(&self) -> bool {
        self.answered
    }

    /// Returns when it is to be looked up again.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Notes that a look-up begins, which ends within [`LONGEST`].
    pub fn begin(&mut self, now: Instant) {
        self.due = now + LONGEST + RETRY;
    }

    /// Takes the answer of a look-up.
    pub fn handle_answer(&mut self, answer: Answer, limits: &DnsConfig, now: Instant) -> Effect {
        self.answered = true;
        let mut failure = None;
        let records = match answer.records {
            Part::Found(records) => records,
            Part::Missing => Vec::new(),
            Part::Failed(reason) => {
                failure = Some(reason);
                self.records.clone()
            }
        };
        let mut addresses = HashMap::new();
        for record in &records {
            for family in [Family::V4, Family::V6] {
                let key = (record.target.clone(), family);
                let other = match family {
                    Family::V4 => (record.target.clone(), Family::V6),
                    Family::V6 => (record.target.clone(), Family::V4),
                };
                let before = || self.addresses.get(&key).cloned().unwrap_or_default();
                let found = match answer.addresses.get(&key) {
                    Some(Part::Found(found)) => found.clone(),
                    Some(Part::Failed(reason)) => {
                        failure.get_or_insert_with(|| reason.clone());
                        before()
                    }
                    // Nothing is known of the name as a whole while half of the look-up fails.
                    Some(Part::Missing) if matches!(answer.addresses.get(&other), Some(Part::Failed(_))) => before(),
                    Some(Part::Missing) => Vec::new(),
                    None => before(),
                };
                addresses.insert(key, found);
            }
        }
        let places = places(&records, &addresses);
        let missing = places.is_empty() && failure.is_none();
        let mut effect = Effect::default();
        let mut held = false;
        if missing {
            let since = *self.missing_since.get_or_insert(now);
            held = !self.places.is_empty() && now.saturating_duration_since(since) < limits.hold;
        } else {
            self.missing_since = None;
        }
        if !(held || places.is_empty() && failure.is_some()) {
            effect.changed = places != self.places;
            (self.records, self.addresses, self.places) = (records, addresses, places);
        }
        let trouble = failure.or_else(|| missing.then(|| "DNS knows no address of it".to_owned()));
        effect.say = match (&self.trouble, &trouble) {
            _ if missing && effect.changed => Some(Say::Gone),
            (None, Some(reason)) => Some(Say::Trouble(reason.clone())),
            (Some(_), None) => Some(Say::Recovered),
            _ => None,
        };
        let pause = if trouble.is_some() { RETRY.min(limits.max_ttl) } else { answer.ttl };
        self.trouble = trouble;
        self.due = now + pause.clamp(limits.min_ttl, limits.max_ttl.max(limits.min_ttl));
        effect
    }
}

/// Joins records with the addresses of their targets, each address and port once, the best priority first.
fn places(records: &[Record], addresses: &HashMap<(String, Family), Vec<IpAddr>>) -> Vec<Place> {
    let best = records.iter().map(|record| record.priority).min().unwrap_or_default();
    let most = records.iter().filter_map(|record| record.weight).max().unwrap_or_default();
    let mut places: Vec<(u16, Place)> = Vec::new();
    for record in records {
        for family in [Family::V4, Family::V6] {
            for ip in addresses.get(&(record.target.clone(), family)).into_iter().flatten() {
                let place = Place {
                    address: SocketAddr::new(*ip, record.port),
                    weight: record.weight.map(|weight| weight::of_record(weight, most)),
                    backup: record.priority > best,
                };
                places.push((record.priority, place));
            }
        }
    }
    places.sort_by_key(|(priority, place)| (*priority, place.address));
    let mut places: Vec<Place> = places.into_iter().map(|(_, place)| place).collect();
    let mut seen = std::collections::HashSet::new();
    places.retain(|place| seen.insert(place.address));
    places.truncate(MAX_PLACES);
    places
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host { name, port } => write!(f, "{name}:{port}"),
            Self::Service(name) => write!(f, "srv:{name}"),
        }
    }
}

#[cfg(test)]
mod tests;
