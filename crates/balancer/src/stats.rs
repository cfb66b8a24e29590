//! What has happened, in numbers: counters of listeners, upstreams and endpoints, and the forms in which people and
//! programs read them.
//!
//! ```text
//! request path, tunnel engine ──adds──▶ Counters, one shard per thread ──sums──▶ Snapshot ──▶ page, CSV, JSON, metrics
//!                                             ▲ once a second: rates and peaks (sampler)
//! ```
//!
//! Invariants:
//! - The request path and the tunnels take no lock and share no cache line for a number: each thread adds to a shard of
//!   its own with relaxed operations, and whoever reads sums the shards.
//! - Counters belong to the object that they count for. An endpoint's are the endpoint's, whatever set it is in.
//! - Sums never go back: what endpoints have counted stays in their upstream's sums after they have left it.
//! - A number is counted when it happens: a tunnel's bytes while it lives, a response's bytes while it streams.

pub mod counters;
pub mod csv;
pub mod flight;
pub mod group;
pub mod html;
pub mod json;
pub mod metrics;
pub mod page;
pub mod refusal;
pub mod sampler;
pub mod snapshot;

pub use counters::{Count, Counters, Time, Totals};
pub use flight::Flight;
pub use group::Group;
pub use snapshot::Snapshot;

#[cfg(test)]
mod tests;
