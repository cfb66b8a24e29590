//! The life of one request: route → affinity → endpoint → relay. Read this file first.
//!
//! ```text
//! client::connection   reads a head and parses it
//!   prepare            matches a route, binds the session to an endpoint, rewrites the head
//!   serve (here)       chooses the endpoint, moves on when one fails before it could have processed the request
//!     chosen           follows what a cookie, an address or a hash wants, and what when_gone says of it
//!     attempt          sends the request to one endpoint and waits for the head of its response
//!     relay            passes the response on; a 101 becomes a tunnel
//!   answer             what we say ourselves when there is no response to pass on
//! ```
//!
//! Invariants:
//! - A request that an endpoint may have processed is sent to no other endpoint. Two exceptions have no effect on
//!   anybody: a handshake that was not answered (nobody learns the sid of the session that it may have opened), and a
//!   look-up that was answered "session unknown".
//! - A request with a sid goes to the endpoint that has the session, or nowhere.
//! - Nothing is sent to the client before the endpoint's response is known to be the final one.

mod announce;
pub mod answer;
pub mod attempt;
mod chosen;
mod handshake;
pub mod head;
mod kept;
pub mod local;
pub mod prepare;
mod relay;
mod session;
mod slot;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limpet_proto::http1::Method;

use self::answer::Error;
use self::attempt::Failure;
use self::chosen::Chosen;
use self::prepare::Request;
use crate::access_log::Exchange;
use crate::affinity::modes::Choice;
use crate::affinity::{Evidence, Plan};
use crate::client::{Client, ClientError};
use crate::clock;
use crate::limit::{self, Admission};
use crate::net::stream::Stream;
use crate::stats::Flight;
use crate::upstream::endpoint::{Endpoint, EndpointId, Load};
use crate::upstream::locate::Turn;
use crate::upstream::queue::Refusal;
use crate::worker::Worker;

/// How many endpoints a request may be offered to when they fail.
const MAX_ATTEMPTS: usize = 4;

/// An endpoint that does not have a session says so at once. One that is silent for this long holds the poll.
const HOLDS_A_POLL: Duration = Duration::from_millis(200);

/// What becomes of the client's connection after an exchange.
#[derive(Debug)]
pub enum Outcome {
    /// It may carry another request.
    KeepAlive,
    /// It ends.
    Close,
    /// It ends with a reset, because an ordinary end would look like that of a complete response.
    Reset,
    /// It has become a tunnel, which waits only for the client's socket.
    Tunnel(Box<Upgraded>),
}

/// The endpoint's half of a new tunnel.
#[derive(Debug)]
pub struct Upgraded {
    /// The connection to the endpoint, with what it sent behind its 101.
    pub stream: Stream,
    /// The 101 for the client.
    pub head: Vec<u8>,
    /// The load that the tunnel is.
    pub load: Load,
    /// The request that asked for it.
    pub request: Box<Request>,
}

/// Serves one request from its prepared form to the end of its response.
pub async fn serve(worker: &Worker, client: &mut Client, mut request: Box<Request>, log: &mut Exchange) -> Outcome {
    if let Err(outcome) = pass_limits(worker, client, &request, log).await {
        return outcome;
    }
    let served = match std::mem::replace(&mut request.plan, Plan::Unknown) {
        Plan::Bound(endpoint) => bound(worker, client, &mut request, &endpoint, log).await,
        Plan::Balance(choice) => balance(worker, client, &mut request, choice, log).await,
        // Rare and large: its state must not be a part of every connection's.
        Plan::Locate => Box::pin(locate(worker, client, &mut request, log)).await,
        Plan::Unknown => Err(Error::UnknownSession),
    };
    request.upstream.stats().own().shard().bound(request.evidence);
    log.received(request.received_bytes());
    match served {
        Ok(Served::Passed { keep_alive: true }) => Outcome::KeepAlive,
        Ok(Served::Passed { keep_alive: false }) => Outcome::Close,
        Ok(Served::Broken) => Outcome::Reset,
        Ok(Served::Upgraded { stream, head, load }) => {
            Outcome::Tunnel(Box::new(Upgraded { stream, head, load, request }))
        }
        Err(error) => answer::send(worker, client, Some(&request), &error, log).await,
    }
}

/// Waits or refuses as the limits say.
async fn pass_limits(
    worker: &Worker,
    client: &mut Client,
    request: &Request,
    log: &mut Exchange,
) -> Result<(), Outcome> {
    let error = match request.admitted.admission {
        Admission::Pass => return Ok(()),
        // Rare: its timer must not be a part of every connection's state.
        Admission::Wait(delay) if Box::pin(limit::wait(client, delay)).await => return Ok(()),
        Admission::Wait(_) => Error::Endpoint(Failure::Client(ClientError::Gone)),
        Admission::Refuse(refusal) => refusal.into(),
    };
    Err(answer::send(worker, client, Some(request), &error, log).await)
}

/// How a request was served.
enum Served {
    /// Its response was passed on, to its end or until it had to be cut.
    Passed { keep_alive: bool },
    /// Its response was cut, and its client cannot see that from the bytes.
    Broken,
    /// It was answered by a 101.
    Upgraded { stream: Stream, head: Vec<u8>, load: Load },
}

