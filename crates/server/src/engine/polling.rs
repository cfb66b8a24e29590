//! Decides how the requests of polling sessions are answered.
//!
//! A GET waits for something to send, a POST for the application to take what came. When the client goes away meanwhile,
//! the future is dropped, and a guard tells the session.

mod receive;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use http::header::HeaderMap;
use http::{Method, StatusCode};
use http_body::Body;
use limpet_proto::engineio::Transport;
use limpet_proto::engineio::session::{Batch, Outgoing, write_body};

use super::application::Application;
use super::core::{Core, Entry};
use super::error::{Context, ErrorCode};
use super::head::Head;
use super::request::{self, Query, Refusal};
use super::respond::{self, Answer, Coding};
use super::{BoxError, Engine, driver};

impl<A: Application> Engine<A> {
    /// Opens a session over polling and answers its first GET.
    pub(super) async fn open_polling(&self, head: &Head, query: &Query<'_>) -> Result<Answer, Refusal> {
        let handshake = Arc::new(request::handshake(head, query));
        self.allow(&handshake).await?;
        let sid = self.new_sid(&handshake)?;
        let upgrades = self.0.options.allow_upgrades && self.0.options.offers(Transport::Websocket);
        let core = Arc::new(self.new_core(sid, &handshake, upgrades));
        let entry = self.open(core, handshake)?;
        tokio::spawn(driver::drive(self.clone(), Arc::clone(&entry)));
        self.answer_get(&entry.core, head, query, true).await
    }

    /// Answers a request of a polling session.
    pub(super) async fn handle_polling<B>(
        &self,
        entry: &Arc<Entry<A::Receiver>>,
        head: &Head,
        query: &Query<'_>,
        body: B,
    ) -> Result<Answer, Refusal>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        match *head.method() {
            Method::GET => self.answer_get(&entry.core, head, query, false).await,
            Method::POST => self.answer_post(entry, head, query, body).await,
            _ => Ok(respond::empty(StatusCode::INTERNAL_SERVER_ERROR)),
        }
    }

    async fn answer_get(
        &self,
        core: &Core,
        head: &Head,
        query: &Query<'_>,
        is_initial: bool,
    ) -> Result<Answer, Refusal> {
        // The session may have gone on since it was looked up.
        let begun = core.update(|state| {
            still_polls(&state.session)?;
            Ok(state.session.handle_get())
        })?;
        if begun.is_err() {
            return Ok(respond::empty(StatusCode::BAD_REQUEST));
        }
        let mut guard = GetGuard { core, waits: true };
        let batch = poll_fn(|cx| {
            core.update(|state| match state.session.poll_get() {
                Some(batch) => Poll::Ready(batch),
                None => {
                    state.get = Some(cx.waker().clone());
                    Poll::Pending
                }
            })
        })
        .await;
        guard.waits = false;
        Ok(self.write_get(core, head, query, &batch, is_initial))
    }

    fn write_get(&self, core: &Core, head: &Head, query: &Query<'_>, batch: &Batch, is_initial: bool) -> Answer {
        let body = write_body(core.version, batch, !query.base64, query.jsonp.as_deref());
        let compressed = self.0.options.http_compression.filter(|from| body.bytes.len() >= *from).and_then(|_| {
            let coding = batch.iter().any(may_compress).then(|| Coding::choose(head)).flatten()?;
            Some((coding, coding.compress(&body.bytes)?))
        });
        let mut answer = match compressed {
            Some((coding, bytes)) => {
                let mut answer = respond::with_body(StatusCode::OK, body.content_type, bytes);
                answer.headers_mut().extend([coding.header()]);
                answer
            }
            None => respond::with_body(StatusCode::OK, body.content_type, body.bytes),
        };
        if let (true, Some(cookie)) = (is_initial, &self.0.options.cookie) {
            respond::put_cookie(answer.headers_mut(), cookie.header(&core.sid));
        }
        self.put_headers(answer.headers_mut(), head, is_initial);
        answer
    }

    pub(super) fn put_headers(&self, response: &mut HeaderMap, request: &Head, is_initial: bool) {
        respond::put_polling_headers(request, response);
        self.0.hooks.change_headers(is_initial, response, request);
    }
}

/// Returns whether a packet asks for no exception from compression.
fn may_compress(packet: &Outgoing) -> bool {
    match packet {
        Outgoing::Message(message) => message.may_compress(),
        Outgoing::Close | Outgoing::Noop => false,
        Outgoing::Open(_) | Outgoing::Ping | Outgoing::Pong => true,
    }
}

/// Refuses a request whose session has ended or moved.
fn still_polls(session: &limpet_proto::engineio::session::Session) -> Result<(), Refusal> {
    if session.closed().is_some() {
        return Err(Refusal::new(ErrorCode::UnknownSid, Context::None));
    }
    if session.transport() != Transport::Polling {
        return Err(Refusal::new(ErrorCode::BadRequest, Context::TransportMismatch));
    }
    Ok(())
}

/// Tells the session when a client does not wait for its answer.
struct GetGuard<'a> {
    core: &'a Core,
    waits: bool,
}

impl Drop for GetGuard<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.core.update(|state| {
                state.get = None;
                state.session.handle_get_lost();
            });
        }
    }
}
