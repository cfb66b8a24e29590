//! Finds what is allowed and still breaks sessions: the mistakes that copied configurations have in common.
//!
//! A remark says what happens and what to write instead, at the place of the key. All remarks are made here, by these
//! rules; errors are those of `check`.
//!
//! - `affinity`: polling without affinity, timeouts below the heartbeat, plain ids that nobody reads.
//! - `balance`: keys of hashes without a hash, limits without a queue or with WebSockets, endpoints that take nothing,
//!   names that may be virtual addresses.
//! - `clients`: what goes by the client's address where that is a proxy's, and proxies whom everybody can play.
//! - `routes`: upstreams and listeners without a route, routes that hold for no request, limits that never apply.
//! - `stats`: numbers that everybody can read.
//!
//! Some mistakes show at run time only, and are logged then: heartbeats above the timeouts (`upstream`), many clients of
//! one address (`client::crowd`), cookies that nobody sets or that browsers keep back (`affinity::cookie::watch`), and
//! endpoints that have never been up (`upstream::never_up`).
//!
//! Two mistakes of other balancers cannot be made: an accepted PROXY header always gives the client's address, and a
//! limit stands in the route that it is for.
//!
//! A cookie that limpet inserts has no `SameSite` unless it is configured, which browsers take for `Lax`: pages of other
//! sites then come without it. Most pages are of the same site, so this has a remark at run time alone.

mod affinity;
mod balance;
mod clients;
mod routes;
mod stats;
#[cfg(test)]
mod tests;

use super::error::ConfigError;
use super::journal::Journal;
use super::{Config, UpstreamConfig};

/// Remarks on a configuration that has no errors.
#[derive(Clone, Debug)]
pub struct Lint(Journal);

impl Lint {
    /// Makes the remarks that a configuration deserves by itself.
    pub(super) fn new(config: &Config, mut journal: Journal) -> Self {
        for upstream in &config.upstreams {
            affinity::affinity(config, upstream, &mut journal);
            affinity::plain_ids(upstream, &mut journal);
            affinity::timeouts(upstream, &mut journal);
            balance::hash(upstream, &mut journal);
            balance::limits(upstream, &mut journal);
            balance::endpoints(upstream, &mut journal);
        }
        clients::addresses(config, &mut journal);
        clients::proxies(config, &mut journal);
        routes::unused(config, &mut journal);
        routes::impossible(config, &mut journal);
        routes::limits(config, &mut journal);
        stats::pages(config, &mut journal);
        stats::admin(config, &mut journal);
        Self(journal)
    }

    /// Takes how many addresses the name of an endpoint stands for; `n` is its place, counted from one.
    pub fn note_addresses(&mut self, upstream: &UpstreamConfig, n: usize, addresses: usize) {
        balance::virtual_address(upstream, n, addresses, &mut self.0);
    }

    /// Returns the remarks in the order of their lines.
    pub fn into_remarks(self) -> Vec<ConfigError> {
        self.0.into_errors().map(|errors| errors.0).unwrap_or_default()
    }
}

/// Returns the remarks on a configuration that came from no file, each with its key.
pub fn remarks(config: &Config) -> Vec<String> {
    Lint::new(config, Journal::default()).into_remarks().iter().map(ToString::to_string).collect()
}
