//! Looks names up: one answer for one target.
//!
//! Addresses come from `/etc/hosts` if it has the name, else from DNS with the search list of `/etc/resolv.conf`, as the
//! resolver of the C library does it; but here an answer comes with its TTL, and nothing blocks. IPv4 and IPv6 are asked
//! for at the same time and reported one by one, so that the failure of one is not taken for the absence of its
//! addresses.

mod loopback;
mod query;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use self::query::{Resolver, Section};
use super::name::{Answer, Family, LONGEST, Part, Place, Record, Say, Target};
use crate::config::{DnsConfig, DnsFamily};

/// Records of one SRV answer; each costs two more queries.
const MAX_RECORDS: usize = 256;

/// Looks names up as configured.
#[derive(Debug)]
pub struct Dns {
    config: DnsConfig,
    resolver: Resolver,
    /// Which entry of the search list had the last good answer for a target.
    answered_by: Mutex<HashMap<Target, Name>>,
}

/// The addresses of a host by family, and the shortest TTL among them.
type Addresses = ([(Family, Part<Vec<IpAddr>>); 2], Duration);

impl Dns {
    /// Makes one; asks nobody yet.
    pub fn new(config: DnsConfig) -> Self {
        Self { resolver: Resolver::new(config.clone()), config, answered_by: Mutex::default() }
    }

    /// Looks a target up once, within half a minute. `current` are the addresses that are in use.
    pub async fn look_up(&self, target: &Target, current: &[SocketAddr]) -> Answer {
        match tokio::time::timeout(LONGEST, self.answer(target, current)).await {
            Ok(answer) => answer,
            Err(_) => Answer {
                records: Part::Failed(format!("no answer within {LONGEST:?}")),
                addresses: HashMap::new(),
                ttl: Duration::ZERO,
            },
        }
    }

    /// Returns what a target stands for now.
    ///
    /// # Errors
    /// Why nobody can tell.
    pub async fn places(&self, target: &Target) -> Result<Vec<Place>, String> {
        let mut name = super::name::Name::new(Instant::now());
        let effect = name.handle_answer(self.look_up(target, &[]).await, &self.config, Instant::now());
        match effect.say {
            Some(Say::Trouble(reason)) if name.places().is_empty() => Err(reason),
            _ => Ok(name.places().to_vec()),
        }
    }

    /// Forgets what is not looked up any more.
    pub fn retain(&self, wanted: impl Fn(&Target) -> bool) {
        self.answered_by.lock().unwrap_or_else(PoisonError::into_inner).retain(|target, _| wanted(target));
    }

    async fn answer(&self, target: &Target, current: &[SocketAddr]) -> Answer {
        match target {
            Target::Host { name, port } => {
                let (mut parts, mut ttl) = self.host(target, name).await;
                if let Some((settled, again)) = loopback::settle(&parts, *port, current).await {
                    (parts, ttl) = (settled, again.unwrap_or(ttl));
                }
                let record = Record { target: name.clone(), port: *port, priority: 0, weight: None };
                let addresses = parts.into_iter().map(|(family, part)| ((name.clone(), family), part)).collect();
                Answer { records: Part::Found(vec![record]), addresses, ttl }
            }
            Target::Service(name) => self.service(target, name).await,
        }
    }

    /// Looks the addresses of a host up.
    async fn host(&self, target: &Target, host: &str) -> Addresses {
        let longest = self.config.max_ttl;
        if loopback::is_localhost(host) {
            return (self.of_family(loopback::PAIR.to_vec()), longest);
        }
        if let Some(known) = query::hosts(host) {
            return (self.of_family(known), longest);
        }
        let mut search = match Search::begin(self, target, host) {
            Ok(search) => search,
            Err(reason) => return (of_both(Part::Failed(reason)), Duration::ZERO),
        };
        while let Some(name) = search.names.next() {
            let (parts, ttl) = self.both(name.clone()).await;
            if parts.iter().any(|(_, part)| matches!(part, Part::Found(_))) {
                search.found(name);
                return (parts, ttl);
            }
            if failure(&parts).is_some_and(|reason| search.is_over(&name, reason)) {
                break;
            }
        }
        (of_both(search.end()), Duration::ZERO)
    }

    /// Looks both families of a whole name up.
    async fn both(&self, name: Name) -> Addresses {
        let (v4, v6) = tokio::join!(
            self.one(&name, RecordType::A, self.config.family != DnsFamily::Ipv6),
            self.one(&name, RecordType::AAAA, self.config.family != DnsFamily::Ipv4)
        );
        let ttl = [&v4, &v6].into_iter().filter_map(Section::ttl).min().unwrap_or_default();
        ([(Family::V4, Section::records(v4)), (Family::V6, Section::records(v6))], ttl)
    }

    async fn one(&self, name: &Name, kind: RecordType, is_wanted: bool) -> Part<Section<IpAddr>> {
        if is_wanted { self.resolver.query(name, kind, RData::ip_addr).await } else { Part::Missing }
    }

