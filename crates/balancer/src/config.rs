//! The checked configuration: what the balancer runs from. Every limit says what memory it can cost.
//!
//! Text becomes a [`Config`] in two steps. A [`Draft`] collects what the file, the environment and the flags say, in
//! that order, and remembers where each value came from. [`Draft::check`] decides whether the whole makes sense.
//! Both steps collect every error, each with its file, line and key. The `new` and `Default` functions here are the
//! documented defaults; [`defaults`] writes them down for people.

mod check;
pub mod defaults;
mod draft;
mod environment;
mod error;
mod file;
mod journal;
mod reader;
mod setting;
mod suggest;
#[cfg(test)]
mod tests;
mod value;
mod variables;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use self::check::remarks;
pub use self::draft::Draft;
pub use self::environment::{Lookup, process_environment};
pub use self::error::{ConfigError, ConfigErrors, Origin};
pub use self::setting::Setting;

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

/// A bound address.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerConfig {
    /// The name in routes, logs and metrics.
    pub name: String,
    /// The address to bind; `[::]` accepts IPv4 too.
    pub bind: SocketAddr,
    /// Networks whose `X-Forwarded-*` and `Forwarded` headers are believed and extended; from others they are replaced.
    pub trusted: Vec<IpNet>,
    /// Client connections of this listener, 0 for no limit of its own.
    pub max_connections: usize,
    /// Client connections of one client address, 0 for no limit.
    pub max_connections_per_client: usize,
    /// Largest request head; costs at most this much per connection that is sending one. At most 32 KiB; 16 KiB by
    /// default, which is what Node's server takes.
    pub max_head_bytes: usize,
    /// Time to send a whole request head, from its first byte; then 408. 10 s by default: a head is a few packets, and
    /// this bounds how long a slow client can hold a buffer of `max_head_bytes`.
    pub head_timeout: Duration,
    /// Longest silence within a request body; then 408. 30 s by default: phones lose the network for some seconds.
    pub body_timeout: Duration,
    /// How long a connection may wait for its next request. 75 s by default: nginx and the load balancers of AWS keep
    /// idle connections to us for 60 s, and unless they close first, a request can cross with our close and fail.
    pub idle_timeout: Duration,
}

impl ListenerConfig {
    /// Makes a listener with the documented defaults.
    pub fn new(name: impl Into<String>, bind: SocketAddr) -> Self {
        Self {
            name: name.into(),
            bind,
            trusted: Vec::new(),
            max_connections: 0,
            max_connections_per_client: 0,
            max_head_bytes: 16 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
        }
    }
}

/// Which requests go to which upstream: all given conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// Only requests of this listener.
    pub listener: Option<String>,
    /// Only this host (without port, ignoring case); `*.example.com` matches every name below.
    pub host: Option<String>,
    /// Only paths that begin with this.
    pub path_prefix: Option<String>,
    /// The name of the upstream.
    pub upstream: String,
}

/// A named group of endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamConfig {
    /// The name in routes, logs and metrics.
    pub name: String,
    /// How a new session is placed.
    pub balance: Balance,
    /// What binds a session to its endpoint, tried in order.
    pub affinity: Vec<Affinity>,
    /// Whether sids of version 4 handshakes are tagged (`false`: learned only).
    pub sid_tag: bool,
    /// The addresses.
    pub endpoints: Vec<EndpointConfig>,
    /// Active health evidence; `None` switches it off.
    pub probe: Option<ProbeConfig>,
    /// Passive health evidence.
    pub outlier: OutlierConfig,
    /// Time for a TCP connection to an endpoint. 2 s by default: the first retransmission of a lost SYN comes after 1 s.
    pub connect_timeout: Duration,
    /// Time until an endpoint begins its response, and longest silence within it. Never below the largest pingInterval +
    /// pingTimeout seen. 60 s by default: a poll of Socket.IO with its own defaults is answered within 25 s.
    pub response_timeout: Duration,
    /// Longest silence of a tunnel, both directions together. Never below the largest pingInterval + pingTimeout seen.
    /// 1 h by default: Engine.IO notices the dead by itself, other protocols may be silent for long.
    pub tunnel_timeout: Duration,
    /// Largest request body that is held to locate an unknown version 3 session; costs at most this much per such request.
    /// 1 MiB by default, just above the 1 MB that Socket.IO takes (`maxHttpBufferSize`); 0 holds none.
    pub max_held_body_bytes: usize,
    /// Which headers tell endpoints about the client.
    pub forwarded: Forwarded,
}

impl UpstreamConfig {
    /// Makes an upstream with the documented defaults.
    pub fn new(name: impl Into<String>, endpoints: Vec<EndpointConfig>) -> Self {
        Self {
            name: name.into(),
            balance: Balance::LeastConn,
            affinity: vec![Affinity::Sid],
            sid_tag: true,
            endpoints,
            probe: Some(ProbeConfig::default()),
            outlier: OutlierConfig::default(),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(60),
            tunnel_timeout: Duration::from_secs(3600),
            max_held_body_bytes: 1024 * 1024,
            forwarded: Forwarded::default(),
        }
    }
}

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

/// What binds a session to its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// The Engine.IO sid.
    Sid,
}

impl Affinity {
    /// Every value, in the order of the documentation.
    pub const ALL: [Self; 1] = [Self::Sid];

    /// Returns the word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sid => "sid",
        }
    }
}

/// Which headers tell endpoints about the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host`.
    pub x_forwarded: bool,
    /// `X-Real-IP`.
    pub x_real_ip: bool,
    /// `Forwarded` (RFC 7239).
    pub rfc7239: bool,
}

impl Default for Forwarded {
    fn default() -> Self {
        Self { x_forwarded: true, x_real_ip: true, rfc7239: false }
    }
}

/// One address, or a name that stands for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// A stable identity that survives a change of address.
    pub id: Option<String>,
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A TCP probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeConfig {
    /// Time between two probes of an endpoint.
    pub interval: Duration,
    /// Time for one probe.
    pub timeout: Duration,
    /// Successes in a row that bring an endpoint up.
    pub rise: u32,
    /// Failures in a row that take an endpoint down.
    pub fall: u32,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self { interval: Duration::from_secs(2), timeout: Duration::from_secs(1), rise: 2, fall: 3 }
    }
}

/// When an endpoint is ejected because of what its real traffic shows. At most half of an upstream is ejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierConfig {
    /// Failures in a row (refused connections, timeouts, connections closed without a response); 0 switches ejection off.
    pub failures: u32,
    /// First ejection; each further one in a row is longer by this much, up to ten times.
    pub ejection: Duration,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self { failures: 5, ejection: Duration::from_secs(10) }
    }
}

/// Returns the number of cores that this process may use, at least one.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
