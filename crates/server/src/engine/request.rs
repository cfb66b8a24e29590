//! Decides what a request asks for, and in which order it is checked: transport, session, method, upgrade, permission,
//! version.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, StatusCode};
use limpet_proto::engineio::{Transport, Version};

use super::Engine;
use super::application::Application;
use super::core::Entry;
use super::error::{ConnectionError, Context, ErrorCode};
use super::handshake::{Facts, Handshake};
use super::head::Head;
use super::query::Pairs;
use super::respond::{self, Answer};
use super::websocket::Asked;

/// The parameters of a request.
pub(super) struct Query<'a> {
    pub(super) version: Version,
    pub(super) transport: Transport,
    pub(super) sid: Option<Cow<'a, str>>,
    /// The value of `j`: the answer is a script.
    pub(super) jsonp: Option<Cow<'a, str>>,
    pub(super) base64: bool,
}

impl<'a> Query<'a> {
    /// Reads a query string. Of a repeated parameter the last one counts.
    pub(super) fn read(query: &'a str) -> Self {
        let mut read =
            Self { version: Version::V3, transport: Transport::Other, sid: None, jsonp: None, base64: false };
        for (name, value) in Pairs::new(query) {
            match &*name {
                "EIO" => read.version = if value == "4" { Version::V4 } else { Version::V3 },
                "transport" => {
                    read.transport = match &*value {
                        "polling" => Transport::Polling,
                        "websocket" => Transport::Websocket,
                        _ => Transport::Other,
                    }
                }
                "sid" => read.sid = Some(value).filter(|sid| !sid.is_empty()),
                "j" => read.jsonp = Some(value),
                "b64" => read.base64 = !value.is_empty(),
                _ => {}
            }
        }
        read
    }
}

/// A refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) context: Context,
    pub(super) message: Option<String>,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, context: Context) -> Self {
        Self { code, context, message: None }
    }
}

/// What a request is for.
pub(super) enum Purpose<R> {
    Open,
    Session(Arc<Entry<R>>),
}

impl<A: Application> Engine<A> {
    /// Checks a request as far as nothing has to be waited for.
    pub(super) fn check(
        &self,
        head: &Head,
        query: &Query<'_>,
        asked: Option<Asked>,
    ) -> Result<Purpose<A::Receiver>, Refusal> {
        if !self.0.options.offers(query.transport) {
            return Err(Refusal::new(ErrorCode::UnknownTransport, Context::None));
        }
        if let Some(sid) = &query.sid {
            let unknown = || Refusal::new(ErrorCode::UnknownSid, Context::None);
            let entry = self.0.table.get(sid).ok_or_else(unknown)?;
            let (closed, transport) = entry.core.look(|session| (session.closed().is_some(), session.transport()));
            if closed {
                return Err(unknown());
            }
            if asked.is_none() && transport != query.transport {
                return Err(Refusal::new(ErrorCode::BadRequest, Context::TransportMismatch));
            }
            if entry.core.version != query.version {
                return Err(Refusal::new(ErrorCode::BadRequest, Context::ProtocolMismatch));
            }
            return Ok(Purpose::Session(entry));
        }
        if head.method() != Method::GET && asked != Some(Asked::Connect) {
            return Err(Refusal::new(ErrorCode::BadHandshakeMethod, Context::None));
        }
        if (query.transport == Transport::Websocket) != asked.is_some() {
            return Err(Refusal::new(ErrorCode::BadRequest, Context::TransportHandshakeError));
        }
        Ok(Purpose::Open)
    }

    /// Asks the application whether a session may be opened.
    pub(super) async fn allow(&self, handshake: &Arc<Handshake>) -> Result<(), Refusal> {
        if let Some(allow) = &self.0.options.allow_request
            && let Err(message) = (allow.0)(Arc::clone(handshake)).await
        {
            return Err(Refusal { code: ErrorCode::Forbidden, context: Context::None, message });
        }
        if handshake.version() == Version::V3 && !self.0.options.allow_eio3 {
            return Err(Refusal::new(ErrorCode::UnsupportedProtocolVersion, Context::None));
        }
        Ok(())
    }

    /// Tells the hook of a refusal and makes the answer.
    pub(super) fn refuse(&self, head: &Head, query: &Query<'_>, asked: Option<Asked>, refusal: Refusal) -> Answer {
        let words = refusal.message.unwrap_or_else(|| refusal.code.message().to_owned());
        tracing::debug!(code = refusal.code.number(), context = %refusal.context, "a request was refused");
        if let Some(hook) = self.0.hooks.connection_error() {
            hook(&ConnectionError {
                code: refusal.code,
                message: words.clone(),
                context: refusal.context,
                request: Arc::new(handshake(head, query)),
            });
        }
        if let Some(asked) = asked {
            return respond::refused_upgrade(asked, words);
        }
        let status = match refusal.code {
            ErrorCode::Forbidden => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        respond::refusal(status, refusal.code.number(), &words)
    }
}

/// Keeps what is known of a request.
pub(super) fn handshake(head: &Head, query: &Query<'_>) -> Handshake {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    let facts = Facts {
        address: head.address().unwrap_or(unknown),
        version: query.version,
        transport: query.transport,
        secure: head.is_secure(),
        jsonp: query.jsonp.is_some(),
        base64: query.base64,
    };
    Handshake::new(head, facts)
}
