//! `[upstream.NAME]`: a named group of endpoints.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeTable;

use super::part::{Part, default, example, required, table};
use super::reader::{Entry, Reader, unread};
use super::value;
use super::{
    Affinity, Balance, EndpointConfig, Forwarded, Hash, HashKey, OutlierConfig, ProbeConfig, ReplicasConfig, SendProxy,
    WhenGone,
};
use super::{affinity, endpoint, forwarded, hash, outlier, probe, proxy, replicas};

/// A named group of endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamConfig {
    /// The name in routes, logs and metrics.
    pub name: String,
    /// How a new session is placed.
    pub balance: Balance,
    /// How the key of `balance = "hash"` and the address of `balance = "source"` become an endpoint.
    pub hash: Hash,
    /// The key of `balance = "hash"`.
    pub hash_key: HashKey,
    /// How much more than the average an endpoint may carry, in percent, before a hash passes it over; 0 for no bound.
    pub hash_balance_factor: u32,
    /// Whether all backup endpoints are used together, or only the first that is usable, as HAProxy has it.
    pub all_backups: bool,
    /// How long weight and `max_conn` of an endpoint grow after it came up again; zero for no slow start.
    pub slow_start: Duration,
    /// Longest wait for a free slot of endpoints that have a `max_conn`. 5 s by default, within which a slot of ordinary
    /// requests gets free, or never will.
    pub queue_timeout: Duration,
    /// Requests that may wait for slots at a time; others get 503 at once. 1024 by default; about 300 bytes each beside
    /// their connections.
    pub max_queue: usize,
    /// What binds a session to its endpoint, tried in order.
    pub affinity: Vec<Affinity>,
    /// What becomes of a request that a cookie, a route or a remembered address binds to an endpoint that is gone.
    pub when_gone: WhenGone,
    /// How long such a request waits for its endpoint, if it does.
    pub wait: Duration,
    /// Whether it fails after waiting in vain; otherwise it moves.
    pub fails_after_wait: bool,
    /// Whether sids of version 4 handshakes are tagged (`false`: learned only).
    pub sid_tag: bool,
    /// The addresses.
    pub endpoints: Vec<EndpointConfig>,
    /// A watched file of more addresses.
    pub endpoints_file: Option<PathBuf>,
    /// A command that is started several times, each process an endpoint.
    pub replicas: Option<ReplicasConfig>,
    /// Active health evidence; `None` switches it off.
    pub probe: Option<ProbeConfig>,
    /// Passive health evidence.
    pub outlier: OutlierConfig,
    /// Time for a TCP connection to an endpoint. 2 s by default: the first retransmission of a lost SYN comes after 1 s.
    pub connect_timeout: Duration,
    /// Time until an endpoint begins its response, and longest silence within it. Never below the largest pingInterval +
    /// pingTimeout seen. 60 s by default: a poll of Socket.IO with its own defaults is answered within 25 s.
    pub response_timeout: Duration,
    /// Longest silence of a tunnel, both directions together. Never below the largest pingInterval + pingTimeout seen.
    /// 1 h by default: Engine.IO notices the dead by itself, other protocols may be silent for long.
    pub tunnel_timeout: Duration,
    /// Largest request body that is held to locate an unknown version 3 session; costs at most this much per such request.
    /// 1 MiB by default, just above the 1 MB that Socket.IO takes (`maxHttpBufferSize`); 0 holds none.
    pub max_held_body_bytes: usize,
    /// Largest request body, 0 for no limit, unless the route says otherwise. Bodies pass as they come: a limit saves
    /// the endpoints' memory, not the balancer's. None by default, since the application has its own.
    pub max_body_bytes: u64,
    /// Which headers tell endpoints about the client.
    pub forwarded: Forwarded,
    /// Which PROXY header begins each connection to an endpoint, those of probes included.
    pub send_proxy: SendProxy,
}