/// A request of a session whose endpoint is known.
async fn bound(
    worker: &Worker,
    client: &mut Client,
    request: &mut Request,
    endpoint: &Arc<Endpoint>,
    log: &mut Exchange,
) -> Result<Served, Error> {
    if !request.upstream.takes_bound(endpoint) {
        return Err(Error::UnknownSession);
    }
    session::touch(worker, request, endpoint);
    match attempt::send(worker, client, request, endpoint).await {
        Ok(response) => relay::relay(worker, client, request, response, None, endpoint, log).await,
        // Nobody listens where the session was: it is gone with its process.
        Err(Failure::Connect(_) | Failure::Queue(Refusal::Gone)) => Err(Error::UnknownSession),
        Err(Failure::Closed(_)) if !attempt::accepts_connections(&request.upstream, endpoint).await => {
            Err(Error::UnknownSession)
        }
        Err(failure) => Err(failure.into()),
    }
}

/// A new session, or a request that belongs to none.
async fn balance(
    worker: &Worker,
    client: &mut Client,
    request: &mut Request,
    choice: Choice,
    log: &mut Exchange,
) -> Result<Served, Error> {
    let mut chosen = Chosen::new(choice, &request.upstream);
    let mut tried: Vec<EndpointId> = Vec::new();
    loop {
        if chosen.must_wait() {
            // Rare: its state must not be a part of every connection's.
            Box::pin(chosen.wait(worker, client, request)).await?;
        }
        let load = match chosen.preferred(&tried) {
            Some(endpoint) => {
                if request.evidence == Evidence::StickySession {
                    request.upstream.count_turn(endpoint);
                }
                Load::take(endpoint)
            }
            None => slot::place(client, request, chosen.key(), &mut tried).await?,
        };
        let endpoint = Arc::clone(load.endpoint());
        request.upstream.affinity.chosen(request.client, endpoint.id(), clock::coarse());
        tried.push(endpoint.id());
        let last = tried.len() >= MAX_ATTEMPTS.min(request.upstream.endpoints().len());
        let failure = match attempt::send(worker, client, request, &endpoint).await {
            Ok(response) if !last && chosen.may_move() && request.is_handshake() && response.is_refusal() => {
                request.upstream.note_failure(&endpoint, "it refused a handshake");
                request.flight.take().iter().for_each(Flight::redispatch);
                request.out.rewind();
                continue;
            }
            Ok(response) => return relay::relay(worker, client, request, response, Some(load), &endpoint, log).await,
            Err(failure) => failure,
        };
        let harmless = match &failure {
            Failure::Connect(_) => true,
            Failure::Closed(_) => request.is_handshake(),
            _ => false,
        };
        if harmless && chosen.waits_for(&endpoint) {
            tried.pop();
        } else if last || !harmless || !chosen.may_move() {
            return Err(failure.into());
        } else {
            request.flight.iter().for_each(Flight::redispatch);
        }
        request.flight = None;
        request.out.rewind();
    }
}

/// A request of a version 3 session that is not known here: every endpoint is asked in turn. The one that does not
/// answer "session unknown" has the session.
async fn locate(
    worker: &Worker,
    client: &mut Client,
    request: &mut Request,
    log: &mut Exchange,
) -> Result<Served, Error> {
    let Some(sid) = request.session.sid.clone() else {
        return Err(Error::UnknownSession);
    };
    let upstream = Arc::clone(&request.upstream);
    match attempt::hold_body(client, request).await {
        Ok(()) => {}
        Err(Failure::Client(ClientError::BodyTooLarge)) => return Err(Error::BodyTooLarge),
        Err(_) => return Err(Error::UnknownSession),
    }
    let search = loop {
        match upstream.locator.begin(sid.as_str(), Instant::now()) {
            Turn::Search(search) => break search,
            Turn::Wait(running) => running.over().await,
            Turn::Refused => return Err(Error::UnknownSession),
        }
        if let Some(id) = upstream.learned.find(sid.as_str(), clock::coarse()) {
            let Some(endpoint) = upstream.find(id) else {
                return Err(Error::UnknownSession);
            };
            request.evidence = Evidence::Learned;
            return bound(worker, client, request, &endpoint, log).await;
        }
    };
    let mut search = Some(search);
    let learn = |endpoint: &Endpoint| {
        upstream.learned.learn(sid.clone(), endpoint.id(), upstream.session_ttl(), clock::coarse());
    };
    // Nothing but a poll is held: who is late with the answer to anything else is slow, and need not have the session.
    let is_poll = request.method == Method::Get && !request.upgrade;
    let silence = if is_poll { HOLDS_A_POLL } else { Duration::MAX };
    for endpoint in upstream.endpoints().iter().filter(|endpoint| upstream.takes_bound(endpoint)) {
        request.out.rewind();
        let answer = {
            let mut answer = pin!(attempt::send(worker, client, request, endpoint));
            match tokio::time::timeout(silence, answer.as_mut()).await {
                Ok(answer) => answer,
                // It holds the poll, as only the session's own endpoint does. Others must not wait for its answer.
                Err(_) => {
                    learn(endpoint);
                    search = None;
                    answer.await
                }
            }
        };
        match answer {
            Ok(mut response) => {
                if handshake::is_unknown_session(client, &mut response, request.method).await {
                    upstream.learned.forget(sid.as_str());
                    continue;
                }
                learn(endpoint);
                drop(search);
                log.located();
                request.evidence = Evidence::Located;
                return relay::relay(worker, client, request, response, None, endpoint, log).await;
            }
            Err(Failure::Connect(_)) => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    Err(Error::UnknownSession)
}

#[cfg(test)]
mod tests;
