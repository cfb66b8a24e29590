//! What programs ask about the balancer, on a listener of its own: `/metrics`, `/health` and `/ready`.
//!
//! It runs on the control thread, away from all traffic, and to the end of the process: while requests in progress end,
//! `/health` says so.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::shared::Shared;
use crate::stats::{Snapshot, metrics};

/// Connections at a time; each costs up to [`MAX_HEAD_BYTES`]. Others wait in the kernel.
const MAX_CONNECTIONS: usize = 64;

/// The largest request head.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The time to send a request head, also the one after the last response.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// The longest life of a connection.
const LIFETIME: Duration = Duration::from_secs(600);

/// The pause after a failed accept, when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves for as long as it is polled.
pub async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // Whatever ends a connection concerns its client alone.
            let _ = tokio::time::timeout(LIFETIME, serve(socket, shared)).await;
            drop(place);
        });
    }
}

async fn serve(socket: TcpStream, shared: Arc<Shared>) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(&shared, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    http.serve_connection(TokioIo::new(socket), service).await
}

fn answer(shared: &Shared, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are understood\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => {
            let mut response = text(StatusCode::OK, metrics::write(&Snapshot::take(shared)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
            response
        }
        "/health" if shared.is_stopping() => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()),
        "/health" => text(StatusCode::OK, "ok\n".to_owned()),
        "/ready" => match unready(&Snapshot::take(shared)) {
            reasons if reasons.is_empty() => text(StatusCode::OK, "ready\n".to_owned()),
            reasons => text(StatusCode::SERVICE_UNAVAILABLE, reasons),
        },
        _ => text(StatusCode::NOT_FOUND, "there are /metrics, /health and /ready\n".to_owned()),
    }
}

/// Returns why the balancer should get no traffic, one reason per line; nothing if it should. Its listeners are bound
/// before this one answers.
fn unready(snapshot: &Snapshot) -> String {
    let unusable = snapshot.upstreams.iter().filter(|upstream| !upstream.is_usable());
    let mut reasons: String =
        unusable.map(|upstream| format!("upstream {} has no usable endpoint\n", upstream.name)).collect();
    if snapshot.stopping {
        reasons.insert_str(0, "stopping\n");
    }
    reasons
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
