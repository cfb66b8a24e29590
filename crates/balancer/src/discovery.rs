//! Which endpoints the upstreams have while the balancer runs: one seam for every source of endpoints.
//!
//! ```text
//! configuration ─┐
//! file ──────────┤  whole sets            names ─ looked up ─┐
//! handle ────────┴─▶ group: sources of one upstream, in order ┴─▶ apply ─▶ Upstream::set_endpoints
//! ```
//!
//! A source delivers whole sets of [`EndpointConfig`]s for an upstream; hosts may be names. [`Discovery`] lives on the
//! control thread, looks the names up as their TTL demands, and applies what changed. Everything else in this process
//! delivers through the handle [`Endpoints`].

mod departed;
pub mod dns;
mod file;
pub mod group;
pub mod handle;
pub mod name;
pub(crate) mod replicas;
mod weight;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use self::handle::{Endpoints, Refusal};

use self::dns::Dns;
use self::file::Files;
use self::group::{Group, Wanted};
use self::handle::{CONFIGURATION, Command, FILE, WAITING};
use self::name::{Answer, Name, Say, Target};
use crate::config::{DnsConfig, EndpointConfig};
use crate::upstream::Upstream;

/// Look-ups that run at the same time.
const MAX_LOOKUPS: usize = 64;

/// How long the start waits for names: longer than two tries of a DNS server that is silent.
const START_WAIT: Duration = Duration::from_secs(5);

/// The endpoints of all upstreams, in the making.
#[derive(Debug)]
pub struct Discovery {
    groups: Vec<Group>,
    names: HashMap<Target, Name>,
    lookups: JoinSet<(Target, Answer)>,
    limits: DnsConfig,
    dns: Arc<Dns>,
    files: Files,
    commands: mpsc::Receiver<Command>,
    handle: Endpoints,
}

impl Discovery {
    /// Begins with the endpoints of the configuration; none is applied yet.
    ///
    /// # Errors
    /// [`Refusal`] when they contradict each other.
    pub fn new(upstreams: &[Arc<Upstream>], dns: DnsConfig) -> Result<Self, Refusal> {
        let (sender, commands) = mpsc::channel(WAITING);
        let groups = upstreams.iter().map(|upstream| {
            let mut group = Group::new(Arc::clone(upstream));
            group.set(CONFIGURATION, upstream.config().endpoints.clone())?;
            group.set(FILE, Vec::new())?;
            Ok(group)
        });
        let file = |upstream: &Arc<Upstream>| {
            let path = upstream.config().endpoints_file.clone()?;
            Some((upstream.name().to_owned(), path))
        };
        Ok(Self {
            groups: groups.collect::<Result<_, Refusal>>()?,
            names: HashMap::new(),
            lookups: JoinSet::new(),
            limits: dns.clone(),
            dns: Arc::new(Dns::new(dns)),
            files: Files::watch(upstreams.iter().filter_map(file)),
            commands,
            handle: Endpoints::new(sender),
        })
    }

    /// Returns the handle for other sources.
    pub fn handle(&self) -> Endpoints {
        self.handle.clone()
    }

    /// Applies the first endpoints; waits for the names among them, but not for long.
    pub async fn begin(&mut self) {
        self.read_files(true);
        self.apply_all();
        let deadline = tokio::time::Instant::now() + START_WAIT;
        while self.names.values().any(|name| !name.is_answered()) {
            match tokio::time::timeout_at(deadline, self.lookups.join_next()).await {
                Ok(Some(result)) => self.handle_answer(result),
                Ok(None) => break,
                Err(_) => {
                    for (target, _) in self.names.iter().filter(|(_, name)| !name.is_answered()) {
                        tracing::warn!("{target} does not resolve: no answer within {START_WAIT:?}; it is still tried");
                    }
                    break;
                }
            }
        }
    }

