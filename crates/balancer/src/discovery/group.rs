//! Decides which endpoints an upstream has, from what all its sources say.
//!
//! Invariants:
//! - Sources count in order: the configuration, then those that came later. Of two endpoints with the same identity the
//!   first is taken.
//! - What did not change is not touched: an endpoint with the same identity and address stays the same object, with its
//!   load, its health and its pooled connections.
//! - An endpoint that comes back within [`departed`](super::departed) has its counters again.
//! - A state that was [set](Group::set_state) counts until the source of the endpoint says something else than before.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::departed::Departed;
use super::handle::{Refusal, is_reserved};
use crate::config::{AdminState, EndpointConfig, repetitions};
use crate::upstream::Upstream;
use crate::upstream::endpoint::{Endpoint, EndpointId};

/// Sources of one upstream. Each costs its set.
const MAX_SOURCES: usize = 16;

/// Endpoints of one source; about 200 bytes each. Choosing looks at all of them.
const MAX_ENDPOINTS: usize = 4096;

/// One address, and what its source wants of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What the source says of it.
    pub config: EndpointConfig,
    /// The address, one of those that the host stands for.
    pub address: SocketAddr,
}

/// The endpoints of one upstream.
#[derive(Debug)]
pub struct Group {
    upstream: Arc<Upstream>,
    sources: Vec<Source>,
    /// States that were set from outside, until the source says something else.
    set_states: HashMap<EndpointId, SetState>,
    applied: Vec<Applied>,
    departed: Departed,
    /// Endpoints that were left out because others have their identity; to say so once.
    left_out: HashSet<(EndpointId, SocketAddr)>,
    /// The first endpoints are there; the start names them by itself.
    begun: bool,
}

#[derive(Debug)]
struct Source {
    name: Box<str>,
    set: Vec<EndpointConfig>,
}

#[derive(Debug)]
struct SetState {
    state: AdminState,
    /// What the source wanted at that time.
    instead_of: AdminState,
}

#[derive(Debug)]
struct Applied {
    endpoint: Arc<Endpoint>,
    config: EndpointConfig,
    /// The state that the source wants.
    configured: AdminState,
}

impl Group {
    /// Begins without sources.
    pub fn new(upstream: Arc<Upstream>) -> Self {
        Self {
            upstream,
            sources: Vec::new(),
            set_states: HashMap::new(),
            applied: Vec::new(),
            departed: Departed::default(),
            left_out: HashSet::new(),
            begun: false,
        }
    }

    /// Returns the upstream.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Replaces what a source says. Its endpoints count from the next [`apply`](Self::apply).
    ///
    /// # Errors
    /// [`Refusal`] when the set contradicts itself or another source; what the source said before stays.
    pub fn set(&mut self, source: &str, set: Vec<EndpointConfig>) -> Result<(), Refusal> {
        if set.len() > MAX_ENDPOINTS {
            return Err(Refusal::TooMany { what: "endpoints", most: MAX_ENDPOINTS });
        }
        for config in &set {
            if config.host.is_empty() || (config.port == 0) != config.srv || config.weight > 256 {
                return Err(Refusal::Wrong(config.to_string()));
            }
        }
        let others = self.sources.iter().filter(|other| *other.name != *source).flat_map(|other| &other.set);
        if let Some((_, message)) = repetitions(others.chain(&set)).pop() {
            return Err(Refusal::Repeated(message));
        }
        match self.sources.iter().position(|other| *other.name == *source) {
            // Those of the balancer itself keep their place before all others.
            Some(at) if set.is_empty() && !is_reserved(source) => _ = self.sources.remove(at),
            Some(at) => self.sources[at].set = set,
            None if set.is_empty() && !is_reserved(source) => {}
            None if self.sources.len() == MAX_SOURCES => {
                return Err(Refusal::TooMany { what: "sources", most: MAX_SOURCES });
            }
            None => self.sources.push(Source { name: source.into(), set }),
        }
        Ok(())
    }

    /// Returns what the sources say, in order.
    pub fn configs(&self) -> impl Iterator<Item = &EndpointConfig> {
        self.sources.iter().flat_map(|source| &source.set)
    }

    /// Sets the state of every endpoint that has this id, address or name, and returns how many there are.
    pub fn set_state(&mut self, endpoint: &str, state: AdminState) -> usize {
        let mut count = 0;
        for applied in self.applied.iter_mut().filter(|applied| applied.is_called(endpoint)) {
            count += 1;
            let id = applied.endpoint.id();
            if state == applied.configured {
                self.set_states.remove(&id);
            } else {
                self.set_states.insert(id, SetState { state, instead_of: applied.configured });
            }
            if applied.config.state != state {
                applied.config.state = state;
                applied.endpoint.set_state(state);
                let (upstream, name, address) =
                    (self.upstream.name(), applied.endpoint.name(), applied.endpoint.address());
                tracing::info!(upstream, endpoint = name, %address, state = state.as_str(), "endpoint changed");
            }
        }
        if count > 0 {
            self.publish();
        }
        count
    }