impl UpstreamConfig {
    /// Makes an upstream with the documented defaults.
    pub fn new(name: impl Into<String>, endpoints: Vec<EndpointConfig>) -> Self {
        Self {
            name: name.into(),
            balance: Balance::LeastConn,
            hash: Hash::default(),
            hash_key: HashKey::default(),
            hash_balance_factor: 0,
            all_backups: false,
            slow_start: Duration::ZERO,
            queue_timeout: Duration::from_secs(5),
            max_queue: 1024,
            affinity: vec![Affinity::Sid],
            when_gone: WhenGone::Move,
            wait: Duration::from_secs(5),
            fails_after_wait: false,
            sid_tag: true,
            endpoints,
            endpoints_file: None,
            replicas: None,
            probe: Some(ProbeConfig::default()),
            outlier: OutlierConfig::default(),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(60),
            tunnel_timeout: Duration::from_secs(3600),
            max_held_body_bytes: 1024 * 1024,
            max_body_bytes: 0,
            forwarded: Forwarded::default(),
            send_proxy: SendProxy::Off,
        }
    }
}

pub(super) const PART: Part = Part {
    title: "[upstream.NAME]",
    header: "[upstream.app]",
    doc: "A named group of endpoints: servers that can do the same.",
    keys: &[
        required(
            "endpoints",
            "[]",
            "\"HOST:PORT\" or { address = \"HOST:PORT\", id = \"ID\" }. A name with several addresses gives one endpoint\n\
             each, and \"srv:NAME\" takes addresses, ports and weights from SRV records. The id keeps sessions across a\n\
             change of address. Also LIMPET_UPSTREAM. Required, unless there is an endpoints_file\n\
             or replicas.",
        ),
        example(
            "endpoints_file",
            "\"/etc/limpet/app.toml\"",
            "A file of more endpoints, which is watched and can change at any time: TOML with endpoints = [...] as here,\n\
             or JSON if its name ends in .json. A file that is wrong or gone changes nothing.",
        ),
        default(
            "balance",
            "\"least_conn\"",
            "How a new session is placed: \"least_conn\" (fewest sessions, tunnels and requests for its weight),\n\
             \"round_robin\" (nginx's smooth weighted turns), \"random2\" (the less loaded of two by chance), \"source\"\n\
             (by the client's address), \"hash\" (by hash_key) or \"first\" (the first with a free slot).",
        ),
        default("affinity", "[{ by = \"sid\" }]", affinity::DOC),
        default(
            "hash",
            "\"rendezvous\"",
            "How a key becomes an endpoint with \"source\" and \"hash\": \"rendezvous\"; as HAProxy \"ring\" (hash-type\n\
             consistent) \"source\" or \"source_avalanche\" (map-based); as nginx \"ketama\" (hash ... consistent), \"ip_hash\" or \"modulo\" (hash).",
        ),
        default(
            "hash_key",
            "\"client\"",
            "The key of balance = \"hash\": \"client\", \"path\", \"header:NAME\" or \"query:NAME\".",
        ),
        default(
            "hash_balance_factor",
            "0",
            "How much an endpoint may carry before a hash passes it over, in percent of the average, such as 125;\n\
             0 for no bound. For \"rendezvous\", \"ring\" and \"ketama\".",
        ),
        default(
            "all_backups",
            "false",
            "Whether all backup endpoints are used while every other is unusable, or the first usable one alone.",
        ),
        default(
            "slow_start",
            "\"off\"",
            "For how long the weight and max_conn of an endpoint grow after it came up again, such as \"30s\". Not at\n\
             the start of limpet.",
        ),
        default(
            "queue_timeout",
            "\"5s\"",
            "Longest wait for a free slot where endpoints have a max_conn; then 503. A WebSocket has its slot for as\n\
             long as it lives, a long poll while it is held.",
        ),
        default("max_queue", "1024", "Requests that may wait for slots at a time; others get 503 at once."),
        default(
            "when_gone",
            "\"move\"",
            "What becomes of a request that a cookie, a route or a remembered address binds to an endpoint that is down, in\n\
             maintenance or gone: \"move\" to another one, \"wait\" for it, or \"fail\" with 503.",
        ),
        default("wait", "\"5s\"", "How long it waits with when_gone = \"wait\"."),
        default("after_wait", "\"move\"", "What it does after waiting in vain: \"move\" or \"fail\"."),
        default(
            "sid_tag",
            "true",
            "Adds a sealed tag to the sids of new sessions, so that any balancer with the key can route them.\n\
             With false, sids are learned from responses only.",
        ),
        default("connect_timeout", "\"2s\"", "Time for a TCP connection to an endpoint: one lost packet is forgiven."),
        default(
            "response_timeout",
            "\"60s\"",
            "Time until an endpoint begins its response, and longest silence within it. A long poll is never cut\n\
             before the pingInterval + pingTimeout of its server.",
        ),
        default("tunnel_timeout", "\"1h\"", "Longest silence of a tunnel (a WebSocket), both directions together."),
        default(
            "max_held_body",
            "\"1MiB\"",
            "Largest request body that is held to find the endpoint of an unknown version 3 session, up to 64MiB.\n\
             Costs this much memory per such request.",
        ),
        default(
            "max_body",
            "0",
            "Largest request body, such as \"20MiB\"; larger ones get 413. 0 for no limit. A route can have its own.",
        ),
        default(
            "forwarded",
            "[\"x-forwarded\", \"x-real-ip\"]",
            "Headers that tell endpoints about the client: \"x-forwarded\", \"x-real-ip\", \"rfc7239\".",
        ),
        default(
            "send_proxy",
            "\"off\"",
            "The PROXY header that begins each connection to an endpoint and names the client: \"v1\" or \"v2\". Each\n\
             client then has connections of its own. Probes send it without a client.",
        ),
        table("probe"),
        table("outlier"),
        table("replicas"),
    ],
};

pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>, table: &DeTable<'_>) -> UpstreamConfig {
    let mut upstream = UpstreamConfig::new(entry.key, Vec::new());
    let it = &mut upstream;
    reader.part(&PART, entry.path, table, |reader, entry| match entry.key {
        "balance" => reader.set(entry, value::balance, &mut it.balance),
        "hash" => reader.set(entry, value::hash, &mut it.hash),
        "hash_key" => reader.set(entry, hash::hash_key, &mut it.hash_key),
        "hash_balance_factor" => reader.set(entry, hash::balance_factor, &mut it.hash_balance_factor),
        "all_backups" => reader.set(entry, value::switch, &mut it.all_backups),
        "slow_start" => reader.set(entry, value::duration_or_off, &mut it.slow_start),
        "queue_timeout" => reader.set(entry, value::duration, &mut it.queue_timeout),
        "max_queue" => reader.set(entry, value::count, &mut it.max_queue),
        "affinity" => affinity::read(reader, entry, &mut it.affinity),
        "when_gone" => reader.set(entry, affinity::when_gone, &mut it.when_gone),
        "wait" => reader.set(entry, value::duration, &mut it.wait),
        "after_wait" => reader.set(entry, affinity::after_wait, &mut it.fails_after_wait),
        "sid_tag" => reader.set(entry, value::switch, &mut it.sid_tag),
        "endpoints" => endpoint::read(reader, entry, &mut it.endpoints),
        "endpoints_file" => it.endpoints_file = reader.value(entry, value::path),
        "probe" => it.probe = probe::read(reader, entry),
        "replicas" => it.replicas = replicas::read(reader, entry),
        "outlier" => outlier::read(reader, entry, &mut it.outlier),
        "connect_timeout" => reader.set(entry, value::duration, &mut it.connect_timeout),
        "response_timeout" => reader.set(entry, value::duration, &mut it.response_timeout),
        "tunnel_timeout" => reader.set(entry, value::duration, &mut it.tunnel_timeout),
        "max_held_body" => reader.set(entry, value::held_body_bytes, &mut it.max_held_body_bytes),
        "max_body" => reader.set(entry, value::body_bytes, &mut it.max_body_bytes),
        "forwarded" => forwarded::read(reader, entry, &mut it.forwarded),
        "send_proxy" => reader.set(entry, proxy::send, &mut it.send_proxy),
        _ => unread(reader, entry),
    });
    upstream
}
