//! `[listener.NAME]`: a bound address.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeTable;

use super::draft::UNBOUND;
use super::part::{Part, default, required};
use super::reader::{Entry, Reader, unread};
use super::value;
use super::{AcceptProxy, proxy};

/// A bound address.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerConfig {
    /// The name in routes, logs and metrics.
    pub name: String,
    /// The address to bind; `[::]` accepts IPv4 too.
    pub bind: SocketAddr,
    /// Networks whose `X-Forwarded-*` and `Forwarded` headers are believed and extended; from others they are replaced.
    pub trusted: Vec<IpNet>,
    /// Which PROXY headers are accepted at the start of a connection.
    pub accept_proxy: AcceptProxy,
    /// Networks whose connections must begin with a PROXY header; empty for all.
    pub proxy_from: Vec<IpNet>,
    /// Whether connections from elsewhere are refused; otherwise they are those of clients themselves.
    pub proxy_required: bool,
    /// Client connections of this listener, 0 for no limit of its own.
    pub max_connections: usize,
    /// Client connections of one client address, 0 for no limit.
    pub max_connections_per_client: usize,
    /// Requests in progress of one client address, behind trusted proxies too, 0 for no limit.
    pub max_requests_per_client: u32,
    /// Tunnels and upgrades in progress of one client address, behind trusted proxies too, 0 for no limit.
    pub max_upgrades_per_client: u32,
    /// Largest request head; costs at most this much per connection that is sending one. At most 32 KiB; 16 KiB by
    /// default, which is what Node's server takes.
    pub max_head_bytes: usize,
    /// Time to send a whole request head, from its first byte; then 408. 10 s by default: a head is a few packets, and
    /// this bounds how long a slow client can hold a buffer of `max_head_bytes`.
    pub head_timeout: Duration,
    /// Longest silence within a request body; then 408. 30 s by default: phones lose the network for some seconds.
    pub body_timeout: Duration,
    /// How long a connection may wait for its next request. 75 s by default: nginx and the load balancers of AWS keep
    /// idle connections to us for 60 s, and unless they close first, a request can cross with our close and fail.
    pub idle_timeout: Duration,
}

impl ListenerConfig {
    /// Makes a listener with the documented defaults.
    pub fn new(name: impl Into<String>, bind: SocketAddr) -> Self {
        Self {
            name: name.into(),
            bind,
            trusted: Vec::new(),
            accept_proxy: AcceptProxy::Off,
            proxy_from: Vec::new(),
            proxy_required: false,
            max_connections: 0,
            max_connections_per_client: 0,
            max_requests_per_client: 0,
            max_upgrades_per_client: 0,
            max_head_bytes: 16 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
        }
    }
}

pub(super) const PART: Part = Part {
    title: "[listener.NAME]",
    header: "[listener.web]",
    doc: "A bound address. The name is yours; there can be several.",
    keys: &[
        required(
            "bind",
            "\":8000\"",
            "\"IP:PORT\", or \":PORT\" for all addresses, IPv4 and IPv6. Also LIMPET_LISTEN. Required.",
        ),
        default(
            "trusted",
            "[]",
            "Networks of front proxies, such as \"10.0.0.0/8\": their X-Forwarded-* and Forwarded headers are believed\n\
             and extended. Those of others are replaced.",
        ),
        default(
            "accept_proxy",
            "\"off\"",
            "The PROXY headers that front proxies send at the start of a connection: \"v1\", \"v2\" or \"any\". The address\n\
             in it is the client's; its X-Forwarded-* headers are believed if that address is in trusted.\n\
             Also LIMPET_ACCEPT_PROXY.",
        ),
        default(
            "proxy_from",
            "[]",
            "Networks whose connections must begin with a PROXY header; [] for all. Connections from elsewhere are\n\
             clients without a proxy, and a PROXY header of theirs is refused. Also LIMPET_PROXY_FROM.",
        ),
        default("proxy_required", "false", "Refuses connections that do not come from proxy_from."),
        default("max_connections", "0", "Client connections of this listener; 0 for no limit of its own."),
        default("max_connections_per_client", "0", "Client connections of one client address; 0 for no limit."),
        default(
            "max_requests_per_client",
            "0",
            "Requests in progress of one client address, behind trusted proxies too; 0 for no limit. Others get a 429.\n\
             A page on polling has two at a time: a held GET and a POST.",
        ),
        default(
            "max_upgrades_per_client",
            "0",
            "WebSockets of one client address, behind trusted proxies too; 0 for no limit. Others get a 429, with which\n\
             Socket.IO stays on polling.",
        ),
        default(
            "max_head",
            "\"16KiB\"",
            "Largest request head, 1KiB to 32KiB. Costs this much memory per connection that is sending one.",
        ),
        default(
            "head_timeout",
            "\"10s\"",
            "Time to send a whole request head, from its first byte. It bounds how long slow clients hold memory.",
        ),
        default(
            "body_timeout",
            "\"30s\"",
            "Longest silence within a request body. Phones lose the network for seconds.",
        ),
        default(
            "idle_timeout",
            "\"75s\"",
            "How long a connection may wait for its next request. Keep it longer than front proxies keep theirs\n\
             (nginx and AWS load balancers 60 s, Google Cloud 600 s), else a request can cross with our close.",
        ),
    ],
};

pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>, table: &DeTable<'_>) -> ListenerConfig {
    let mut listener = ListenerConfig::new(entry.key, UNBOUND);
    let it = &mut listener;
    reader.part(&PART, entry.path, table, |reader, entry| match entry.key {
        "bind" => reader.set(entry, value::bind, &mut it.bind),
        "trusted" => reader.set_list(entry, value::network, &mut it.trusted),
        "accept_proxy" => reader.set(entry, proxy::accept, &mut it.accept_proxy),
        "proxy_from" => reader.set_list(entry, value::network, &mut it.proxy_from),
        "proxy_required" => reader.set(entry, value::switch, &mut it.proxy_required),
        "max_connections" => reader.set(entry, value::count, &mut it.max_connections),
        "max_connections_per_client" => reader.set(entry, value::count, &mut it.max_connections_per_client),
        "max_requests_per_client" => reader.set(entry, value::times, &mut it.max_requests_per_client),
        "max_upgrades_per_client" => reader.set(entry, value::times, &mut it.max_upgrades_per_client),
        "max_head" => reader.set(entry, value::head_bytes, &mut it.max_head_bytes),
        "head_timeout" => reader.set(entry, value::duration, &mut it.head_timeout),
        "body_timeout" => reader.set(entry, value::duration, &mut it.body_timeout),
        "idle_timeout" => reader.set(entry, value::duration, &mut it.idle_timeout),
        _ => unread(reader, entry),
    });
    listener
}
