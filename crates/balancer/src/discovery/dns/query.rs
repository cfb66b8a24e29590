//! One query to a DNS server, as the system or the configuration names them.

use std::fs;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};

use super::super::name::Part;
use crate::config::DnsConfig;

/// Where the system names its servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Tries beside the first one.
const MORE_TRIES: usize = 1;

/// The records of one answer.
#[derive(Debug)]
pub(super) struct Section<T> {
    pub(super) records: Vec<T>,
    /// The shortest TTL among them.
    pub(super) ttl: Duration,
}

impl<T> Section<T> {
    /// Returns the TTL of what was found.
    pub(super) fn ttl(part: &Part<Self>) -> Option<Duration> {
        match part {
            Part::Found(section) => Some(section.ttl),
            _ => None,
        }
    }

    /// Returns what was found, without its TTL.
    pub(super) fn records(part: Part<Self>) -> Part<Vec<T>> {
        match part {
            Part::Found(section) => Part::Found(section.records),
            Part::Missing => Part::Missing,
            Part::Failed(reason) => Part::Failed(reason),
        }
    }
}

/// The servers of this moment. A change of `/etc/resolv.conf` is seen at the next query.
#[derive(Debug)]
pub(super) struct Resolver {
    config: DnsConfig,
    zone: Mutex<Option<Zone>>,
}

/// Servers, and the search list for names that are not whole.
#[derive(Clone, Debug)]
struct Zone {
    /// When `/etc/resolv.conf` was written.
    written: Option<SystemTime>,
    client: Arc<TokioResolver>,
    search: Arc<[Name]>,
    ndots: usize,
}

impl Resolver {
    pub(super) fn new(config: DnsConfig) -> Self {
        Self { config, zone: Mutex::new(None) }
    }

    /// Returns the whole names that a name may stand for, in the order in which they are asked for.
    pub(super) fn candidates(&self, name: &str) -> Result<Vec<Name>, String> {
        let zone = self.zone()?;
        candidates(name, &zone.search, zone.ndots)
    }

    /// Asks for the records of one kind.
    pub(super) async fn query<T>(
        &self,
        name: &Name,
        kind: RecordType,
        take: fn(&RData) -> Option<T>,
    ) -> Part<Section<T>> {
        let client = match self.zone() {
            Ok(zone) => zone.client,
            Err(reason) => return Part::Failed(reason),
        };
        // When to ask again is decided by whoever asks.
        client.clear_cache();
        match client.lookup(name.clone(), kind).await {
            Ok(lookup) => {
                let ttl = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or_default();
                let records: Vec<T> = lookup.answers().iter().filter_map(|record| take(&record.data)).collect();
                if records.is_empty() {
                    return Part::Missing;
                }
                Part::Found(Section { records, ttl: Duration::from_secs(ttl.into()) })
            }
            Err(error) if error.is_no_records_found() => Part::Missing,
            Err(error) => Part::Failed(in_words(&error)),
        }
    }

    fn zone(&self) -> Result<Zone, String> {
        let written = fs::metadata(RESOLV_CONF).and_then(|metadata| metadata.modified()).ok();
        let mut zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        match &*zone {
            Some(zone) if zone.written == written => Ok(zone.clone()),
            _ => {
                let new = Zone::new(&self.config, written)?;
                *zone = Some(new.clone());
                Ok(new)
            }
        }
    }
}

impl Zone {
    fn new(config: &DnsConfig, written: Option<SystemTime>) -> Result<Self, String> {
        // Without a usable file the server of this machine is asked, as resolv.conf(5) says.
        let (system, mut options) = system_conf::read_system_conf().unwrap_or_else(|_| {
            let local = NameServerConfig::udp_and_tcp(IpAddr::from([127, 0, 0, 1]));
            (ResolverConfig::from_parts(None, Vec::new(), vec![local]), ResolverOpts::default())
        });
        let (domain, mut search, mut servers) = system.into_parts();
        if search.is_empty() {
            search.extend(domain.filter(|domain| !domain.is_root()));
        }
        if !config.servers.is_empty() {
            let server = |address: &std::net::SocketAddr| {
                let mut server = NameServerConfig::udp_and_tcp(address.ip());
                server.connections.iter_mut().for_each(|connection| connection.port = address.port());
                server
            };
            servers = config.servers.iter().map(server).collect();
        }
        let ndots = options.ndots;
        options.timeout = config.timeout;
        options.attempts = MORE_TRIES;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        options.num_concurrent_reqs = 1;
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let client = builder.build().map_err(|error| error.to_string())?;
        Ok(Self { written, client: Arc::new(client), search: search.into(), ndots })
    }
}

/// Reads an SRV record.
pub(super) fn srv(data: &RData) -> Option<SRV> {
    match data {
        RData::SRV(srv) => Some(srv.clone()),
        _ => None,
    }
}

/// Returns the addresses that the file of hosts has for a name, if it has any.
pub(super) fn hosts(name: &str) -> Option<Vec<IpAddr>> {
    let name = Name::from_ascii(name).ok()?;
    let hosts = Hosts::from_system().ok()?;
    let mut addresses: Vec<IpAddr> = [RecordType::A, RecordType::AAAA]
        .into_iter()
        .filter_map(|kind| hosts.lookup_static_host(&Query::query(name.clone(), kind)))
        .flat_map(|lookup| lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    (!addresses.is_empty()).then_some(addresses)
}

/// Returns the whole names that a name may stand for: a name with `ndots` dots is asked for as it is before the search
/// list counts, and one that ends in a dot is whole (resolv.conf(5)).
fn candidates(name: &str, search: &[Name], ndots: usize) -> Result<Vec<Name>, String> {
    let name = Name::from_ascii(name).map_err(|error| error.to_string())?;
    if name.is_fqdn() {
        return Ok(vec![name]);
    }
    let mut whole = name.clone();
    whole.set_fqdn(true);
    // Entries that make a name too long cannot have it.
    let mut found: Vec<Name> = search
        .iter()
        .filter_map(|domain| name.clone().append_domain(domain).ok())
        .map(|mut name| {
            name.set_fqdn(true);
            name
        })
        .collect();
    let dots = usize::from(name.num_labels()).saturating_sub(1);
    if dots >= ndots {
        found.insert(0, whole);
    } else {
        found.push(whole);
    }
    Ok(found)
}

/// Says in a few words why a query failed.
fn in_words(error: &NetError) -> String {
    match error {
        NetError::Timeout => "the DNS servers do not answer".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_list_counts_as_in_the_system() {
        let search = ["ns.svc.cluster.local.", "svc.cluster.local."].map(|name| Name::from_ascii(name).unwrap());
        for (name, ndots, expected) in [
            ("app.", 5, &["app."][..]),
            ("app", 1, &["app.ns.svc.cluster.local.", "app.svc.cluster.local.", "app."]),
            ("app.other", 1, &["app.other.", "app.other.ns.svc.cluster.local.", "app.other.svc.cluster.local."]),
            ("app.other", 5, &["app.other.ns.svc.cluster.local.", "app.other.svc.cluster.local.", "app.other."]),
        ] {
            let names: Vec<String> =
                candidates(name, &search, ndots).unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(names, expected, "{name} {ndots}");
        }
    }
}
