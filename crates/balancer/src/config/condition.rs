//! The conditions of a route: which requests it takes.

mod read;

use std::fmt;

use ipnet::IpNet;

pub(super) use self::read::read;

/// What a request must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It asks for this host, without port, ignoring case.
    Host(HostRule),
    /// Its normalised path is this.
    Path(String),
    /// Its normalised path begins with this.
    PathPrefix(String),
    /// It has a header like this.
    Header(HeaderRule),
    /// Its method is this.
    Method(String),
    /// It has a query parameter of this name, and of this value if there is one; both percent-decoded.
    Query {
        /// The name.
        name: String,
        /// The value; any will do without.
        value: Option<String>,
    },
    /// Its query, as it was sent, begins with this.
    QueryPrefix(String),
    /// Its client's address, behind trusted proxies too, is in one of these networks.
    Source(Vec<IpNet>),
    /// All of these hold; without any, every request does.
    All(Vec<Self>),
    /// At least one of these holds.
    Any(Vec<Self>),
    /// This does not hold.
    Not(Box<Self>),
}

/// Which host names a rule stands for. All are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRule {
    /// This name.
    Exact(String),
    /// Every name that begins with this.
    Prefix(String),
    /// Every name that ends with this, which begins with a dot.
    Below(String),
}

/// What a header must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRule {
    /// The name, ignoring case. `Host` stands for the authority that is asked for, with its port.
    pub name: String,
    /// The value: of a line as a whole, or of one of its comma-separated members.
    pub value: ValueRule,
}

/// What a value must be like, ignoring case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueRule {
    /// Anything.
    Present,
    /// Equal to this.
    Equal(String),
    /// Begins with this.
    Prefix(String),
}

impl Condition {
    /// Joins conditions that must all hold.
    pub(super) fn all(mut conditions: Vec<Self>) -> Self {
        if conditions.len() == 1 { conditions.remove(0) } else { Self::All(conditions) }
    }

    /// Joins conditions of which one must hold.
    pub(super) fn any(mut conditions: Vec<Self>) -> Self {
        if conditions.len() == 1 { conditions.remove(0) } else { Self::Any(conditions) }
    }

    /// Tells whether every request that is like this is like the other too. `false` where that is hard to say.
    pub fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::All(others)) => others.iter().all(|other| self.implies(other)),
            (Self::Any(any), _) => any.iter().all(|condition| condition.implies(other)),
            (Self::All(all), _) if all.iter().any(|condition| condition.implies(other)) => true,
            (_, Self::Any(others)) => others.iter().any(|other| self.implies(other)),
            (Self::Not(this), Self::Not(other)) => other.implies(this),
            (Self::Host(this), Self::Host(other)) => this.implies(other),
            (Self::Path(this) | Self::PathPrefix(this), Self::PathPrefix(other)) => this.starts_with(other.as_str()),
            (Self::Header(this), Self::Header(other)) => {
                this.name.eq_ignore_ascii_case(&other.name) && this.value.implies(&other.value)
            }
            (Self::Query { name, .. }, Self::Query { name: other, value: None }) => name == other,
            (Self::QueryPrefix(this), Self::QueryPrefix(other)) => this.starts_with(other.as_str()),
            (Self::Source(these), Self::Source(others)) => {
                these.iter().all(|network| others.iter().any(|other| other.contains(network)))
            }
            _ => self == other,
        }
    }
}

impl HostRule {
    /// Makes a rule of a name, of the beginning of one and `*`, or of `*.` and the end of one.
    pub fn new(rule: &str) -> Self {
        let rule = rule.to_ascii_lowercase();
        match (rule.strip_prefix('*'), rule.strip_suffix('*')) {
            (Some(suffix), _) => Self::Below(suffix.to_owned()),
            (None, Some(prefix)) => Self::Prefix(prefix.to_owned()),
            (None, None) => Self::Exact(rule),
        }
    }

    fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(name) | Self::Below(name), Self::Below(suffix)) => name.ends_with(suffix.as_str()),
            (Self::Exact(name) | Self::Prefix(name), Self::Prefix(prefix)) => name.starts_with(prefix.as_str()),
            _ => self == other,
        }
    }
}

impl ValueRule {
    fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Present) => true,
            (Self::Equal(this), Self::Equal(other)) => this.eq_ignore_ascii_case(other),
            (Self::Equal(this) | Self::Prefix(this), Self::Prefix(other)) => {
                this.get(..other.len()).is_some_and(|start| start.eq_ignore_ascii_case(other))
            }
            _ => false,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(rule) => write!(f, "host {rule}"),
            Self::Path(path) => write!(f, "path {path}"),
            Self::PathPrefix(prefix) => write!(f, "path {prefix}*"),
            Self::Header(rule) => write!(f, "header {rule}"),
            Self::Method(method) => write!(f, "method {method}"),
            Self::Query { name, value: None } => write!(f, "query {name}"),
            Self::Query { name, value: Some(value) } => write!(f, "query {name}={value}"),
            Self::QueryPrefix(prefix) => write!(f, "query {prefix}*"),
            Self::Source(networks) => {
                let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
                write!(f, "source {}", networks.join(" or "))
            }
            Self::All(all) if all.is_empty() => f.write_str("everything"),
            Self::All(all) => list(f, ", ", all),
            Self::Any(any) => list(f, " or ", any),
            Self::Not(condition) => write!(f, "not ({condition})"),
        }
    }
}

/// Writes conditions with a word between them. Lists within lists stand in parentheses.
fn list(f: &mut fmt::Formatter<'_>, between: &str, conditions: &[Condition]) -> fmt::Result {
    for (n, condition) in conditions.iter().enumerate() {
        f.write_str(if n == 0 { "" } else { between })?;
        match condition {
            Condition::All(_) | Condition::Any(_) => write!(f, "({condition})")?,
            _ => write!(f, "{condition}")?,
        }
    }
    Ok(())
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

impl fmt::Display for HeaderRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            ValueRule::Present => f.write_str(&self.name),
            ValueRule::Equal(value) => write!(f, "{}: {value}", self.name),
            ValueRule::Prefix(prefix) => write!(f, "{}: {prefix}*", self.name),
        }
    }
}

#[cfg(test)]
mod tests;
