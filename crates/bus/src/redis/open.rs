//! Decides how one URL becomes connections: to a Redis alone, to the master that Sentinels name, or to a Redis Cluster.
//!
//! Everything speaks RESP3, so Redis 6 is the oldest that will do. Nothing here prints a password: not an error, not
//! `Debug`.

mod dial;
mod kept;
mod tls;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo as _,
    ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, TlsMode, Value,
};

use crate::adapter::BusError;
use crate::redis::ask::Ask;
pub(crate) use dial::{Dialled, Duplex};
pub(crate) use kept::{Kept, is_broken};
use url::{Host, Shape, Tls, Url};

/// How long a connection may take to be made.
pub(crate) const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// How long Redis may take to answer, unless said otherwise.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where Redis is and how it is spoken to. Clones share nothing but are cheap.
#[derive(Clone)]
pub(crate) struct Address {
    kind: Kind,
    /// How connections that we read ourselves are protected.
    tls: Option<Arc<rustls::ClientConfig>>,
    /// What is shown: the URL without its secrets.
    shown: String,
}

#[derive(Clone)]
enum Kind {
    One(ConnectionInfo),
    Sentinel(Sentinels),
    Cluster {
        /// Nodes to ask for the others.
        seeds: Vec<ConnectionInfo>,
        tls: Option<Tls>,
    },
}

#[derive(Clone)]
struct Sentinels {
    hosts: Vec<Host>,
    tls: Option<Tls>,
    /// Name of the master.
    master: String,
    /// What the Sentinels themselves want.
    user: Option<String>,
    password: Option<String>,
    /// What the master wants.
    settings: RedisConnectionInfo,
}

/// A connection for commands, whatever is behind it. Clones share it; it is not made anew when it breaks, see [`Kept`].
#[derive(Clone)]
pub(crate) enum Connection {
    /// To one Redis: the only one, or the master.
    One(MultiplexedConnection),
    /// To the nodes of a Redis Cluster, each command to the node that has its key.
    Cluster(ClusterConnection),
}

impl Address {
    /// Reads a URL. Nothing is connected.
    ///
    /// ```text
    /// redis://[[user]:password@]host[:6379][/db]                rediss:// for TLS, also below
    /// redis+unix:///path[?db=0&user=u&pass=p]
    /// redis+sentinel://[[user]:password@]host[:26379][,host…]/name-of-master[/db]
    /// redis+cluster://[[user]:password@]host[:6379][,host…]
    /// ```
    /// TLS takes `?ca=FILE`, `?cert=FILE&key=FILE`, and `#insecure`, which trusts anybody. Sentinels that want a password
    /// of their own take `?sentinel_user=` and `?sentinel_password=`.
    ///
    /// # Errors
    /// [`BusError::Failed`] with what is wrong and what would be right.
    pub(crate) fn parse(url: &str) -> Result<Self, BusError> {
        let url = Url::read(url).map_err(|error| BusError::Failed(Box::new(error)))?;
        Self::of(url).map_err(|error| BusError::Failed(Box::new(error)))
    }

    fn of(url: Url) -> RedisResult<Self> {
        let shown = url.to_string();
        let Url { shape, hosts, tls, user, password, db } = url;
        if tls.is_some() {
            // One that the application has chosen stays.
            rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        }
        let config = tls.as_ref().map(tls::config).transpose()?;
        let settings = settings(user.as_deref(), password.as_deref(), db);
        let infos = |hosts: &[Host], settings: &RedisConnectionInfo| -> RedisResult<Vec<ConnectionInfo>> {
            hosts.iter().map(|host| info(address(host, tls.as_ref()), tls.as_ref(), settings)).collect()
        };
        let kind = match shape {
            Shape::One => {
                let mut infos = infos(&hosts, &settings)?;
                Kind::One(infos.pop().ok_or_else(|| nowhere("no host"))?)
            }
            Shape::Unix(path) => Kind::One(info(ConnectionAddr::Unix(path), None, &settings)?),
            Shape::Sentinel { master, user, password } => {
                Kind::Sentinel(Sentinels { hosts, tls, master, user, password, settings })
            }
            Shape::Cluster => Kind::Cluster { seeds: infos(&hosts, &settings)?, tls },
        };
        Ok(Self { kind, tls: config, shown })
    }