    /// Keeps the endpoints as their sources want them, for as long as it is polled.
    pub async fn run(&mut self) {
        loop {
            let due = self.names.values().map(Name::due).min().filter(|_| self.lookups.len() < MAX_LOOKUPS);
            let wake = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // This end of the channel holds a sender, so that it never ends.
                Some(command) = self.commands.recv() => self.handle_command(command),
                Some(result) = self.lookups.join_next() => self.handle_answer(result),
                () = self.files.wait() => self.read_files(false),
                () = wake => self.start_lookups(),
            }
        }
    }

    fn handle_command(&mut self, command: Command) {
        // Whoever asked may have stopped waiting for the answer.
        match command {
            Command::Set { upstream, source, set, done } => {
                let outcome = self.set(&upstream, &source, set);
                let _ = done.send(outcome);
            }
            Command::SetState { upstream, endpoint, state, done } => {
                let outcome = match self.group(&upstream).map(|group| group.set_state(&endpoint, state)) {
                    Ok(0) => Err(Refusal::UnknownEndpoint(endpoint)),
                    outcome => outcome,
                };
                let _ = done.send(outcome);
            }
            Command::ReadFiles { done } => {
                self.read_files(true);
                let _ = done.send(self.files.len());
            }
        }
    }

    fn set(&mut self, upstream: &str, source: &str, set: Vec<EndpointConfig>) -> Result<(), Refusal> {
        self.group(upstream)?.set(source, set)?;
        self.apply_all();
        Ok(())
    }

    fn read_files(&mut self, all: bool) {
        for (upstream, set) in self.files.read(all) {
            if let Err(refusal) = self.set(&upstream, FILE, set) {
                self.files.refused(&upstream, &refusal.to_string());
            }
        }
    }

    fn group(&mut self, upstream: &str) -> Result<&mut Group, Refusal> {
        let group = self.groups.iter_mut().find(|group| group.upstream().name() == upstream);
        group.ok_or_else(|| Refusal::UnknownUpstream(upstream.to_owned()))
    }

    /// Takes what a look-up gave.
    fn handle_answer(&mut self, result: Result<(Target, Answer), tokio::task::JoinError>) {
        // A look-up never panics; if one does, its name is looked up again.
        let Ok((target, answer)) = result else { return };
        // Nobody may want it any more.
        let Some(name) = self.names.get_mut(&target) else { return };
        let effect = name.handle_answer(answer, &self.limits, Instant::now());
        match effect.say {
            Some(Say::Trouble(reason)) if name.places().is_empty() => {
                tracing::warn!("{target} does not resolve: {reason}; it is tried again every few seconds");
            }
            Some(Say::Trouble(reason)) => {
                tracing::warn!("{target} does not resolve: {reason}; its last addresses stay in use");
            }
            Some(Say::Gone) => tracing::warn!("{target} has no address any more"),
            Some(Say::Recovered) => tracing::info!("{target} resolves again"),
            None => {}
        }
        if effect.changed {
            self.apply_all();
        }
        self.start_lookups();
    }

    /// Begins the look-ups whose time has come.
    fn start_lookups(&mut self) {
        let now = Instant::now();
        for (target, name) in &mut self.names {
            if self.lookups.len() >= MAX_LOOKUPS {
                break;
            }
            if name.due() <= now {
                name.begin(now);
                let (target, dns) = (target.clone(), Arc::clone(&self.dns));
                let current: Vec<SocketAddr> = name.places().iter().map(|place| place.address).collect();
                self.lookups.spawn(async move {
                    let answer = dns.look_up(&target, &current).await;
                    (target, answer)
                });
            }
        }
    }

    /// Makes every upstream have what its sources want and the names stand for now.
    fn apply_all(&mut self) {
        let now = Instant::now();
        let targets: HashSet<Target> = self.groups.iter().flat_map(Group::configs).filter_map(Target::of).collect();
        self.names.retain(|target, _| targets.contains(target));
        self.dns.retain(|target| targets.contains(target));
        for target in targets {
            self.names.entry(target).or_insert_with(|| Name::new(now));
        }
        for group in &mut self.groups {
            let wanted = group.configs().flat_map(|config| wanted(config, &self.names)).collect();
            group.apply(wanted, now);
        }
        self.start_lookups();
    }
}

/// Returns the addresses that an endpoint of a source stands for now.
fn wanted(config: &EndpointConfig, names: &HashMap<Target, Name>) -> Vec<Wanted> {
    if let Ok(ip) = config.host.parse::<IpAddr>() {
        return vec![Wanted { config: config.clone(), address: SocketAddr::new(ip, config.port) }];
    }
    let places = Target::of(config).and_then(|target| names.get(&target)).map(Name::places).unwrap_or_default();
    let of_place = |place: &name::Place| Wanted {
        config: EndpointConfig {
            weight: place.weight.unwrap_or(config.weight),
            backup: config.backup || place.backup,
            ..config.clone()
        },
        address: place.address,
    };
    places.iter().map(of_place).collect()
}
