//! Turns a parsed head into a request that owns what it needs: its upstream, its plan, and the head for the endpoint.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use limpet_proto::engineio::query::{self, Query};
use limpet_proto::engineio::sid::Sid;
use limpet_proto::engineio::{Transport, Version as EngineVersion};
use limpet_proto::http1::body::Framing;
use limpet_proto::http1::headers::Known;
use limpet_proto::http1::request_head::RequestHead;
use limpet_proto::http1::{Method, Version};

use super::answer::Error;
use super::local::LocalRequest;
use super::{head, slot};
use crate::affinity::cookie::Surroundings;
use crate::affinity::modes::{Said, Wish};
use crate::affinity::{self, Binding, Evidence, LastTag, Plan};
use crate::client::{Origin, address};
use crate::clock;
use crate::limit::{self, Admitted};
use crate::net::stream::Outgoing;
use crate::route::edits::{self, Facts};
use crate::route::{Action, Route};
use crate::shared::Shared;
use crate::stats::Flight;
use crate::upstream::Upstream;
use crate::upstream::queue::Slot;

/// What a request says about its Engine.IO session.
#[derive(Debug, Default)]
pub struct Session {
    /// The protocol version, if the request is an Engine.IO one.
    pub version: Option<EngineVersion>,
    /// The transport asked for.
    pub transport: Option<Transport>,
    /// The session's sid as its endpoint knows it; `None` for a handshake.
    pub sid: Option<Sid>,
}

/// A request on its way.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The version that the client speaks.
    pub version: Version,
    /// Whether the client's connection may carry another request.
    pub keep_alive: bool,
    /// Whether it asks for the WebSocket protocol.
    pub upgrade: bool,
    /// The client's address, behind trusted proxies too.
    pub client: IpAddr,
    /// The route that matched.
    pub route: Arc<Route>,
    /// Its upstream.
    pub upstream: Arc<Upstream>,
    /// What the limits say of it, and the places that it holds.
    pub admitted: Admitted,
    /// Where it is to go.
    pub plan: Plan,
    /// How that was decided.
    pub evidence: Evidence,
    /// What it said about its affinity, for the response.
    pub said: Said,
    /// Its Engine.IO session.
    pub session: Session,
    /// The key of `balance = "hash"`, unless it is the client's address.
    pub hash_key: Option<Box<[u8]>>,
    /// The slot at an endpoint with a limit, while the request is there.
    pub slot: Option<Slot>,
    /// For how long it has waited for the slot.
    pub queued: Duration,
    /// The client's user agent, interned; 0 where nobody needs it.
    pub user_agent: u16,
    /// The head for the endpoint, and the part of the body that was taken.
    pub out: Outgoing,
    /// The length of the head for the endpoint.
    pub head_bytes: usize,
    /// Whether the request has no effect on its endpoint and no body, so that it may be sent again on a new connection
    /// when a kept one turns out to be closed.
    pub repeatable: bool,
    /// The part that an endpoint has in it now.
    pub flight: Option<Flight>,
    /// Bytes that have left [`out`](Self::out) for good.
    pub flushed_bytes: u64,
}

impl Request {
    /// Returns whether the request opens an Engine.IO session.
    pub fn is_handshake(&self) -> bool {
        self.method == Method::Get && self.session.version.is_some() && self.session.sid.is_none()
    }

    /// Returns how many bytes of body were taken, as far as they are still held.
    pub fn received_bytes(&self) -> u64 {
        self.out.bytes.len().saturating_sub(self.head_bytes) as u64
    }

    /// Returns how many bytes an endpoint has been sent, and will be sent of what was taken.
    pub fn sent_bytes(&self) -> u64 {
        self.flushed_bytes + self.out.bytes.len() as u64
    }

    /// Returns whether the body is a lone Engine.IO close packet, as far as it is still held.
    pub fn closes_session(&self) -> bool {
        self.method == Method::Post && self.session.sid.is_some() && {
            matches!(self.out.bytes.get(self.head_bytes..), Some(b"1" | b"1:1"))
        }
    }

    /// Returns whether the response may be a polling handshake's body, which carries the sid of a new session.
    pub fn is_polling_handshake(&self) -> bool {
        self.is_handshake() && !self.upgrade && self.session.transport == Some(Transport::Polling)
    }
}

/// A request whose route is known.
#[derive(Debug)]
pub enum Prepared {
    /// An endpoint is to answer it. Boxed, since it passes through many hands and each connection has room for one.
    Forward(Box<Request>),
    /// Its route answers it.
    Local(LocalRequest),
}

