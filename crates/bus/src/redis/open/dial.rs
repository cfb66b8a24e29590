//! Decides how a connection is opened whose bytes we read ourselves: what comes in great numbers. What is said first, as
//! who we are and which database is meant, the redis crate says over it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, ConnectionInfo, ErrorKind, RedisConnectionInfo, RedisError, RedisResult};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Address, CONNECTION_TIMEOUT, Host, Kind, address, info, nowhere};

/// Bytes in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// An open connection on which nothing was said yet.
pub(crate) struct Dialled {
    pub(crate) stream: Box<dyn Duplex>,
    /// What is to be said first.
    pub(crate) settings: RedisConnectionInfo,
}

impl Address {
    /// Opens a connection to one Redis: the only one, the master, or any node of a cluster.
    pub(crate) async fn dial(&self) -> RedisResult<Dialled> {
        match &self.kind {
            Kind::One(info) => self.dial_to(info).await,
            Kind::Sentinel(sentinels) => {
                let client = sentinels.client()?.async_get_client().await?;
                self.dial_to(client.get_connection_info()).await
            }
            Kind::Cluster { seeds, .. } => {
                let mut failed = nowhere("no node of the cluster is named");
                for seed in seeds {
                    match self.dial_to(seed).await {
                        Ok(dialled) => return Ok(dialled),
                        Err(error) => failed = error,
                    }
                }
                Err(failed)
            }
        }
    }

    /// Opens a connection to a certain node of a cluster, with the user, the password and the TLS of the URL.
    pub(crate) async fn dial_node(&self, host: &str, port: u16) -> RedisResult<Dialled> {
        let Kind::Cluster { seeds, tls } = &self.kind else { return self.dial().await };
        let settings = seeds.first().map(|seed| seed.redis_settings().clone()).unwrap_or_default();
        let host = Host { name: host.to_owned(), port };
        self.dial_to(&info(address(&host, tls.as_ref()), None, &settings)?).await
    }

    async fn dial_to(&self, info: &ConnectionInfo) -> RedisResult<Dialled> {
        let stream = timeout(CONNECTION_TIMEOUT, open(info.addr(), self.tls.as_ref())).await;
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "Redis cannot be reached");
        Ok(Dialled { stream: stream.map_err(late)??, settings: info.redis_settings().clone() })
    }
}

async fn open(to: &ConnectionAddr, tls: Option<&Arc<ClientConfig>>) -> RedisResult<Box<dyn Duplex>> {
    let tcp = async |host: &str, port| {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok::<_, io::Error>(stream)
    };
    Ok(match (to, tls) {
        (ConnectionAddr::Tcp(host, port), _) => Box::new(tcp(host, *port).await?),
        (ConnectionAddr::TcpTls { host, port, .. }, Some(config)) => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let stream = tcp(host, *port).await?;
            Box::new(TlsConnector::from(config.clone()).connect(name, stream).await?)
        }
        (ConnectionAddr::Unix(path), _) => Box::new(UnixStream::connect(path).await?),
        _ => return Err(nowhere("such a place cannot be reached")),
    })
}

impl Dialled {
    /// Says who we are and which database is meant, and returns the connection for all that follows.
    pub(crate) async fn introduce(self) -> RedisResult<Box<dyn Duplex>> {
        let Self { stream, settings } = self;
        let (back, returned) = oneshot::channel();
        let lent = Lent { stream: Some(stream), back: Some(back) };
        // What is made on the way goes away at once, and gives the stream back.
        let introduced = timeout(CONNECTION_TIMEOUT, MultiplexedConnection::new(&settings, lent)).await;
        match introduced {
            Ok(introduced) => drop(introduced?),
            Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "Redis does not answer").into()),
        }
        returned.await.map_err(|_| RedisError::from((ErrorKind::Io, "the connection to Redis is gone")))
    }
}

/// A stream that goes back to whom it belongs. Nothing is left unread: Redis says nothing unasked at the beginning.
struct Lent {
    stream: Option<Box<dyn Duplex>>,
    back: Option<oneshot::Sender<Box<dyn Duplex>>>,
}

impl Lent {
    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut dyn Duplex>> {
        match &mut self.get_mut().stream {
            Some(stream) => Ok(Pin::new(&mut **stream)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(stream), Some(back)) = (self.stream.take(), self.back.take()) {
            // Who does not wait for it has given up.
            drop(back.send(stream));
        }
    }
}

impl AsyncRead for Lent {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, out)
    }
}

impl AsyncWrite for Lent {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // It goes on elsewhere.
        Poll::Ready(Ok(()))
    }
}
