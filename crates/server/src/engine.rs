//! Engine.IO: sessions over polling and WebSocket, with one application on top.
//!
//! What happens to a session is decided by [`limpet_proto::engineio::session`]; here are the requests and the sockets.

mod alarm;
mod application;
mod connection;
mod core;
mod cors;
mod driver;
mod error;
mod handshake;
mod head;
mod hooks;
mod options;
mod polling;
mod query;
mod request;
mod respond;
mod sid;
mod spare;
mod table;
mod takeover;
mod upgrade;
mod websocket;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use limpet_proto::engineio::session::{Config, Session};
use tower_service::Service;

pub use application::{Application, Incoming, Receiver};
pub use connection::Connection;
pub use cors::{Cors, Origins};
pub use error::{ConnectionError, Context, ErrorCode};
pub use handshake::Handshake;
pub use head::Request;
pub use limpet_proto::engineio::message::Message;
pub use limpet_proto::engineio::session::{CloseReason, SendError};
pub use limpet_proto::engineio::sid::Sid;
pub use limpet_proto::engineio::{Transport, Version};
pub use options::{AllowRequest, CookieOptions, GenerateId, Options, SameSite};

pub(crate) use self::alarm::Alarm;
pub(crate) use self::core::now;
use self::core::{Core, Entry};
pub(crate) use self::head::{Head, Text};
pub(crate) use self::takeover::Takeover;
use hooks::Hooks;
use request::{Purpose, Query, Refusal};
use respond::Answer;
use spare::Spare;
use table::Table;
use takeover::Carrier;
use websocket::Asked;

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

struct Inner<A: Application> {
    options: Options,
    path: String,
    config: Arc<Config>,
    application: A,
    table: Table<A::Receiver>,
    spare: Spare,
    hooks: Hooks,
    /// Whether new sessions are refused.
    refuses: AtomicBool,
    /// Whether sessions are closed as soon as they begin.
    closes: AtomicBool,
}

impl<A: Application> Engine<A> {
    /// Makes a server.
    pub fn new(options: Options, application: A) -> Self {
        let config = Config {
            ping_interval: options.ping_interval,
            ping_timeout: options.ping_timeout,
            upgrade_timeout: options.upgrade_timeout,
            max_payload_bytes: options.max_payload_bytes,
            max_queued_messages: options.max_queued_messages,
            max_queued_bytes: options.max_queued_bytes,
        };
        Self(Arc::new(Inner {
            path: options.normalized_path(),
            options,
            config: Arc::new(config),
            application,
            table: Table::new(),
            spare: Spare::default(),
            hooks: Hooks::default(),
            refuses: AtomicBool::new(false),
            closes: AtomicBool::new(false),
        }))
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
        self.0.table.len()
    }

    /// Returns the sessions that there are now.
    pub fn connections(&self) -> Vec<Connection> {
        self.0.table.all().into_iter().map(|entry| Connection(Arc::clone(&entry.core))).collect()
    }

    /// Closes every session, and from now on refuses new ones.
    pub fn close(&self) {
        self.refuse_new();
        self.0.closes.store(true, Ordering::SeqCst);
        for connection in self.connections() {
            connection.close(CloseReason::ServerShuttingDown, true);
        }
    }

    /// Refuses new sessions from now on, with a 503; those that there are go on.
    pub fn refuse_new(&self) {
        self.0.refuses.store(true, Ordering::SeqCst);
    }

    /// Calls `hook` for every request that is refused; the last hook counts.
    pub fn on_connection_error(&self, hook: impl Fn(&ConnectionError) + Send + Sync + 'static) {
        self.0.hooks.set_connection_error(Arc::new(hook));
    }

    /// Lets `hook` change the headers of the response that opens a session, given those of the request; the last hook
    /// counts.
    pub fn on_initial_headers(&self, hook: impl Fn(&mut HeaderMap, &HeaderMap) + Send + Sync + 'static) {
        self.0.hooks.set_initial_headers(Arc::new(hook));
    }

