//! The conditions of a route: which requests it takes.

use std::fmt;

use ipnet::IpNet;

use super::reader::{Entry, Reader, unread};
use super::value;

/// What a request must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It asks for this host, without port, ignoring case.
    Host(HostRule),
    /// Its path and query begin with this, as they are written.
    Uri(String),
    /// Its normalised path begins with this.
    PathPrefix(String),
    /// Its client's address, behind trusted proxies too, is in one of these networks.
    Source(Vec<IpNet>),
    /// All of these hold; without any, every request does.
    All(Vec<Self>),
}

/// Which host names a rule stands for. All are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRule {
    /// This name.
    Exact(String),
    /// Every name that ends with this, which begins with a dot.
    Below(String),
}

impl HostRule {
    /// Makes a rule of a name, or of `*.` and a name.
    pub fn new(rule: &str) -> Self {
        let rule = rule.to_ascii_lowercase();
        match rule.strip_prefix('*') {
            Some(suffix) => Self::Below(suffix.to_owned()),
            None => Self::Exact(rule),
        }
    }
}

impl Condition {
    /// Tells whether every request that is like this is like the other too. `false` where that is hard to say.
    pub fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::All(others)) => others.iter().all(|other| self.implies(other)),
            (Self::All(all), _) => all.iter().any(|condition| condition.implies(other)),
            (Self::Host(this), Self::Host(other)) => this.implies(other),
            (Self::Uri(this), Self::Uri(other)) => this.starts_with(other.as_str()),
            (Self::PathPrefix(this), Self::PathPrefix(other)) => this.starts_with(other.as_str()),
            (Self::Source(these), Self::Source(others)) => {
                these.iter().all(|network| others.iter().any(|other| other.contains(network)))
            }
            _ => false,
        }
    }
}

impl HostRule {
    fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(name) | Self::Below(name), Self::Below(suffix)) => name.ends_with(suffix.as_str()),
            _ => self == other,
        }
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(rule) => write!(f, "host {rule}"),
            Self::Uri(start) => write!(f, "uri {start}*"),
            Self::PathPrefix(prefix) => write!(f, "path {prefix}*"),
            Self::Source(networks) => {
                let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
                write!(f, "source {}", networks.join(" or "))
            }
            Self::All(all) if all.is_empty() => f.write_str("everything"),
            Self::All(all) => {
                for (n, condition) in all.iter().enumerate() {
                    let comma = if n == 0 { "" } else { ", " };
                    write!(f, "{comma}{condition}")?;
                }
                Ok(())
            }
        }
    }
}

/// Reads one key of a table of conditions.
pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>, all: &mut Vec<Condition>) {
    match entry.key {
        "host" => all.extend(reader.value(entry, value::route_host).map(|host| Condition::Host(HostRule::new(&host)))),
        "path_prefix" => all.extend(reader.value(entry, value::path_prefix).map(Condition::PathPrefix)),
        "source" => {
            let mut networks = Vec::new();
            reader.set_list(entry, value::network, &mut networks);
            all.push(Condition::Source(networks));
        }
        _ => unread(reader, entry),
    }
}
