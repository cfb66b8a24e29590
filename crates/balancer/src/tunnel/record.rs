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
        }
    }

    /// Gives back what the tunnel held, and logs what it was.
    pub fn finish(self, shared: &Shared, closed: &Closed) {
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
