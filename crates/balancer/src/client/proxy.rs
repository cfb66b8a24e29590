//! Which client a connection is of when front proxies announce it by a PROXY header.
//!
//! - A header is read only from peers that are named for it, and from those it is required. Everybody else is a client
//!   of its own; a header of theirs is refused, since anybody could claim any address by one.
//! - The header's source takes the peer's place for everything: logs, limits, affinity, `X-Forwarded-For`. As with
//!   nginx's realip, what the client then says in `X-Forwarded-For` is believed only if that address is trusted; that
//!   the proxy is says nothing about those behind it.
//! - LOCAL and UNKNOWN are of the proxy itself: the peer's own address counts.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::Poll;

use limpet_proto::proxy_header::{self, Progress, ProxyError, Version};

use super::http1::Http1;
use crate::clock;
use crate::config::{AcceptProxy, ListenerConfig};
use crate::table::Seconds;
use crate::worker::Worker;

/// The time between two warnings of one listener; refusals between them are counted.
const QUIET: Seconds = Seconds(60);

/// What a listener expects of a peer before the first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A request.
    Request,
    /// A PROXY header.
    Header,
    /// Nothing: the connection is refused.
    Nothing,
}

/// Why a connection is refused because of its PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The peer may not speak for others.
    #[error("a PROXY header from an address that is not in proxy_from")]
    Untrusted,
    /// The listener accepts none.
    #[error("a PROXY header, and the listener accepts none; see accept_proxy")]
    NotAccepted,
    /// The listener does not accept this version.
    #[error("a PROXY header of the version that accept_proxy leaves out")]
    Version,
    /// The bytes are no header.
    #[error("no sound PROXY header, which this listener needs from this address: {0}")]
    Malformed(ProxyError),
    /// The header did not arrive in time.
    #[error("no PROXY header in time, which this listener needs from this address")]
    TooSlow,
    /// The listener takes connections of its proxies alone.
    #[error("a connection from an address that is not in proxy_from, and proxy_required is set")]
    NotAProxy,
}

/// What the wait for a header ends with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// The origin says who the client is.
    Header,
    /// The peer has gone without a word, as health checks of load balancers do.
    End,
    /// The connection is refused.
    Refused(Refused),
}

/// Counts what a listener has refused, so that floods do not flood the log.
#[derive(Debug, Default)]
pub struct Refusals {
    count: AtomicU64,
    /// One more than the second of the last warning; 0 before the first.
    warned: AtomicU32,
}

impl Refusals {
    /// Counts a refusal, and warns of it unless there was a warning within the last minute.
    pub fn note(&self, listener: &str, peer: IpAddr, why: Refused, now: Seconds) {
        let refused = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let warned = self.warned.load(Ordering::Relaxed);
        let is_time = warned == 0 || now.since(Seconds(warned - 1)) >= QUIET;
        let mine = now.0.saturating_add(1);
        if is_time && self.warned.compare_exchange(warned, mine, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(listener, %peer, refused, "connection refused: {why}");
        }
    }