    /// Looks an SRV record up, and the addresses of its targets.
    async fn service(&self, target: &Target, name: &str) -> Answer {
        let nothing = |records| Answer { records, addresses: HashMap::new(), ttl: Duration::ZERO };
        let mut search = match Search::begin(self, target, name) {
            Ok(search) => search,
            Err(reason) => return nothing(Part::Failed(reason)),
        };
        let (records, mut ttl) = loop {
            let Some(name) = search.names.next() else {
                return nothing(search.end());
            };
            match self.resolver.query(&name, RecordType::SRV, query::srv).await {
                Part::Found(Section { records, ttl }) => {
                    search.found(name);
                    break (records, ttl);
                }
                Part::Failed(reason) if search.is_over(&name, &reason) => return nothing(search.end()),
                Part::Failed(_) | Part::Missing => {}
            }
        };
        // A lone target "." says that there is no such service.
        let records: Vec<_> =
            records.into_iter().filter(|srv| !srv.target.is_root() && srv.port > 0).take(MAX_RECORDS).collect();
        let mut addresses = HashMap::new();
        let mut names: Vec<&Name> = records.iter().map(|srv| &srv.target).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let key = name.to_string();
            let (parts, of_host) = match query::hosts(&key) {
                Some(known) => (self.of_family(known), self.config.max_ttl),
                None => self.both(name.clone()).await,
            };
            if parts.iter().any(|(_, part)| matches!(part, Part::Found(_))) {
                ttl = ttl.min(of_host);
            }
            addresses.extend(parts.into_iter().map(|(family, part)| ((key.clone(), family), part)));
        }
        let record = |srv: &SRV| Record {
            target: srv.target.to_string(),
            port: srv.port,
            priority: srv.priority,
            weight: Some(srv.weight),
        };
        Answer { records: Part::Found(records.iter().map(record).collect()), addresses, ttl }
    }

    /// Sorts addresses by family, without those that are not wanted.
    fn of_family(&self, addresses: Vec<IpAddr>) -> [(Family, Part<Vec<IpAddr>>); 2] {
        let (v4, v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv4);
        let part = |wanted: bool, found: Vec<IpAddr>| {
            if wanted && !found.is_empty() { Part::Found(found) } else { Part::Missing }
        };
        [
            (Family::V4, part(self.config.family != DnsFamily::Ipv6, v4)),
            (Family::V6, part(self.config.family != DnsFamily::Ipv4, v6)),
        ]
    }
}

/// The whole names that a name may stand for, asked for in turn until one is found. An entry of the search list that fails
/// is passed over, but not the one that had the last good answer: another one would not be the same service.
struct Search<'d> {
    dns: &'d Dns,
    target: &'d Target,
    names: std::vec::IntoIter<Name>,
    last: Option<Name>,
    failure: Option<String>,
}

impl<'d> Search<'d> {
    fn begin(dns: &'d Dns, target: &'d Target, name: &str) -> Result<Self, String> {
        let names = dns.resolver.candidates(name)?.into_iter();
        let last = dns.answered_by.lock().unwrap_or_else(PoisonError::into_inner).get(target).cloned();
        Ok(Self { dns, target, names, last, failure: None })
    }

    fn found(self, name: Name) {
        self.dns.answered_by.lock().unwrap_or_else(PoisonError::into_inner).insert(self.target.clone(), name);
    }

    /// Notes that a name could not be looked up, and returns whether that ends the search.
    fn is_over(&mut self, name: &Name, reason: &str) -> bool {
        self.failure = Some(reason.to_owned());
        self.last.as_ref() == Some(name)
    }

    /// Returns what it means that nothing was found.
    fn end<T>(self) -> Part<T> {
        self.failure.map_or(Part::Missing, Part::Failed)
    }
}

/// Says the same of both families.
fn of_both(part: Part<Vec<IpAddr>>) -> [(Family, Part<Vec<IpAddr>>); 2] {
    [(Family::V4, part.clone()), (Family::V6, part)]
}

/// Returns why half of a look-up failed, if one did.
fn failure(parts: &[(Family, Part<Vec<IpAddr>>)]) -> Option<&str> {
    parts.iter().find_map(|(_, part)| match part {
        Part::Failed(reason) => Some(reason.as_str()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes through a search list of which some entries fail and one may have the name; says which, or what it means.
    fn search(dns: &Dns, target: &Target, fails: &[&str], has: Option<&str>) -> Result<String, Part<()>> {
        let names: Vec<Name> = ["app.a.", "app.b.", "app."].map(|name| Name::from_ascii(name).unwrap()).into();
        let last = dns.answered_by.lock().unwrap().get(target).cloned();
        let mut search = Search { dns, target, names: names.into_iter(), last, failure: None };
        while let Some(name) = search.names.next() {
            let text = name.to_string();
            if has == Some(&text) {
                search.found(name);
                return Ok(text);
            }
            if fails.contains(&text.as_str()) && search.is_over(&name, "no answer") {
                break;
            }
        }
        Err(search.end())
    }

    #[test]
    fn no_other_service_takes_the_place_of_one_that_cannot_be_looked_up() {
        let dns = Dns::new(DnsConfig::default());
        let target = Target::Host { name: "app".into(), port: 80 };
        let failed = Part::Failed("no answer".to_owned());
        assert_eq!(search(&dns, &target, &[], None), Err(Part::Missing));
        assert_eq!(search(&dns, &target, &["app.a."], None), Err(failed.clone()), "nobody knows");
        assert_eq!(search(&dns, &target, &["app.a."], Some("app.b.")), Ok("app.b.".into()), "that entry never had it");
        assert_eq!(
            search(&dns, &target, &["app.b."], Some("app.")),
            Err(failed),
            "the last good answer came from there"
        );
        assert_eq!(search(&dns, &target, &[], Some("app.")), Ok("app.".into()), "it has moved");
        assert_eq!(search(&dns, &target, &[], Some("app.a.")), Ok("app.a.".into()), "it has moved");
        dns.retain(|_| false);
        assert_eq!(search(&dns, &target, &["app.a."], Some("app.b.")), Ok("app.b.".into()));
    }
}
