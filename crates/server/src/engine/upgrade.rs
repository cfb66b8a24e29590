//! Decides how a request for a WebSocket becomes the task of one.
//!
//! The answer goes out first. Our own listener then gives its socket away. Of an HTTP library that is waited for, and the
//! socket is taken out of hyper's wrappers, so that nothing of the HTTP connection stays in memory. A stream of HTTP/2
//! stays hyper's.

use std::sync::Arc;

use http::HeaderValue;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use limpet_proto::engineio::{Transport, Version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::application::Application;
use super::core::Entry;
use super::error::{Context, ErrorCode};
use super::handshake::Handshake;
use super::head::Head;
use super::request::{self, Purpose, Query, Refusal};
use super::respond::{self, Answer};
use super::takeover::Carrier;
use super::websocket::{self, Asked, Socket};
use super::{Engine, Sid};

/// What a WebSocket is for.
enum Target<R> {
    /// A session that begins on it.
    New(Sid, Arc<Handshake>),
    /// A session that may move to it.
    Candidate(Arc<Entry<R>>),
}

/// What was agreed on a WebSocket.
struct Terms {
    asked: Asked,
    version: Version,
    deflate_from: Option<usize>,
}

impl<A: Application> Engine<A> {
    /// Answers a request for a WebSocket.
    pub(super) async fn handle_upgrade(
        &self,
        head: &Head,
        query: &Query<'_>,
        purpose: Purpose<A::Receiver>,
        asked: Asked,
        carrier: Option<Carrier>,
    ) -> Result<Answer, Refusal> {
        let offered = self.0.options.per_message_deflate;
        let accepted = match websocket::accept(asked, head, offered.is_some()) {
            Ok(accepted) => accepted,
            Err(bad) => {
                tracing::debug!(reason = bad.message(), "a malformed request for a WebSocket");
                let mut answer = respond::refused_upgrade(asked, bad.message().to_owned());
                answer.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("13"));
                return Ok(answer);
            }
        };
        let bad_request = || Refusal::new(ErrorCode::BadRequest, Context::TransportHandshakeError);
        if query.transport != Transport::Websocket {
            return Err(bad_request());
        }
        let (is_initial, target) = match purpose {
            Purpose::Open => {
                let handshake = Arc::new(request::handshake(head, query));
                self.allow(&handshake).await?;
                let sid = self.new_sid(&handshake)?;
                (true, Target::New(sid, handshake))
            }
            Purpose::Session(entry) => (false, Target::Candidate(entry)),
        };
        let carrier = carrier.ok_or_else(bad_request)?;
        let terms = Terms { asked, version: query.version, deflate_from: offered.filter(|_| accepted.deflates) };
        let engine = self.clone();
        match carrier {
            Carrier::Own(takeover) => takeover.set(move |stream, early| {
                tokio::spawn(async move { engine.serve_stream(stream, early, target, &terms).await });
            }),
            Carrier::Hyper(on_upgrade) => drop(tokio::spawn(async move {
                // An error says that the client has gone away before the answer.
                if let Ok(upgraded) = on_upgrade.await {
                    engine.serve(upgraded, target, &terms).await;
                }
            })),
        }
        let mut answer = respond::empty(asked.status());
        *answer.headers_mut() = accepted.headers;
        self.0.hooks.change_headers(is_initial, answer.headers_mut(), head);
        Ok(answer)
    }

    /// Takes the socket out of hyper's wrappers. A TLS stream, a stream of HTTP/2 or the like stays in them.
    async fn serve(&self, upgraded: Upgraded, target: Target<A::Receiver>, terms: &Terms) {
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => self.serve_stream(parts.io.into_inner(), parts.read_buf, target, terms).await,
            Err(upgraded) => {
                Box::pin(self.serve_stream(TokioIo::new(upgraded), bytes::Bytes::new(), target, terms)).await;
            }
        }
    }

    async fn serve_stream<S>(&self, stream: S, early: bytes::Bytes, target: Target<A::Receiver>, terms: &Terms)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let max_bytes = self.0.options.max_payload_bytes;
        let mut socket = Socket::new(stream, terms.asked, terms.version, own(early), max_bytes, terms.deflate_from);
        match target {
            Target::New(sid, handshake) => {
                let core = Arc::new(self.new_core(sid, &handshake, false));
                match self.open(core, handshake) {
                    Ok(entry) => websocket::run(&self.0, &entry, &mut socket).await,
                    Err(_) => websocket::close(&mut socket).await,
                }
            }
            Target::Candidate(entry) => {
                if websocket::run_candidate(&entry, &mut socket).await {
                    websocket::run(&self.0, &entry, &mut socket).await;
                } else {
                    websocket::close(&mut socket).await;
                }
            }
        }
    }
}

/// Copies what has been read already. Even an empty slice of hyper's read buffer would keep its 8 KiB as long as the
/// session lives.
fn own(early: bytes::Bytes) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&early)
}
