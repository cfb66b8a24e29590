//! `[dns]`: how the names of endpoints are looked up.

use std::net::SocketAddr;
use std::time::Duration;

use super::part::{Part, default};
use super::reader::{Entry, Reader, unread};
use super::value;

/// How the names of endpoints are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsConfig {
    /// The servers; none for those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// Which addresses of a name are taken.
    pub family: DnsFamily,
    /// Time for one query; there are two tries per server.
    pub timeout: Duration,
    /// Shortest time until a name is looked up again, if its TTL is shorter.
    pub min_ttl: Duration,
    /// Longest time until a name is looked up again, if its TTL is longer. 30 s by default: the DNS of Docker has a TTL of
    /// 600 s for services that grow and shrink within seconds.
    pub max_ttl: Duration,
    /// How long a name keeps its addresses after DNS says that it has none. 30 s by default, as HAProxy holds them.
    pub hold: Duration,
}

/// Which addresses of a name are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DnsFamily {
    /// All.
    #[default]
    Any,
    /// Those of A records.
    Ipv4,
    /// Those of AAAA records.
    Ipv6,
}

impl DnsFamily {
    /// Every value, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Any, Self::Ipv4, Self::Ipv6];

    /// Returns the word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            family: DnsFamily::Any,
            timeout: Duration::from_secs(2),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(30),
            hold: Duration::from_secs(30),
        }
    }
}

pub(super) const PART: Part = Part {
    title: "[dns]",
    header: "[dns]",
    doc: "How the names of endpoints are looked up. When DNS fails, the last good answer is kept.",
    keys: &[
        default(
            "servers",
            "[]",
            "DNS servers, \"IP\" or \"IP:PORT\"; none for those of /etc/resolv.conf. /etc/hosts counts before them.",
        ),
        default("family", "\"any\"", "Which addresses of a name are taken: \"any\", \"ipv4\" or \"ipv6\"."),
        default("timeout", "\"2s\"", "Time for one query; there are two tries."),
        default("min_ttl", "\"1s\"", "Shortest time until a name is looked up again, whatever its TTL."),
        default(
            "max_ttl",
            "\"30s\"",
            "Longest time until a name is looked up again, whatever its TTL. The DNS of Docker has a TTL of 600 s\n\
             for services that grow and shrink within seconds.",
        ),
        default("hold", "\"30s\"", "How long a name keeps its addresses after DNS says that it has none."),
    ],
};

pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>, dns: &mut DnsConfig) {
    let Some(table) = reader.table(entry, "[dns]") else {
        return;
    };
    reader.part(&PART, entry.path, table, |reader, entry| match entry.key {
        "servers" => reader.set_list(entry, value::dns_server, &mut dns.servers),
        "family" => reader.set(entry, value::dns_family, &mut dns.family),
        "timeout" => reader.set(entry, value::duration, &mut dns.timeout),
        "min_ttl" => reader.set(entry, value::duration, &mut dns.min_ttl),
        "max_ttl" => reader.set(entry, value::duration, &mut dns.max_ttl),
        "hold" => reader.set(entry, value::duration, &mut dns.hold),
        _ => unread(reader, entry),
    });
}
