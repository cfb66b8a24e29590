//! Decides how one connection is served: by which version of HTTP, and until when.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower_service::Service;

use super::{End, ListenOptions};
use crate::engine::RemoteAddr;

/// How much of a request is read at a time; a head may be as long.
const HEAD_BYTES: usize = 16 * 1024;

/// What HTTP/2 clients say first, as far as it must be looked at: no request of HTTP/1.1 begins like this.
const PREFACE: &[u8] = b"PRI";

/// How much a client may send on one stream of HTTP/2 without being read.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// How connections are served.
pub(super) struct Http {
    http1: http1::Builder,
    http2: Option<http2::Builder<TokioExecutor>>,
    patience: Duration,
}

impl Http {
    pub(super) fn new(options: &ListenOptions) -> Self {
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(options.header_timeout).max_buf_size(HEAD_BYTES);
        let http2 = options.http2.then(|| {
            let mut http2 = http2::Builder::new(TokioExecutor::new());
            http2
                .timer(TokioTimer::new())
                .keep_alive_interval(options.header_timeout)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .enable_connect_protocol();
            http2
        });
        Self { http1, http2, patience: options.header_timeout }
    }

    pub(super) async fn serve<S>(&self, stream: TcpStream, address: SocketAddr, service: S, ended: watch::Receiver<End>)
    where
        S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send + 'static,
    {
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(RemoteAddr(address));
            Begun::new(service.clone().call(request))
        });
        if let Some(http2) = &self.http2 {
            // The rare case must not make the task of every connection larger.
            match tokio::time::timeout(self.patience, begins_with_http2(&stream)).await {
                Ok(true) => {
                    return Box::pin(run(http2.serve_connection(TokioIo::new(stream), service), ended)).await;
                }
                Ok(false) => {}
                Err(_) => return,
            }
        }
        run(self.http1.serve_connection(TokioIo::new(stream), service).with_upgrades(), ended).await;
    }
}

/// Looks at what a client says first without taking it. One whose first packet does not even hold three bytes speaks
/// HTTP/1.1.
async fn begins_with_http2(stream: &TcpStream) -> bool {
    let mut first = [0; PREFACE.len()];
    matches!(stream.peek(&mut first).await, Ok(count) if first.get(..count) == Some(PREFACE))
}

/// A connection that can be told to end.
trait Graceful: Future<Output = hyper::Result<()>> {
    /// Ends the connection after the requests in progress.
    fn end_gracefully(self: Pin<&mut Self>);
}

impl<S> Graceful for http1::UpgradeableConnection<TokioIo<TcpStream>, S>
where
    S: HttpService<Incoming, Error = Infallible>,
    S::ResBody: Body<Data: Send, Error = Infallible> + 'static,
{
    fn end_gracefully(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S> Graceful for http2::Connection<TokioIo<TcpStream>, S, TokioExecutor>
where
    S: HttpService<Incoming, Error = Infallible, Future: Send + 'static>,
    S::ResBody: Body<Data: Send, Error = Infallible> + Send + 'static,
{
    fn end_gracefully(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Serves a connection until it has ended or is cut.
async fn run(connection: impl Graceful, mut ended: watch::Receiver<End>) {
    let mut connection = pin!(connection);
    let mut is_told = true;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            told = ended.changed(), if is_told => match (told, *ended.borrow()) {
                (Ok(()), End::Now) => return,
                (Ok(()), End::Gracefully) => connection.as_mut().end_gracefully(),
                (Ok(()), End::No) => {}
                // The listener was dropped; nothing more will be said.
                (Err(_), _) => is_told = false,
            },
        }
    }
}

/// Work on a request that has begun before anybody waits for it.
///
/// Hyper looks for the end of the connection before it waits for a response, and drops the work when the client has gone.
/// Work that had not begun would leave no trace: a session would not learn that its poll was given up.
struct Begun<F: Future> {
    work: Pin<Box<F>>,
    done: Option<F::Output>,
}

// The output is only moved.
impl<F: Future> Unpin for Begun<F> {}

impl<F: Future> Begun<F> {
    fn new(work: F) -> Self {
        let mut work = Box::pin(work);
        // Who waits is asked for again at once.
        let done = match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        };
        Self { work, done }
    }
}

impl<F: Future> Future for Begun<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.done.take() {
            Some(output) => Poll::Ready(output),
            None => self.work.as_mut().poll(cx),
        }
    }
}
