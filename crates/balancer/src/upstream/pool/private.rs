//! The idle connection of one client: where connections name their client, no other may use it.

use std::net::IpAddr;

use super::Idle;
use crate::net::stream::Stream;
use crate::upstream::endpoint::Endpoint;

/// At most one idle connection, which ends with the client's own.
#[derive(Debug, Default)]
pub struct Private(Option<Box<Kept>>);

#[derive(Debug)]
struct Kept {
    endpoint: u64,
    /// Behind a trusted proxy, a connection to us carries the requests of several clients.
    client: IpAddr,
    idle: Idle,
}

impl Private {
    /// Takes the connection if it is one of this client to this endpoint and still open; only a fresh one when the
    /// request may not be repeated. Any other is closed, since it would be in the way of the next.
    pub fn take(&mut self, endpoint: &Endpoint, client: IpAddr, repeatable: bool, now_ms: u64) -> Option<Stream> {
        let kept = self.0.take()?;
        let fits = kept.endpoint == endpoint.serial() && kept.client == client;
        let usable = kept.idle.is_usable(now_ms) && (repeatable || kept.idle.is_fresh(now_ms));
        (fits && usable).then_some(kept.idle.stream)
    }

    /// Keeps a connection in the place of the one before.
    pub fn put(
        &mut self,
        endpoint: &Endpoint,
        client: IpAddr,
        stream: Stream,
        keep_alive_timeout: Option<u64>,
        now_ms: u64,
    ) {
        let idle = Idle::new(stream, keep_alive_timeout, now_ms).filter(|_| !endpoint.is_gone());
        self.0 = idle.map(|idle| Box::new(Kept { endpoint: endpoint.serial(), client, idle }));
    }
}
