//! Idle connections to endpoints, kept by each worker for itself; the one used last is used next.

mod private;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use self::private::Private;
use super::endpoint::Endpoint;
use crate::net::stream::Stream;

/// How long a connection is kept when the endpoint names no Keep-Alive timeout: Node closes after 5 s.
const DEFAULT_KEEP: Duration = Duration::from_secs(4);

/// A request that may not be repeated uses a connection only if it has been idle for less than this.
const FRESH: Duration = Duration::from_secs(1);

/// Idle connections per endpoint and worker; about 1 KiB of user memory each.
const MAX_IDLE: usize = 1024;

/// The idle connections of one worker.
#[derive(Debug, Default)]
pub struct Pool {
    /// Endpoints are few, and a tree of numbers needs no hash.
    by_endpoint: BTreeMap<u64, Kept>,
}

/// The idle connections to one endpoint.
#[derive(Debug)]
struct Kept {
    endpoint: Arc<Endpoint>,
    idle: Vec<Idle>,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since_ms: u64,
    until_ms: u64,
}

impl Pool {
    /// Takes a connection to the endpoint that is still open; only a fresh one when the request may not be repeated.
    pub fn take(&mut self, endpoint: &Endpoint, repeatable: bool, now_ms: u64) -> Option<Stream> {
        let idle = &mut self.by_endpoint.get_mut(&endpoint.serial())?.idle;
        while let Some(connection) = idle.pop() {
            if !repeatable && !connection.is_fresh(now_ms) {
                // All others have been idle for longer; they may serve a request that can be repeated.
                idle.push(connection);
                return None;
            }
            if connection.is_usable(now_ms) {
                return Some(connection.stream);
            }
        }
        None
    }

    /// Keeps a connection, for one second less than the endpoint will.
    pub fn put(&mut self, endpoint: &Arc<Endpoint>, stream: Stream, keep_alive_timeout: Option<u64>, now_ms: u64) {
        let connection = Idle::new(stream, keep_alive_timeout, now_ms);
        let Some(connection) = connection.filter(|_| !endpoint.is_gone()) else {
            return;
        };
        let empty = || Kept { endpoint: Arc::clone(endpoint), idle: Vec::new() };
        let idle = &mut self.by_endpoint.entry(endpoint.serial()).or_insert_with(empty).idle;
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    /// Closes the connections that are too old, that the endpoint has closed, or whose endpoint has left its upstream.
    pub fn sweep(&mut self, now_ms: u64) {
        self.by_endpoint.retain(|_, kept| {
            kept.idle.retain(|connection| connection.is_usable(now_ms));
            !kept.idle.is_empty() && !kept.endpoint.is_gone()
        });
    }

    /// Returns the number of idle connections.
    pub fn len(&self) -> usize {
        self.by_endpoint.values().map(|kept| kept.idle.len()).sum()
    }

    /// Returns whether there are no idle connections.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Idle {
    /// Keeps a connection for one second less than the endpoint will; `None` when that is no time at all.
    fn new(stream: Stream, keep_alive_timeout: Option<u64>, now_ms: u64) -> Option<Self> {
        let keep = keep_alive_timeout.map_or(DEFAULT_KEEP, |seconds| Duration::from_secs(seconds.saturating_sub(1)));
        let until_ms = now_ms.saturating_add(u64::try_from(keep.as_millis()).unwrap_or(u64::MAX));
        (!keep.is_zero()).then_some(Self { stream, since_ms: now_ms, until_ms })
    }

    /// Returns whether it may carry a request that must not be repeated.
    fn is_fresh(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.since_ms) < FRESH.as_millis() as u64
    }

    /// Whatever an endpoint sends on an idle connection, an end or bytes, makes the connection useless.
    fn is_usable(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms && self.stream.is_quiet()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;
    use crate::config::EndpointConfig;
    use crate::net::socket::Socket;
    use crate::upstream::endpoint::EndpointId;

    /// Two connections to an endpoint, idle since second 10, and the endpoint's ends of them.
    fn pool(keep_alive_timeout: Option<u64>) -> (Pool, Arc<Endpoint>, Vec<std::net::TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = EndpointConfig::new("test", 1);
        let endpoint = Arc::new(Endpoint::new(EndpointId::derive(None, address), address, &config));
        let mut pool = Pool::default();
        let far = (0..2).map(|_| {
            let near = std::net::TcpStream::connect(address).unwrap();
            near.set_nonblocking(true).unwrap();
            let stream = Stream::new(Socket::in_runtime(near).unwrap());
            pool.put(&endpoint, stream, keep_alive_timeout, 10_000);
            listener.accept().unwrap().0
        });
        let far = far.collect();
        (pool, endpoint, far)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn connections_are_kept_for_a_second_less_than_the_endpoint_keeps_them() {
        for (timeout, last_ms) in [(Some(3), 11_999), (None, 13_999)] {
            let (mut pool, endpoint, _far) = pool(timeout);
            assert!(pool.take(&endpoint, true, last_ms).is_some());
            assert!(pool.take(&endpoint, true, last_ms + 1).is_none());
        }
        let (pool, _, _far) = pool(Some(1));
        assert!(pool.is_empty(), "it would be closed at once");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_must_not_be_repeated_takes_only_a_fresh_connection() {
        let (mut pool, endpoint, _far) = pool(None);
        assert!(pool.take(&endpoint, false, 10_999).is_some());
        assert!(pool.take(&endpoint, false, 11_000).is_none());
        assert!(pool.take(&endpoint, true, 11_000).is_some(), "it stays for those that can be repeated");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn no_connection_to_an_endpoint_that_is_gone_is_kept() {
        let (mut pool, endpoint, _far) = pool(None);
        let taken = pool.take(&endpoint, true, 10_000).unwrap();
        endpoint.set_gone(true);
        pool.sweep(10_000);
        assert!(pool.is_empty());
        pool.put(&endpoint, taken, None, 10_000);
        assert!(pool.is_empty(), "a request that was in progress brings none back");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_connection_on_which_anything_came_is_not_used() {
        let (mut pool, endpoint, mut far) = pool(None);
        far[0].write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").unwrap();
        drop(far.pop());
        // The reactor learns of both when it is polled.
        while !pool.is_empty() {
            tokio::task::yield_now().await;
            pool.sweep(10_000);
        }
        assert!(pool.take(&endpoint, true, 10_000).is_none());
    }
}
