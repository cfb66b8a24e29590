//! Runs servers on this machine: a command is started several times, and every process that accepts connections is an
//! endpoint of its upstream.
//!
//! - [`slot`]: the life of one replica; [`backoff`] says how long it stays down, [`process`] is what it is made of.
//! - [`output`]: what the processes print, line by line.
//!
//! Invariants:
//! - A process is an endpoint only while it accepts connections; in a roll its successor is one before it drains.
//! - One replica of an upstream is rolled at a time.
//! - No process outlives the balancer: SIGTERM goes to its process group after the last request has ended, SIGKILL to
//!   what is left, and the kernel kills it when the balancer is killed.

mod backoff;
mod output;
mod process;
mod slot;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use self::output::{Output, Writer};
use self::slot::{Place, Slot};
use crate::config::ReplicasConfig;
use crate::discovery::Endpoints;
use crate::discovery::replicas::Source;
use crate::error::Error;
use crate::upstream::Upstream;

/// How long the balancer waits at its start for replicas to accept connections. Those that take longer join later.
const START_WAIT: Duration = Duration::from_secs(10);

/// The replicas of all upstreams.
#[derive(Debug)]
pub struct Replicas {
    slots: JoinSet<()>,
    /// Those that roll, and those that deliver: they have no end of their own.
    helpers: JoinSet<()>,
    rolls: Vec<Arc<Notify>>,
    stop: watch::Sender<bool>,
    writer: Option<Writer>,
    /// Ends when every replica has started, or failed to.
    started: mpsc::Receiver<()>,
}

impl Replicas {
    /// Starts the first process of every replica; to be called on the control thread, with which they end.
    ///
    /// # Errors
    /// [`Error::Replicas`] when a command cannot be started at all.
    pub fn start(upstreams: &[Arc<Upstream>], endpoints: &Endpoints) -> Result<Self, Error> {
        let (stop, stopped) = watch::channel(false);
        let (starting, started) = mpsc::channel(1);
        let mut replicas =
            Self { slots: JoinSet::new(), helpers: JoinSet::new(), rolls: Vec::new(), stop, writer: None, started };
        let mut output = None;
        for upstream in upstreams {
            let Some(config) = &upstream.config().replicas else { continue };
            let output = match &output {
                Some(output) => Output::clone(output),
                None => {
                    let (first, writer) = Output::start()?;
                    replicas.writer = Some(writer);
                    output.insert(first).clone()
                }
            };
            replicas.start_upstream(upstream, config, endpoints, &output, &stopped, &starting)?;
        }
        Ok(replicas)
    }

    fn start_upstream(
        &mut self,
        upstream: &Arc<Upstream>,
        config: &ReplicasConfig,
        endpoints: &Endpoints,
        output: &Output,
        stop: &watch::Receiver<bool>,
        started: &mpsc::Sender<()>,
    ) -> Result<(), Error> {
        let (source, delivering) = Source::new(upstream.name().to_owned(), endpoints.clone());
        self.helpers.spawn(delivering);
        let mut all = Vec::new();
        for number in 1..=config.count {
            let (roll, rolls) = mpsc::channel(1);
            all.push(roll);
            let place = Place {
                number,
                upstream: Arc::clone(upstream),
                source: source.clone(),
                output: output.clone(),
                rolls,
                stop: stop.clone(),
                started: started.clone(),
            };
            let slot = Slot::new(config.clone(), place);
            let first = slot.start().map_err(|source| Error::Replicas {
                upstream: upstream.name().to_owned(),
                command: config.command.join(" "),
                source,
            })?;
            self.slots.spawn(slot.run(first));
        }
        let asked = Arc::new(Notify::new());
        self.rolls.push(Arc::clone(&asked));
        self.helpers.spawn(roll(Arc::clone(upstream), asked, all));
        Ok(())
    }

    /// Waits until every replica accepts connections or has failed, but not for long.
    pub async fn started(&mut self) {
        if tokio::time::timeout(START_WAIT, self.started.recv()).await.is_err() {
            tracing::warn!(
                "not every replica accepts connections after {START_WAIT:?}; those that are late join when they do"
            );
        }
    }

    /// Replaces every process, one after the other. When that is under way already, it is done once more after it.
    pub fn roll(&self) {
        self.rolls.iter().for_each(|asked| asked.notify_one());
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rolls.is_empty()
    }

    /// Ends every process: SIGTERM, and SIGKILL after the time that it has to end.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.slots.join_next().await.is_some() {}
        self.helpers.shutdown().await;
        if let Some(writer) = self.writer.take() {
            writer.end().await;
        }
    }
}

/// Rolls the replicas of one upstream whenever that is asked for.
async fn roll(upstream: Arc<Upstream>, asked: Arc<Notify>, slots: Vec<mpsc::Sender<oneshot::Sender<()>>>) {
    loop {
        asked.notified().await;
        tracing::info!(upstream = upstream.name(), "replicas are replaced, one after the other");
        for slot in &slots {
            let (done, is_done) = oneshot::channel();
            if slot.send(done).await.is_err() {
                return;
            }
            // It is dropped when the replica has its new process and the one before has ended.
            let _ = is_done.await;
        }
        tracing::info!(upstream = upstream.name(), "all replicas are replaced");
    }
}
