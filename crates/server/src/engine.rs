//! Engine.IO: sessions over polling and WebSocket, with one application on top.
//!
//! What happens to a session is decided by [`limpet_proto::engineio::session`]; here are the requests and the sockets.

mod application;
mod connection;
mod cors;
mod error;
mod handshake;
mod options;
mod query;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

pub use application::{Application, Incoming, Receiver};
pub use connection::{Connection, SendError};
pub use cors::{Cors, Origins};
pub use error::{ConnectionError, Context, ErrorCode};
pub use handshake::Handshake;
pub use limpet_proto::engineio::message::Message;
pub use limpet_proto::engineio::session::CloseReason;
pub use limpet_proto::engineio::sid::Sid;
pub use limpet_proto::engineio::{Transport, Version};
pub use options::{AllowRequest, CookieOptions, GenerateId, Options, SameSite};

/// An extension of a request: where it came from. Our own listener sets it; with another one, set it in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteAddr(pub SocketAddr);

/// An extension of a request: that its connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secure;

/// An error of a request body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An Engine.IO server. Clones are the same server.
pub struct Engine<A: Application>(Arc<Inner<A>>);

struct Inner<A> {
    options: Options,
    application: A,
}

impl<A: Application> Engine<A> {
    /// Makes a server.
    pub fn new(options: Options, application: A) -> Self {
        Self(Arc::new(Inner { options, application }))
    }

    /// Returns the application.
    pub fn application(&self) -> &A {
        &self.0.application
    }

    /// Returns the options.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Returns how many sessions there are.
    pub fn sessions(&self) -> usize {
        0
    }

    /// Returns the sessions that there are now.
    pub fn connections(&self) -> Vec<Connection> {
        Vec::new()
    }

    /// Closes every session and refuses new ones from now on.
    pub fn close(&self) {}

    /// Refuses new sessions from now on with a 503; those that there are go on.
    pub fn refuse_new(&self) {}

    /// Calls `hook` for every request that is refused; the last hook counts.
    pub fn on_connection_error(&self, hook: impl Fn(&ConnectionError) + Send + Sync + 'static) {
        drop(hook);
    }

    /// Lets `hook` change the headers of the response that opens a session; the last hook counts.
    pub fn on_initial_headers(&self, hook: impl Fn(&mut HeaderMap, &HeaderMap) + Send + Sync + 'static) {
        drop(hook);
    }

    /// Lets `hook` change the headers of every response of a session, given those of the request; the last hook counts.
    pub fn on_headers(&self, hook: impl Fn(&mut HeaderMap, &HeaderMap) + Send + Sync + 'static) {
        drop(hook);
    }

    /// Answers a request; one of another path with a 404.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        drop(request);
        Response::default()
    }
}

impl<A: Application> Clone for Engine<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Application + std::fmt::Debug> std::fmt::Debug for Engine<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("sessions", &self.sessions()).finish_non_exhaustive()
    }
}

impl<A, B> Service<Request<B>> for Engine<A>
where
    A: Application,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let engine = self.clone();
        Box::pin(async move { Ok(engine.handle(request).await) })
    }
}
