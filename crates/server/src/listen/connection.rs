//! Decides by which version of HTTP a connection is served.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tower_service::Service;

use super::body::Body;
use super::ending::{End, Ending, Hearing};
use super::{ListenOptions, http1};
use crate::engine::{self, RemoteAddr};

/// What HTTP/2 clients say first, as far as it must be looked at: no request of HTTP/1.1 begins like this.
const PREFACE: &[u8] = b"PRI";

/// How much a client may send on one stream of HTTP/2 without being read.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// How connections are served.
pub(super) struct Http {
    http2: Option<http2::Builder<TokioExecutor>>,
    patience: Duration,
}

impl Http {
    pub(super) fn new(options: &ListenOptions) -> Self {
        let http2 = options.http2.then(|| {
            let mut http2 = http2::Builder::new(TokioExecutor::new());
            http2
                .timer(TokioTimer::new())
                .keep_alive_interval(options.header_timeout)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .enable_connect_protocol();
            http2
        });
        Self { http2, patience: options.header_timeout }
    }

    pub(super) async fn serve<S>(&self, stream: TcpStream, address: SocketAddr, service: S, ending: &Ending)
    where
        S: Service<engine::Request<Body>, Response = Response<Full<Bytes>>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
    {
        if let Some(http2) = &self.http2 {
            // The rare case must not make the task of every connection larger.
            match tokio::time::timeout(self.patience, begins_with_http2(&stream)).await {
                Ok(true) => return Box::pin(serve_http2(http2, stream, address, service, ending)).await,
                Ok(false) => {}
                Err(_) => return,
            }
        }
        http1::serve(stream, address, service, ending, self.patience).await;
    }
}

/// Looks at what a client says first without taking it. One whose first packet does not even hold three bytes speaks
/// HTTP/1.1.
async fn begins_with_http2(stream: &TcpStream) -> bool {
    let mut first = [0; PREFACE.len()];
    matches!(stream.peek(&mut first).await, Ok(count) if first.get(..count) == Some(PREFACE))
}

/// Serves a connection of HTTP/2 until it has ended or is cut.
async fn serve_http2<S>(
    http2: &http2::Builder<TokioExecutor>,
    stream: TcpStream,
    address: SocketAddr,
    service: S,
    ending: &Ending,
) where
    S: Service<engine::Request<Body>, Response = Response<Full<Bytes>>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(RemoteAddr(address));
        service.clone().call(request.map(Body::http2).into())
    });
    let notified = pin!(ending.notified());
    let mut hearing = Hearing::new(ending, notified);
    let mut known = End::No;
    let mut connection = pin!(http2.serve_connection(TokioIo::new(stream), service));
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended early");
                }
                return Poll::Ready(());
            }
            match ready!(hearing.poll_more_than(known, cx)) {
                End::Now => return Poll::Ready(()),
                told => {
                    known = told;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    })
    .await;
}