    /// Returns how many connections were refused.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Decides what the peer has to begin with.
pub fn expected(config: &ListenerConfig, peer: IpAddr) -> Expected {
    if config.accept_proxy == AcceptProxy::Off {
        return Expected::Request;
    }
    let named = config.proxy_from.is_empty() || config.proxy_from.iter().any(|network| network.contains(&peer));
    match (named, config.proxy_required) {
        (true, _) => Expected::Header,
        (false, true) => Expected::Nothing,
        (false, false) => Expected::Request,
    }
}

/// Says why bytes that are no request are refused, if they are a PROXY header that nobody asked for.
pub fn unasked(config: &ListenerConfig, input: &[u8]) -> Option<Refused> {
    // Version 2 begins with empty lines, which have been skipped before a request line was looked for.
    let rest_of_v2 = b"\0\r\nQUIT\n";
    let has_part_of_v2 =
        input.first() == Some(&0) && rest_of_v2.iter().zip(input).all(|(expected, byte)| expected == byte);
    let looks_like_one = input.starts_with(b"PROXY ") || has_part_of_v2;
    let why = if config.accept_proxy == AcceptProxy::Off { Refused::NotAccepted } else { Refused::Untrusted };
    looks_like_one.then_some(why)
}

/// Reads the header at the beginning of a connection and makes the client that it names the connection's origin.
pub(super) async fn receive(worker: &Worker, client: &mut Http1, config: &ListenerConfig) -> Received {
    client.deadline.set(config.head_timeout);
    loop {
        match proxy_header::parse(client.stream.input()) {
            Ok(Progress::Complete { consumed, header }) => {
                if !config.accept_proxy.accepts(header.version) {
                    return Received::Refused(Refused::Version);
                }
                client.stream.consume(consumed);
                if let proxy_header::Origin::Proxied { source, destination } = header.origin {
                    become_client(client, config, source, destination);
                }
                return Received::Header;
            }
            Ok(Progress::Incomplete) => {}
            Err(error) => return Received::Refused(Refused::Malformed(error)),
        }
        // What cannot become a version that is accepted need not be waited for.
        let begun = match client.stream.input().first() {
            Some(b'P') => Some(Version::V1),
            Some(_) => Some(Version::V2),
            None => None,
        };
        if begun.is_some_and(|version| !config.accept_proxy.accepts(version)) {
            return Received::Refused(Refused::Version);
        }
        let filled = poll_fn(|cx| match client.stream.poll_fill(cx) {
            Poll::Pending if worker.is_stopping() && begun.is_none() => Poll::Ready(None),
            Poll::Pending => client.deadline.poll(cx).map(|()| None),
            Poll::Ready(filled) => Poll::Ready(Some(filled)),
        });
        match filled.await {
            Some(Ok(0)) if begun.is_some() => {
                return Received::Refused(Refused::Malformed(ProxyError::NoHeader));
            }
            Some(Ok(0) | Err(_)) => return Received::End,
            Some(Ok(_)) => {}
            None if worker.is_stopping() && begun.is_none() => return Received::End,
            None => return Received::Refused(Refused::TooSlow),
        }
    }
}

/// Gives the connection to the client that the header names.
fn become_client(client: &mut Http1, config: &ListenerConfig, source: SocketAddr, destination: SocketAddr) {
    let ip = source.ip().to_canonical();
    let trusted = config.trusted.iter().any(|network| network.contains(&ip));
    client.origin = super::Origin::new(source, trusted, client.origin.listener);
    client.origin.destination = Some(Box::new(destination));
}

/// Notes that a connection was refused.
pub(super) fn note_refusal(worker: &Worker, listener: usize, peer: IpAddr, why: Refused) {
    if let Some(listener) = worker.shared.listeners.get(listener) {
        listener.proxy_refusals.note(&listener.config.name, peer, why, clock::coarse());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(accept_proxy: AcceptProxy, proxy_from: &[&str], proxy_required: bool) -> ListenerConfig {
        ListenerConfig {
            accept_proxy,
            proxy_from: proxy_from.iter().map(|network| network.parse().unwrap()).collect(),
            proxy_required,
            ..ListenerConfig::new("test", "[::]:0".parse().unwrap())
        }
    }

    #[test]
    fn headers_are_expected_from_those_that_are_named() {
        let (near, far) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
        for (config, of_near, of_far) in [
            (config(AcceptProxy::Off, &[], false), Expected::Request, Expected::Request),
            (config(AcceptProxy::Any, &[], false), Expected::Header, Expected::Header),
            (config(AcceptProxy::V1, &["10.0.0.0/8"], false), Expected::Header, Expected::Request),
            (config(AcceptProxy::V2, &["10.0.0.0/8"], true), Expected::Header, Expected::Nothing),
        ] {
            assert_eq!((expected(&config, near), expected(&config, far)), (of_near, of_far), "{config:?}");
        }
    }

    #[test]
    fn headers_that_nobody_asked_for_are_known() {
        let (off, some) = (config(AcceptProxy::Off, &[], false), config(AcceptProxy::Any, &["10.0.0.0/8"], false));
        assert_eq!(unasked(&off, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"), Some(Refused::NotAccepted));
        assert_eq!(unasked(&some, b"\0\r\nQUIT\n\x21\x11"), Some(Refused::Untrusted));
        assert_eq!(unasked(&some, b"\0\r\n"), Some(Refused::Untrusted));
        assert_eq!(unasked(&some, b"\0\r\nQUIET\n"), None);
        assert_eq!(unasked(&some, b""), None);
        assert_eq!(unasked(&some, b"GET / HTTP/1.1\r\n"), None);
        assert_eq!(unasked(&some, b"PROXYING / HTTP/1.1\r\n"), None);
    }

    #[test]
    fn a_flood_of_refusals_is_counted() {
        let refusals = Refusals::default();
        for second in [0, 0, 1, 59, 60, 61] {
            refusals.note("test", IpAddr::from([192, 0, 2, 1]), Refused::Untrusted, Seconds(second));
        }
        assert_eq!((refusals.count(), refusals.warned.load(Ordering::Relaxed)), (6, 61));
    }
}
