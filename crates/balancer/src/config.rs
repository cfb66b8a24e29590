//! The checked configuration: what the balancer runs from. Every limit says what memory it can cost.
//!
//! Text becomes a [`Config`] in two steps. A [`Draft`] collects what the file, the environment and the flags say, in
//! that order, and remembers where each value came from. [`Draft::check`] decides whether the whole makes sense.
//! Both steps collect every error, each with its file, line and key. The `new` and `Default` functions here are the
//! documented defaults; [`defaults`] writes them down for people. Each table of the file has one file here: what it
//! means to the balancer, its keys for people, and how it is read.

mod action;
mod admin;
mod affinity;
mod balance;
mod check;
mod condition;
pub mod defaults;
mod dns;
mod draft;
mod endpoint;
mod endpoints_file;
mod environment;
mod error;
mod file;
mod forwarded;
mod hash;
mod header_edits;
mod journal;
mod json;
mod lint;
mod listener;
mod outlier;
mod part;
mod probe;
mod proxy;
mod rate_limit;
mod reader;
mod replicas;
mod route;
mod setting;
mod stats;
mod suggest;
mod template;
#[cfg(test)]
mod tests;
mod upstream;
mod value;
mod variables;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use self::action::{ActionConfig, RedirectConfig, RespondConfig};
pub use self::affinity::{
    Affinity, ClientAffinity, CookieAffinity, CookieMode, CookieValue, HeaderAffinity, QueryAffinity, SameSite,
    StickySessionAffinity, WhenGone,
};
pub use self::balance::Balance;
pub use self::condition::{Condition, HeaderRule, HostRule, ValueRule};
pub use self::dns::{DnsConfig, DnsFamily};
pub use self::draft::Draft;
pub use self::endpoint::{AdminState, EndpointConfig, repetitions};
pub use self::endpoints_file::read_endpoints;
pub use self::environment::{Lookup, process_environment};
pub use self::error::{ConfigError, ConfigErrors, Origin};
pub use self::forwarded::Forwarded;
pub use self::hash::{Hash, HashKey};
pub use self::header_edits::HeaderEdits;
pub use self::lint::{Lint, remarks};
pub use self::listener::ListenerConfig;
pub use self::outlier::OutlierConfig;
pub use self::probe::{HttpProbe, ProbeConfig, ProbeMethod};
pub use self::proxy::{AcceptProxy, SendProxy};
pub use self::rate_limit::{Rate, RateKey, RateLimitConfig};
pub use self::replicas::ReplicasConfig;
pub use self::route::RouteConfig;
pub use self::setting::Setting;
pub use self::stats::StatsPage;
pub use self::template::{Piece, Place, Template};
pub use self::upstream::UpstreamConfig;

/// Everything that a balancer runs from.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Worker threads; the number of cores by default.
    pub workers: usize,
    /// Client connections in all, 0 for as many as the descriptor limit allows (two per connection).
    pub max_connections: usize,
    /// How long requests in progress may take to end after SIGTERM; 8 s by default, since container engines give 10 s.
    pub shutdown_timeout: Duration,
    /// Where the keys of the tags come from.
    pub key: KeySource,
    /// The access log on standard output.
    pub access_log: AccessLog,
    /// Where metrics and the state of the balancer are read, if anywhere.
    pub admin: Option<SocketAddr>,
    /// How the names of endpoints are looked up.
    pub dns: DnsConfig,
    /// Bound addresses.
    pub listeners: Vec<ListenerConfig>,
    /// Tried in order; the first that matches decides.
    pub routes: Vec<RouteConfig>,
    /// Groups of endpoints.
    pub upstreams: Vec<UpstreamConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: cores(),
            max_connections: 0,
            shutdown_timeout: Duration::from_secs(8),
            key: KeySource::StateDirectory(PathBuf::from(environment::LAST_STATE_DIRECTORY)),
            access_log: AccessLog::Off,
            admin: None,
            dns: DnsConfig::default(),
            listeners: Vec::new(),
            routes: Vec::new(),
            upstreams: Vec::new(),
        }
    }
}

/// Where the keys of the tags come from. Its debug form never shows a key.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// Key lines given as text, from `LIMPET_KEY`.
    Inline(String),
    /// A file of key lines, from `[cluster] key_file` or `LIMPET_KEY_FILE`.
    File(PathBuf),
    /// A key that is generated once and kept in this directory with mode 0600.
    StateDirectory(PathBuf),
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("Inline(***)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::StateDirectory(path) => f.debug_tuple("StateDirectory").field(path).finish(),
        }
    }
}

/// The form of the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// No access log.
    #[default]
    Off,
    /// One line of `key=value` pairs per request and per closed tunnel.
    Text,
    /// One JSON object per line.
    Json,
}

impl AccessLog {
    /// Every value, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Off, Self::Text, Self::Json];

    /// Returns the word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Returns the number of cores that this process may use, at least one.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
