//! What is known about a tunnel and what it holds: its part of the slab entry that is not about bytes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use limpet_proto::engineio::handshake;
use limpet_proto::engineio::sid::Sid;
use serde_json::json;

use super::close::Closed;
use crate::access_log;
use crate::limit::concurrency::Place;
use crate::net::limit::Permit;
use crate::shared::Shared;
use crate::stats::{Count, Counters};
use crate::upstream::Upstream;
use crate::upstream::endpoint::Load;
use crate::upstream::queue::Slot;

/// What is known about a tunnel and what it holds until it ends.
#[derive(Debug)]
pub struct Record {
    /// The sid of its Engine.IO session, as the endpoint knows it.
    pub sid: Option<Sid>,
    /// Whether the endpoint's first message is expected to tell the sid.
    pub expect_open: bool,
    /// The client's address.
    pub client: CompactAddr,
    /// The listener's place in the configuration.
    pub listener: u16,
    /// The client's user agent, interned.
    pub user_agent: u16,
    /// The upstream, for its timeout.
    pub upstream: Arc<Upstream>,
    /// The load that the tunnel is.
    pub load: Load,
    /// What it has taken of limits, if there are any. Boxed, since few tunnels have some and every tunnel has room for it.
    pub limits: Option<Box<Limits>>,
    /// The client connection that it counts as.
    pub permit: Permit,
}

/// What a tunnel has taken of limits, given back when it ends.
#[derive(Debug)]
pub struct Limits {
    /// Its place among its client's tunnels.
    pub place: Place,
    /// Its slot at an endpoint.
    pub slot: Option<Slot>,
}

impl Limits {
    /// Keeps what there is.
    pub fn of(place: Place, slot: Option<Slot>) -> Option<Box<Self>> {
        (place.is_held() || slot.is_some()).then(|| Box::new(Self { place, slot }))
    }
}

impl Record {
    /// Reads the first message of a websocket-first session, which tells its sid and times.
    pub fn handle_open(&mut self, payload: &[u8]) {
        if let Some(open) = handshake::parse(payload) {
            self.upstream.note_handshake(&open);
            self.sid = Sid::parse(&open.sid);
            if self.sid.is_some() {
                self.counters().add(Count::WebsocketHandshakes, 1);
                self.counters().add(Count::LiveWebsocket, 1);
            }
        }
    }

    /// Counts the tunnel as one that lives.
    pub fn begin(&self) {
        let shard = self.counters().enter();
        shard.add(Count::Tunnels, 1);
        shard.add(Count::LiveTunnels, 1);
        if self.sid.is_some() {
            shard.add(Count::LiveWebsocket, 1);
        }
    }

    /// Counts bytes and messages from the client.
    pub fn received(&self, bytes: usize, messages: u32) {
        self.carried(Count::BytesIn, bytes, Count::MessagesIn, messages);
    }

    /// Counts bytes and messages to the client.
    pub fn sent(&self, bytes: usize, messages: u32) {
        self.carried(Count::BytesOut, bytes, Count::MessagesOut, messages);
    }

    /// A read brings many messages or a part of one: this is once per read, beside its system calls.
    fn carried(&self, in_bytes: Count, bytes: usize, in_messages: Count, messages: u32) {
        let shard = self.counters().shard();
        shard.add(in_bytes, bytes as u64);
        if messages > 0 {
            shard.add(in_messages, u64::from(messages));
        }
        self.permit.counters().add(in_bytes, bytes as u64);
    }

    fn counters(&self) -> &Counters {
        self.load.endpoint().counters()
    }

    /// Takes the tunnel out of those that live.
    fn end(&self, closed: &Closed) {
        let shard = self.counters().shard();
        shard.leave(Count::Current);
        shard.leave(Count::LiveTunnels);
        if self.sid.is_some() {
            shard.leave(Count::LiveWebsocket);
        }
        shard.closed(closed.reason, closed.from_client.close_code, closed.from_upstream.close_code);
    }

    /// Gives back what the tunnel held, and logs what it was.
    pub fn finish(self, shared: &Shared, closed: &Closed) {
        self.end(closed);
        if let Some(sid) = &self.sid {
            drop(shared.sessions.closed(sid.as_str()));
            self.upstream.learned.forget(sid.as_str());
        }
        let Some(log) = &shared.access_log else { return };
        let listener = shared.listeners.get(usize::from(self.listener)).map_or("", |listener| &listener.config.name);
        log.write(&[
            ("time", json!(access_log::now())),
            ("event", json!("tunnel")),
            ("client", json!(SocketAddr::from(self.client).to_string())),
            ("listener", json!(listener)),
            ("upstream", json!(self.upstream.name())),
            ("endpoint", json!(self.load.endpoint().address().to_string())),
            ("reason", json!(closed.reason.as_str())),
            ("seconds", json!(closed.lasted.as_secs())),
            ("received_bytes", json!(closed.from_client.bytes)),
            ("received_messages", json!(closed.from_client.messages)),
            ("client_close_code", json!(closed.from_client.close_code)),
            ("sent_bytes", json!(closed.from_upstream.bytes)),
            ("sent_messages", json!(closed.from_upstream.messages)),
            ("upstream_close_code", json!(closed.from_upstream.close_code)),
            ("round_trip_ms", json!(closed.round_trip.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))),
        ]);
    }
}

/// A socket address in 18 bytes instead of 32: IPv4 is kept in its IPv6 form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactAddr {
    ip: [u8; 16],
    port: u16,
}

impl From<SocketAddr> for CompactAddr {
    fn from(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self { ip: ip.octets(), port: address.port() }
    }
}

impl From<CompactAddr> for SocketAddr {
    fn from(address: CompactAddr) -> Self {
        Self::new(IpAddr::V6(Ipv6Addr::from(address.ip)).to_canonical(), address.port)
    }
}