    /// Makes the upstream have these endpoints, says what changed, and returns whether anything did.
    pub fn apply(&mut self, wanted: Vec<Wanted>, now: Instant) -> bool {
        let order = self.serials();
        let mut before: HashMap<(EndpointId, SocketAddr), Applied> = std::mem::take(&mut self.applied)
            .into_iter()
            .map(|applied| ((applied.endpoint.id(), applied.endpoint.address()), applied))
            .collect();
        let mut seen = HashSet::new();
        let mut left_out = HashSet::new();
        let mut changed = false;
        for Wanted { mut config, address } in wanted {
            let id = EndpointId::derive(config.id.as_deref(), address);
            if !seen.insert(id) {
                left_out.insert((id, address));
                if !self.left_out.contains(&(id, address)) {
                    let upstream = self.upstream.name();
                    tracing::warn!(upstream, endpoint = %config, %address, "left out: another endpoint has its identity");
                }
                continue;
            }
            let configured = config.state;
            config.state = self.effective_state(id, configured);
            let applied = match before.remove(&(id, address)) {
                // Users hold its plain id; with another one it is another endpoint.
                Some(mut applied) if applied.config.cookie == config.cookie => {
                    if let Some(difference) = difference(&applied.config, &config) {
                        applied.endpoint.apply(&config);
                        changed = true;
                        let name = applied.endpoint.name();
                        tracing::info!(upstream = self.upstream.name(), endpoint = name, %address, "endpoint changed:{difference}");
                    }
                    applied.config = config;
                    applied.configured = configured;
                    applied
                }
                other => {
                    if let Some(old) = other {
                        self.leave(old.endpoint, now);
                    }
                    let endpoint = self.departed.take(id, address, &config, now).map_or_else(
                        || Arc::new(Endpoint::new(id, address, &config)),
                        |endpoint| {
                            endpoint.apply(&config);
                            endpoint.set_gone(false);
                            endpoint
                        },
                    );
                    if self.begun {
                        self.log(&endpoint, "endpoint added");
                    }
                    Applied { endpoint, config, configured }
                }
            };
            self.applied.push(applied);
        }
        for gone in before.into_values() {
            self.leave(gone.endpoint, now);
        }
        self.left_out = left_out;
        self.begun = true;
        self.forget_states(now);
        changed |= order != self.serials();
        if changed {
            self.publish();
        }
        changed
    }

    fn leave(&mut self, endpoint: Arc<Endpoint>, now: Instant) {
        endpoint.set_gone(true);
        self.log(&endpoint, "endpoint gone");
        self.departed.keep(endpoint, now);
    }

    /// Returns the state that counts: what was set from outside, until the source says something else than then.
    fn effective_state(&mut self, id: EndpointId, configured: AdminState) -> AdminState {
        match self.set_states.get(&id) {
            Some(set) if set.instead_of == configured => set.state,
            Some(_) => {
                self.set_states.remove(&id);
                configured
            }
            None => configured,
        }
    }

    /// Forgets the states of endpoints that are not remembered themselves.
    fn forget_states(&mut self, now: Instant) {
        self.departed.expire(now);
        let (applied, departed) = (&self.applied, &self.departed);
        self.set_states
            .retain(|id, _| applied.iter().any(|applied| applied.endpoint.id() == *id) || departed.remembers(*id));
    }

    fn serials(&self) -> Vec<u64> {
        self.applied.iter().map(|applied| applied.endpoint.serial()).collect()
    }

    /// Lets the workers see the endpoints; also after a change of weight or state, on which choices may be prepared.
    fn publish(&self) {
        self.upstream.set_endpoints(self.applied.iter().map(|applied| Arc::clone(&applied.endpoint)).collect());
    }

    fn log(&self, endpoint: &Endpoint, what: &str) {
        let (upstream, name, address, id) = (self.upstream.name(), endpoint.name(), endpoint.address(), endpoint.id());
        tracing::info!(upstream, endpoint = name, %address, %id, "{what}");
    }
}

impl Applied {
    fn is_called(&self, name: &str) -> bool {
        self.config.id.as_deref() == Some(name)
            || self.endpoint.name() == name
            || self.endpoint.address().to_string() == name
            || self.endpoint.id().to_string() == name
    }
}

/// Says what is different between two wishes for the same endpoint, each as ` key=value`.
fn difference(before: &EndpointConfig, after: &EndpointConfig) -> Option<String> {
    let numbers = [
        ("weight", before.weight, after.weight),
        ("max_conn", before.max_conn, after.max_conn),
        ("max_sessions", before.max_sessions, after.max_sessions),
    ];
    let mut said: String = numbers
        .into_iter()
        .filter(|(_, before, after)| before != after)
        .map(|(key, _, after)| format!(" {key}={after}"))
        .collect();
    if before.backup != after.backup {
        said.push_str(if after.backup { " backup=true" } else { " backup=false" });
    }
    if before.state != after.state {
        said.push_str(" state=");
        said.push_str(after.state.as_str());
    }
    (!said.is_empty()).then_some(said)
}

#[cfg(test)]
mod tests;
