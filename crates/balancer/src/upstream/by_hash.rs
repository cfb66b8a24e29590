//! The choice of an endpoint by the hash of a key.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::Upstream;
use super::endpoint::{EndpointId, Load};
use crate::clock;
use crate::config::Hash;

impl Upstream {
    /// Chooses the endpoint of a key among those that were not `tried`, and counts the load on it. The same key has the
    /// same endpoint while that is usable.
    pub fn choose_by_hash(&self, _hash: Hash, key: &[u8], tried: &[EndpointId]) -> Option<Load> {
        let endpoints = self.endpoints.load();
        let now = clock::coarse();
        let score = |id: EndpointId| {
            let mut hasher = DefaultHasher::new();
            (key, id).hash(&mut hasher);
            hasher.finish()
        };
        let usable = endpoints.iter().filter(|endpoint| !tried.contains(&endpoint.id()));
        let ready = usable.clone().filter(|endpoint| endpoint.takes_new() && !endpoint.health().is_ejected(now));
        let best = ready.max_by_key(|endpoint| score(endpoint.id()));
        best.or_else(|| usable.max_by_key(|endpoint| score(endpoint.id()))).map(Load::take)
    }
}
