//! Decides whether a request may go on at once, has to wait, or is refused, because of what its client asked before.
//!
//! - [`rate`]: how many requests of a key may come in a time, as nginx's `limit_req`; its [`bucket`] is the arithmetic.
//! - [`concurrency`]: how many requests and tunnels of a client may be in progress at once.
//!
//! Invariants:
//! - A refused request changes no bucket and holds no place.
//! - What a request or a tunnel holds is given back when it is dropped, however it ends.
//! - Every table has a bound, and says what a key costs.

pub mod bucket;
pub mod concurrency;
pub mod rate;

use std::future::poll_fn;
use std::net::IpAddr;
use std::task::Poll;
use std::time::Duration;

use limpet_proto::http1::request_head::RequestHead;

use self::concurrency::{PerClient, Place};
use self::rate::RateLimits;
use crate::client::Client;
use crate::clock;
use crate::config::ListenerConfig;
use crate::request::local;

/// What the clients of one listener have in progress.
#[derive(Debug)]
pub struct InProgress {
    /// Requests, from their head to the end of their response.
    pub requests: PerClient,
    /// Tunnels, and the upgrades that may become one.
    pub tunnels: PerClient,
}

impl InProgress {
    /// Makes the counters of a listener.
    pub fn new(config: &ListenerConfig) -> Self {
        Self {
            requests: PerClient::new(config.max_requests_per_client),
            tunnels: PerClient::new(config.max_upgrades_per_client),
        }
    }
}

/// What the limits say of a request, and the places that it holds.
#[derive(Debug, Default)]
pub struct Admitted {
    /// What becomes of it.
    pub admission: Admission,
    /// Its place among its client's requests.
    pub request: Place,
    /// Its place among its client's tunnels, which the tunnel takes over.
    pub tunnel: Place,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    /// It goes on at once.
    #[default]
    Pass,
    /// It goes on after this time.
    Wait(Duration),
    /// It is refused.
    Refuse(Refusal),
}

/// Which limit refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A rate limit of the route.
    #[error("too many requests for the rate limit")]
    Rate {
        /// The configured status, 400 to 599.
        status: u16,
        /// Whole seconds, rounded up, after which one request would pass; at least 1.
        retry_after: u32,
    },
    /// The client has all the requests in progress that it may have.
    #[error("too many requests of this address in progress")]
    Requests,
    /// The client has all the tunnels that it may have.
    #[error("too many tunnels of this address")]
    Tunnels,
}

impl Refusal {
    /// Returns the status and reason phrase.
    pub fn status(self) -> (u16, &'static str) {
        match self {
            Self::Requests | Self::Tunnels => (429, "Too Many Requests"),
            Self::Rate { status, .. } => (status, local::reason(status)),
        }
    }

    /// Returns the whole seconds after which it is worth to try again, where that is known.
    pub fn retry_after(self) -> Option<u32> {
        match self {
            Self::Rate { retry_after, .. } => Some(retry_after),
            Self::Requests | Self::Tunnels => None,
        }
    }
}

/// Asks every limit about a request. The places come first: a request that finds none uses up no rate.
pub fn admit(in_progress: &InProgress, rates: &RateLimits, client: IpAddr, request: &RequestHead<'_, '_>) -> Admitted {
    let refuse = |refusal| Admitted { admission: Admission::Refuse(refusal), ..Admitted::default() };
    let Ok(place) = in_progress.requests.enter(client) else {
        return refuse(Refusal::Requests);
    };
    let tunnel = if request.upgrade { in_progress.tunnels.enter(client) } else { Ok(Place::default()) };
    let Ok(tunnel) = tunnel else {
        return refuse(Refusal::Tunnels);
    };
    if rates.is_empty() {
        return Admitted { admission: Admission::Pass, request: place, tunnel };
    }
    match rates.admit(client, &request.lines, clock::millis()) {
        Admission::Refuse(refusal) => refuse(refusal),
        admission => Admitted { admission, request: place, tunnel },
    }
}

/// Waits as long as a rate asks for. Nobody else waits with it. Returns whether the client is still there.
///
/// A client that is still sending its body is not looked at: its bytes stay where they are until the request goes on.
pub async fn wait(client: &mut Client, delay: Duration) -> bool {
    let mut sleep = std::pin::pin!(tokio::time::sleep(delay));
    poll_fn(|cx| match sleep.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(true),
        Poll::Pending if client.body_is_done() => client.poll_gone(cx).map(|_| false),
        Poll::Pending => Poll::Pending,
    })
    .await
}
