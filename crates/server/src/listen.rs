//! Decides how a server listens by itself: accepting, limits, and the end.

mod body;
mod connection;
mod ending;
mod http1;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Response;
use http_body_util::Full;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, unconstrained, yield_now};
use tower_service::Service;

pub use self::body::Body;
use self::connection::Http;
use self::ending::{End, Ending, Hearing};
use crate::engine::Request;

/// How long accepting rests when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many connections are accepted before the others have their turn.
const ACCEPT_BATCH: u32 = 1024;

/// How many of those who were accepted begin before there is a look for more. What the backlog cannot hold meanwhile comes again
/// seconds later.
const BEGIN_BATCH: usize = 64;

/// How to listen.
#[derive(Debug, Clone)]
pub struct ListenOptions {
    /// How many connections may wait to be accepted; 4,096, or what the system allows.
    pub backlog: u32,
    /// The most HTTP connections at once; 100,000. More wait to be accepted. A WebSocket does not count: sessions are
    /// the application's to limit.
    pub max_connections: usize,
    /// How long the head of a request may take; 30 s. An idle connection is closed after as long, and so is one whose client is
    /// silent within a body, or does not take an answer.
    pub header_timeout: Duration,
    /// Whether HTTP/2 is served as well, to clients that begin with it unasked (RFC 9113 section 3.3); no. They may open
    /// WebSockets by extended CONNECT (RFC 8441). Up to 200 requests and WebSockets share a connection, which counts as
    /// one, and which is asked for a sign of life when nothing has come for as long as `header_timeout`.
    pub http2: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 4096, max_connections: 100_000, header_timeout: Duration::from_secs(30), http2: false }
    }
}

/// A listener at work. Dropping it stops accepting; connections go on.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    ending: Arc<Ending>,
    slots: Arc<Semaphore>,
    max_connections: u32,
    /// Holds the socket.
    accepting: JoinHandle<()>,
}

impl Listener {
    /// Binds `address` and serves every connection by clones of `service`, whose requests carry a [`RemoteAddr`](crate::engine::RemoteAddr).
    /// Must be
    /// called in a Tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind<S>(address: SocketAddr, options: ListenOptions, service: S) -> io::Result<Self>
    where
        S: Service<Request<Body>, Response = Response<Full<Bytes>>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send + 'static,
    {
        let listener = bind(address, options.backlog)?;
        let address = listener.local_addr()?;
        let ending = Arc::new(Ending::default());
        let max_connections = u32::try_from(options.max_connections).unwrap_or(u32::MAX).max(1);
        let slots = Arc::new(Semaphore::new(max_connections as usize));
        let http = Arc::new(Http::new(&options));
        // A crowd that comes at once must not wait behind those who are in: what the backlog cannot hold comes again
        // seconds later.
        let accepting =
            tokio::spawn(unconstrained(accept(listener, http, service, Arc::clone(&slots), Arc::clone(&ending))));
        Ok(Self { address, ending, slots, max_connections, accepting })
    }

    /// Returns the address that is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting at once and lets requests in progress end, within the given time; what is left then is cut.
    /// WebSockets are not waited for: their sessions are the engine's to close.
    pub async fn close(self, within: Duration) {
        self.ending.tell(End::Gracefully);
        let all = async {
            // Whoever comes from now on is refused.
            self.accepting.await.ok();
            self.slots.acquire_many(self.max_connections).await.ok();
        };
        tokio::time::timeout(within, all).await.ok();
        self.ending.tell(End::Now);
    }
}

fn bind(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

async fn accept<S>(listener: TcpListener, http: Arc<Http>, service: S, slots: Arc<Semaphore>, ending: Arc<Ending>)
where
    S: Service<Request<Body>, Response = Response<Full<Bytes>>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let notified = pin!(ending.notified());
    let mut hearing = Hearing::new(&ending, notified);
    let (mut batch, mut waiting) = (0, VecDeque::new());
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let next = if waiting.is_empty() {
            tokio::select! {
                biased;
                _ = poll_fn(|cx| hearing.poll_more_than(End::No, cx)) => return,
                accepted = accepted => Some(accepted),
            }
        } else if batch < ACCEPT_BATCH {
            accepted.now_or_never()
        } else {
            None
        };
        let Some((slot, accepted)) = next else {
            batch = 0;
            for (stream, address, slot) in waiting.drain(..BEGIN_BATCH.min(waiting.len())) {
                let (http, service, ending) = (Arc::clone(&http), service.clone(), Arc::clone(&ending));
                tokio::spawn(async move {
                    http.serve(stream, address, service, &ending).await;
                    drop(slot);
                });
            }
            if !waiting.is_empty() {
                yield_now().await;
            }
            if hearing.told() != End::No {
                return;
            }
            continue;
        };
        batch += 1;
        match accepted {
            Ok((stream, address)) => {
                stream.set_nodelay(true).ok();
                waiting.push_back((stream, address, slot));
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Returns whether only one connection failed, before it was accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
