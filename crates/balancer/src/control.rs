//! The control thread: probes, name look-ups, expiry of shared tables, and signals.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::affinity::key::KeyRing;
use crate::affinity::tag::TagKeys;
use crate::clock;
use crate::config::KeySource;
use crate::discovery::{Discovery, Endpoints};
use crate::replicas::Replicas;
use crate::shared::Shared;
use crate::stats;
use crate::upstream::never_up::NeverUp;
use crate::upstream::probe;

/// The time between two steps of the sweep. A step looks at one shard of each table.
const SWEEP: Duration = Duration::from_millis(250);

/// What ends the balancer.
#[derive(Debug)]
pub enum Until {
    /// SIGTERM or SIGINT. SIGHUP reads the keys and the endpoints files anew, and replaces replicas.
    Signals(Signals),
    /// A word, or the end of whoever could say it.
    Told(oneshot::Receiver<()>),
}

/// The signals that the process listens to, from the moment that this is made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Begins to listen, on the current runtime. Until then each of them ends the process at once.
    ///
    /// # Errors
    /// What the kernel says when signals cannot be caught.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Runs until the balancer is to end.
pub async fn run(shared: &Arc<Shared>, key: &KeySource, mut discovery: Discovery, replicas: &Replicas, until: Until) {
    let mut tasks = JoinSet::new();
    for upstream in shared.routes.load().upstreams() {
        tasks.spawn(probe::run(Arc::clone(upstream)));
    }
    let endpoints = discovery.handle();
    tasks.spawn(async move { discovery.run().await });
    tasks.spawn(sweep(Arc::clone(shared)));
    tasks.spawn(stats::sampler::run(Arc::clone(shared)));
    match until {
        Until::Told(word) => _ = word.await,
        Until::Signals(signals) => serve(signals, shared, key, &endpoints, replicas).await,
    }
    tracing::info!(timeout = ?shared.shutdown_timeout, "stopping: no new connections; requests in progress may end");
    tasks.shutdown().await;
}

/// Serves signals until one says that the process is to end.
async fn serve(signals: Signals, shared: &Arc<Shared>, key: &KeySource, endpoints: &Endpoints, replicas: &Replicas) {
    let Signals { mut terminate, mut interrupt, mut hangup } = signals;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                reload_keys(shared, key);
                // It ends only with this thread.
                let files = endpoints.read_files().await.unwrap_or_default();
                replicas.roll();
                tracing::info!(
                    endpoints_files = files,
                    replicas = if replicas.is_empty() { "none" } else { "being replaced" },
                    "SIGHUP: keys and endpoints files were read anew. The configuration was not: listeners, routes and \
                     upstreams stay as they are until a restart"
                );
            }
        }
    }
    tokio::spawn(leave_at_once(terminate, interrupt));
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
    let mut never_up = NeverUp::default();
    for step in 0_usize.. {
        steps.tick().await;
        let now = clock::now();
        // Every shard has its turn at least every few seconds, however many there are.
        let per_step = (shared.sessions.shards() / 16).max(1);
        for at in 0..per_step {
            shared.sessions.sweep((step * per_step + at) % shared.sessions.shards(), now);
        }
        let routes = shared.routes.load();
        if step % 20 == 0 {
            never_up.look(routes.upstreams(), now);
        }
        routes.routes().iter().for_each(|route| route.limits.sweep(step, now));
        for upstream in routes.upstreams() {
            upstream.tend(now);
            upstream.learned.sweep(step % upstream.learned.shards(), now);
            upstream.affinity.sweep(step, now);
        }
    }
}
