//! The control thread: probes, name look-ups, expiry of shared tables, and signals.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::affinity::key::KeyRing;
use crate::affinity::tag::TagKeys;
use crate::clock;
use crate::config::KeySource;
use crate::shared::Shared;
use crate::stats;
use crate::upstream::{probe, resolve};

/// The time between two steps of the sweep. A step looks at one shard of each table.
const SWEEP: Duration = Duration::from_millis(250);

/// Runs until SIGTERM or SIGINT. SIGHUP reads the keys anew.
pub async fn run(shared: &Arc<Shared>, key: &KeySource) {
    let mut tasks = JoinSet::new();
    for upstream in shared.routes.load().upstreams() {
        tasks.spawn(probe::run(Arc::clone(upstream)));
        tasks.spawn(resolve::run(Arc::clone(upstream)));
    }
    tasks.spawn(sweep(Arc::clone(shared)));
    tasks.spawn(stats::sampler::run(Arc::clone(shared)));
    let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = signals else {
        tracing::error!("signals cannot be caught; only a kill ends this process");
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload_keys(shared, key),
        }
    }
    tracing::info!(timeout = ?shared.shutdown_timeout, "stopping: no new connections; requests in progress may end");
    tokio::spawn(leave_at_once(terminate, interrupt));
    tasks.shutdown().await;
}

/// Ends the process when a second signal says that the first was not enough.
async fn leave_at_once(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    std::process::exit(1);
}

fn reload_keys(shared: &Shared, key: &KeySource) {
    match KeyRing::load(key) {
        Ok((ring, origin)) => {
            shared.tags.store(Arc::new(TagKeys::new(&ring)));
            tracing::info!(%origin, "keys read anew");
            if let Some(warning) = origin.warning() {
                tracing::warn!("{warning}");
            }
        }
        Err(error) => tracing::error!(%error, "the keys cannot be read; the ones before stay in use"),
    }
}

/// Frees what has expired in the shared tables, one shard at a time.
async fn sweep(shared: Arc<Shared>) {
    let mut steps = tokio::time::interval(SWEEP);
    for step in 0_usize.. {
        steps.tick().await;
        let now = clock::now();
        // Every shard has its turn at least every few seconds, however many there are.
        let per_step = (shared.sessions.shards() / 16).max(1);
        for at in 0..per_step {
            shared.sessions.sweep((step * per_step + at) % shared.sessions.shards(), now);
        }
        for upstream in shared.routes.load().upstreams() {
            upstream.learned.sweep(step % upstream.learned.shards(), now);
        }
    }
}