impl Prepared {
    /// Returns the client's address, behind trusted proxies too.
    pub fn client(&self) -> IpAddr {
        match self {
            Self::Forward(request) => request.client,
            Self::Local(request) => request.client,
        }
    }

    /// Returns the route that matched.
    pub fn route(&self) -> &Arc<Route> {
        match self {
            Self::Forward(request) => &request.route,
            Self::Local(request) => &request.route,
        }
    }
}

/// Prepares a request.
///
/// # Errors
/// [`Error`] when no route matches, the body is too large for it, or the query is ambiguous.
pub fn prepare(
    shared: &Shared,
    origin: &Origin,
    last_tag: &mut LastTag,
    request: &RequestHead<'_, '_>,
) -> Result<Prepared, Error> {
    let listener = &shared.listeners[origin.listener];
    let client = address::resolve(origin, &listener.config.trusted, &request.lines);
    let route = shared.routes.load().find(origin.listener, client, request).ok_or(Error::NoRoute)?;
    if let Framing::Length(length) = request.framing
        && route.max_body_bytes != 0
        && length > route.max_body_bytes
    {
        return Err(Error::BodyTooLarge);
    }
    let admitted = limit::admit(&listener.in_progress, &route.limits, client, request);
    let Action::Upstream(upstream) = &route.action else {
        return LocalRequest::new(shared, request, client, route, admitted).map(Prepared::Local);
    };
    let upstream = Arc::clone(upstream);
    let query_text = request.target.query();
    let query = match query_text {
        Some(text) if upstream.affinity.by_sid() => query::parse(text.as_bytes())?,
        _ => None,
    };
    let Wish { choice, evidence, said, edit } = wish(shared, &upstream, request, client);
    let binding = match &query {
        Some(Query { sid: Some(sid), version, .. }) => {
            affinity::bind(&upstream, &shared.tags.load(), last_tag, sid, *version, (choice, evidence))
        }
        _ => Binding::by(choice, evidence),
    };
    let session = match &query {
        Some(query) => Session {
            version: Some(query.version),
            transport: Some(query.transport),
            sid: binding.sid.and_then(Sid::parse),
        },
        None => Session::default(),
    };
    let handshake = request.method == Method::Get && query.as_ref().is_some_and(|query| query.sid.is_none());
    // Only the record of a new session needs it.
    let user_agent = match handshake.then(|| request.lines.find(Known::UserAgent)).flatten() {
        Some(name) => shared.user_agents.number(name),
        None => 0,
    };
    let mut out = Outgoing::with_capacity(request.lines.len_bytes() + 256);
    let rewrite = head::Rewrite {
        // The sid as the endpoint knows it takes the place of the one that carries a tag.
        sid: query.as_ref().and_then(|query| Some((query.sid_range.clone()?, binding.sid?))),
        default_host: upstream.name(),
        // The body of a polling handshake must be readable.
        drop_accept_encoding: handshake && !request.upgrade,
        forwarded: upstream.config().forwarded,
        cookies: edit,
    };
    head::write_request(request, origin, &rewrite, &mut out.bytes);
    edits::apply(&route.config.request_headers, Facts { client, endpoint: "" }, &mut out.bytes);
    Ok(Prepared::Forward(Box::new(Request {
        method: request.method,
        version: request.version,
        keep_alive: request.keeps_alive(),
        upgrade: request.upgrade,
        client,
        admitted,
        plan: binding.plan,
        evidence: binding.evidence,
        said,
        session,
        hash_key: slot::key(upstream.config(), request),
        slot: None,
        queued: Duration::ZERO,
        user_agent,
        head_bytes: out.bytes.len(),
        out,
        repeatable: request.method.is_safe() && request.framing == Framing::Empty,
        flight: None,
        flushed_bytes: 0,
        route,
        upstream,
    })))
}

/// Asks the modes beside the sid.
fn wish<'a>(shared: &Shared, upstream: &'a Upstream, request: &RequestHead<'_, '_>, client: IpAddr) -> Wish<'a> {
    if upstream.affinity.is_empty() {
        return Wish::default();
    }
    let (endpoints, keys) = (upstream.endpoints(), shared.tags.load());
    let around = Surroundings {
        upstream,
        endpoints: &endpoints,
        keys: keys.cookies(),
        now: clock::coarse(),
        unix: clock::unix(),
    };
    upstream.affinity.read(request, client, around)
}