    /// Whether keys and channels belong to different nodes.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.kind, Kind::Cluster { .. })
    }

    /// Whether others may take the place of the master.
    pub(crate) fn is_sentinel(&self) -> bool {
        matches!(self.kind, Kind::Sentinel(_))
    }

    /// Returns hosts and ports of the nodes of a cluster that the URL names.
    pub(crate) fn seeds(&self) -> Vec<(String, u16)> {
        let Kind::Cluster { seeds, .. } = &self.kind else { return Vec::new() };
        let host = |seed: &ConnectionInfo| match seed.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => Some((host.clone(), *port)),
            _ => None,
        };
        seeds.iter().filter_map(host).collect()
    }

    /// Connects for commands. An answer may take `response_timeout`, which `None` makes endless: for commands that wait.
    pub(crate) async fn connect(&self, response_timeout: Option<Duration>) -> RedisResult<Connection> {
        let Kind::Cluster { seeds, tls } = &self.kind else {
            return self.connect_one(response_timeout).await.map(Connection::One);
        };
        let mut builder = ClusterClientBuilder::new(seeds.iter().cloned())
            .use_protocol(ProtocolVersion::RESP3)
            .connection_timeout(CONNECTION_TIMEOUT)
            .response_timeout(response_timeout.unwrap_or(Duration::MAX));
        if let Some(tls) = tls {
            builder = builder.tls(tls.mode());
            if let Some(certificates) = tls.certificates() {
                builder = builder.certs(certificates);
            }
        }
        builder.build()?.get_async_connection().await.map(Connection::Cluster)
    }

    async fn connect_one(&self, response_timeout: Option<Duration>) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECTION_TIMEOUT))
            .set_response_timeout(response_timeout);
        match &self.kind {
            Kind::One(info) => Client::open(info.clone())?.get_multiplexed_async_connection_with_config(&config).await,
            Kind::Sentinel(sentinels) => sentinels.client()?.get_async_connection_with_config(&config).await,
            Kind::Cluster { .. } => Err(nowhere("a cluster is more than one")),
        }
    }
}

impl Sentinels {
    /// Who asks the Sentinels, each in turn, for the master of now.
    fn client(&self) -> RedisResult<SentinelClient> {
        let addresses: Vec<_> = self.hosts.iter().map(|host| address(host, self.tls.as_ref())).collect();
        let mut builder = SentinelClientBuilder::new(addresses, &self.master, SentinelServerType::Master)?
            .set_client_to_redis_protocol(ProtocolVersion::RESP3)
            .set_client_to_redis_db(self.settings.db());
        if let Some(user) = self.settings.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = self.settings.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(user) = &self.user {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = &self.password {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if let Some(tls) = &self.tls {
            builder = builder.set_client_to_redis_tls_mode(tls.mode()).set_client_to_sentinel_tls_mode(tls.mode());
            if let Some(certificates) = tls.certificates() {
                builder = builder.set_client_to_redis_certificates(certificates.clone());
                builder = builder.set_client_to_sentinel_certificates(certificates);
            }
        }
        builder.build()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.shown).finish()
    }
}

impl Ask for Connection {
    async fn answer(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        }
    }
}

fn settings(user: Option<&str>, password: Option<&str>, db: i64) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_db(db);
    if let Some(user) = user {
        settings = settings.set_username(user);
    }
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    settings
}

fn address(host: &Host, tls: Option<&Tls>) -> ConnectionAddr {
    let Host { name, port } = host.clone();
    match tls {
        None => ConnectionAddr::Tcp(name, port),
        Some(tls) => ConnectionAddr::TcpTls { host: name, port, insecure: tls.is_insecure, tls_params: None },
    }
}

fn info(address: ConnectionAddr, tls: Option<&Tls>, settings: &RedisConnectionInfo) -> RedisResult<ConnectionInfo> {
    let info = address.into_connection_info()?.set_redis_settings(settings.clone());
    match tls.and_then(Tls::certificates) {
        None => Ok(info),
        Some(certificates) => Ok(Client::build_with_tls(info, certificates)?.get_connection_info().clone()),
    }
}

fn nowhere(why: &'static str) -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, why))
}

impl Tls {
    fn mode(&self) -> TlsMode {
        if self.is_insecure { TlsMode::Insecure } else { TlsMode::Secure }
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        let client_tls =
            self.client.clone().map(|(client_cert, client_key)| redis::ClientTlsConfig { client_cert, client_key });
        let certificates = TlsCertificates { client_tls, root_cert: self.ca.clone() };
        (certificates.client_tls.is_some() || certificates.root_cert.is_some()).then_some(certificates)
    }
}