    /// Lets `hook` change the headers of every response of a session, given those of the request; the last hook counts.
    pub fn on_headers(&self, hook: impl Fn(&mut HeaderMap, &HeaderMap) + Send + Sync + 'static) {
        self.0.hooks.set_headers(Arc::new(hook));
    }

    /// Returns whether a request of this path is taken: one that begins with ours, as in Node. A request for the path
    /// without its last slash is not.
    pub fn matches(&self, path: &str) -> bool {
        path.starts_with(&self.0.path)
    }

    /// Answers a request; one of another path with a 404.
    pub async fn handle<B>(&self, request: impl Into<Request<B>>) -> Response<Full<Bytes>>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let Request { mut head, body } = request.into();
        if !head.target().starts_with(self.0.path.as_bytes()) {
            return respond::empty(StatusCode::NOT_FOUND);
        }
        let cors = self.0.options.cors.as_ref();
        if let (Some(cors), &Method::OPTIONS) = (cors, head.method()) {
            let mut answer = respond::empty(StatusCode::NO_CONTENT);
            cors.write_preflight(&head, answer.headers_mut());
            return answer;
        }
        let asked = Asked::of(&head);
        let carrier = asked.and_then(|_| head.take_carrier());
        let query = Query::read(head.query());
        let answer = self.answer(&head, &query, asked, carrier, body).await;
        let mut answer = answer.unwrap_or_else(|refusal| self.refuse(&head, &query, asked, refusal));
        if let Some(cors) = cors {
            cors.write(&head, answer.headers_mut());
        }
        answer
    }

    async fn answer<B>(
        &self,
        head: &Head,
        query: &Query<'_>,
        asked: Option<Asked>,
        carrier: Option<Carrier>,
        body: B,
    ) -> Result<Answer, Refusal>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let purpose = self.check(head, query, asked)?;
        if matches!(purpose, Purpose::Open) && self.0.refuses.load(Ordering::Relaxed) {
            return Ok(respond::empty(StatusCode::SERVICE_UNAVAILABLE));
        }
        if let Some(asked) = asked {
            return self.handle_upgrade(head, query, purpose, asked, carrier).await;
        }
        match purpose {
            Purpose::Open => self.open_polling(head, query).await,
            Purpose::Session(entry) => self.handle_polling(&entry, head, query, body).await,
        }
    }

    fn new_sid(&self, handshake: &Handshake) -> Result<Sid, Refusal> {
        let sid = match &self.0.options.generate_id {
            Some(generate) => (generate.0)(handshake),
            None => sid::generate(),
        };
        let is_new = |sid: &Sid| self.0.table.get(sid.as_str()).is_none();
        sid.filter(is_new).ok_or_else(|| Refusal::new(ErrorCode::BadRequest, Context::IdGenerationError))
    }

    fn new_core(&self, sid: Sid, handshake: &Handshake, upgrades: bool) -> Core {
        let session = Session::new(
            Arc::clone(&self.0.config),
            handshake.version(),
            handshake.transport(),
            &sid,
            upgrades,
            self.0.options.initial_packet.as_ref(),
            now(),
        );
        Core::new(sid, handshake.address(), session)
    }

    /// Tells the application of a session and puts it in the table.
    fn open(&self, core: Arc<Core>, handshake: Arc<Handshake>) -> Result<Arc<Entry<A::Receiver>>, Refusal> {
        let connection = Connection(Arc::clone(&core));
        let receiver = self.0.application.open(&connection, handshake);
        let entry = Arc::new(Entry { core, receiver });
        if !self.0.table.insert(&entry) {
            connection.close(CloseReason::TransportError, true);
            entry.receiver.close(CloseReason::TransportError);
            return Err(Refusal::new(ErrorCode::BadRequest, Context::IdGenerationError));
        }
        self.0.spare.came(self.0.table.len());
        if self.0.closes.load(Ordering::SeqCst) {
            connection.close(CloseReason::ServerShuttingDown, true);
        }
        Ok(entry)
    }
}

impl<A: Application> Clone for Engine<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Application> fmt::Debug for Engine<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("sessions", &self.sessions()).finish_non_exhaustive()
    }
}

impl<A, B> Service<http::Request<B>> for Engine<A>
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

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        Service::call(self, Request::from(request))
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
