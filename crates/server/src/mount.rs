//! Decides how requests reach a server: from a listener of its own, or from the application's.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tokio::net::ToSocketAddrs;
use tokio::time::Instant;
use tower_service::Service;

use crate::engine::{self, BoxError, CloseReason};
use crate::listen::{self, ListenOptions, Listener};
use crate::server::Server;

/// How long a tick of a close is: sessions that are due within it are closed together.
const TICK: Duration = Duration::from_millis(10);

/// How long clients may take to read what was sent before the end, and the handlers of sockets that have ended until the
/// other nodes are left.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long the sessions of those who were sent away may take to be kept.
const LAST_SAVES: Duration = Duration::from_secs(2);

type BoxResponse = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;
type Request = http::Request<listen::Body>;
type Fallback = Arc<dyn Fn(Request) -> BoxResponse + Send + Sync>;

/// A server as a tower service, to be mounted in axum or hyper. Clones serve the same server, which lives as long as one
/// of them does.
#[derive(Debug, Clone)]
pub struct SocketIoService(Server);

impl<B> Service<http::Request<B>> for SocketIoService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let server = self.0.clone();
        Box::pin(async move { Ok(server.engine().handle(request).await) })
    }
}

/// What is asked first for every request of our own listener.
#[derive(Clone)]
struct Front {
    server: Server,
    path: Arc<str>,
    fallback: Fallback,
}

impl Service<engine::Request<listen::Body>> for Front {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: engine::Request<listen::Body>) -> Self::Future {
        if request.head.target().starts_with(self.path.as_bytes()) {
            let server = self.server.clone();
            return Box::pin(async move { Ok(server.engine().handle(request).await) });
        }
        let response = (self.fallback)(request.into());
        Box::pin(async move { Ok(response.await) })
    }
}

/// A server that listens.
#[derive(Debug)]
pub struct Listening {
    server: Server,
    listener: Listener,
}

impl Listening {
    /// Returns the address that is bound.
    pub fn addr(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Ends the server: takes no new sessions, closes those that there are evenly over this time, so that not all clients
    /// come back at once, and then stops listening. Sockets end with
    /// [`ServerShuttingDown`](crate::DisconnectReason::ServerShuttingDown).
    pub async fn close(self, within: Duration) {
        self.server.close(within).await;
        // What is still being written gets a moment.
        self.listener.close(Duration::from_secs(1)).await;
    }
}

impl Server {
    /// Listens at an address. Requests of other paths are answered with a 404. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be resolved or bound.
    pub async fn bind(&self, address: impl ToSocketAddrs) -> io::Result<Listening> {
        let not_found = |_: Request| async {
            let mut response = Response::new(Full::new(Bytes::from_static(b"not found\n")));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        };
        self.bind_with(address, ListenOptions::default(), not_found).await
    }

    /// Listens at an address, with a function that answers requests of other paths.
    ///
    /// ```no_run
    /// # async fn example(io: limpet_server::Server) -> std::io::Result<()> {
    /// use http::Response;
    /// use limpet_server::listen::ListenOptions;
    /// let listening = io
    ///     .bind_with("127.0.0.1:0", ListenOptions::default(), |_request| async { Response::new("hello\n".into()) })
    ///     .await?;
    /// println!("http://{}/", listening.addr());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the address cannot be resolved or bound.
    pub async fn bind_with<F, Fut>(
        &self,
        address: impl ToSocketAddrs,
        options: ListenOptions,
        fallback: F,
    ) -> io::Result<Listening>
    where
        F: Fn(http::Request<listen::Body>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let fallback: Fallback = Arc::new(move |request| Box::pin(fallback(request)));
        let path = self.options().engine.normalized_path().into();
        let front = Front { server: self.clone(), path, fallback };
        let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
        for address in tokio::net::lookup_host(address).await? {
            match Listener::bind(address, options.clone(), front.clone()) {
                Ok(listener) => return Ok(Listening { server: self.clone(), listener }),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Returns the server as a tower service.
    ///
    /// ```no_run
    /// # async fn example(io: limpet_server::Server) -> std::io::Result<()> {
    /// use axum::Router;
    /// let app: Router = Router::new().route_service("/socket.io/", io.service());
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    /// axum::serve(listener, app).await
    /// # }
    /// ```
    pub fn service(&self) -> SocketIoService {
        SocketIoService(self.clone())
    }

    /// Ends the sessions: takes no new ones, and closes those that there are evenly over this time, so that not all
    /// clients come back at once. Sockets end with
    /// [`ServerShuttingDown`](crate::DisconnectReason::ServerShuttingDown). Clients have up to 1 s to take what was sent
    /// before. Then leaves the other nodes, once the handlers of the sockets have ended, for up to 1 s, and the sessions are
    /// kept, for up to 2 s.
    pub async fn close(&self, within: Duration) {
        let engine = self.engine();
        engine.refuse_new();
        let connections = engine.connections();
        let count = u32::try_from(connections.len()).unwrap_or(u32::MAX).max(1);
        let start = Instant::now();
        for (index, connection) in connections.into_iter().enumerate() {
            let due = within.mul_f64(index as f64 / f64::from(count));
            if due > start.elapsed() + TICK {
                tokio::time::sleep_until(start + due).await;
            }
            connection.close(CloseReason::ServerShuttingDown, false);
        }
        // What was sent before leaves first.
        wait_for(|| engine.sessions() == 0).await;
        engine.close();
        // Handlers of the ends may have something to say to other nodes.
        wait_for(|| !self.0.is_in_use()).await;
        let namespaces = self.namespaces();
        // The sessions of those who were sent away are for the next server.
        let flushes = namespaces.iter().filter_map(|namespace| namespace.cluster().recovery());
        join_all(flushes.map(|recovery| recovery.flush(LAST_SAVES))).await;
        for namespace in namespaces {
            namespace.cluster().close();
        }
    }
}

/// Waits for something, for up to [`LAST_WORDS`].
async fn wait_for(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LAST_WORDS;
    while !is_so() && Instant::now() < deadline {
        tokio::time::sleep(TICK).await;
    }
}
