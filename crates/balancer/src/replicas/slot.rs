//! The life of one replica: a process is started, serves, crashes and is started again, or is replaced by its successor.
//!
//! ```text
//! start ─▶ accepts connections ─▶ an endpoint ─▶ crashed ─▶ pause ─▶ start
//!                                     │  roll: the successor accepts connections and takes its place
//!                                     └▶ drains ─▶ no session left, or the time is up ─▶ SIGTERM ─▶ SIGKILL
//! ```
//!
//! Two processes of a replica have different ids, `replica-N` and `replica-N-b` in turn, since both have sessions while
//! one drains. A process that takes the place of a crashed one has its id: the sids of the crashed one get the server's
//! own "unknown session".

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::backoff::Backoff;
use super::output::Output;
use super::process::{Process, accepts, free_port};
use crate::config::{AdminState, EndpointConfig, ReplicasConfig};
use crate::discovery::replicas::Source;
use crate::upstream::Upstream;

/// The time between two looks at the sessions of a process that drains.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One replica.
#[derive(Debug)]
pub(super) struct Slot {
    number: usize,
    config: ReplicasConfig,
    upstream: Arc<Upstream>,
    source: Source,
    output: Output,
    rolls: mpsc::Receiver<oneshot::Sender<()>>,
    stop: watch::Receiver<bool>,
    /// Which of its two ids and ports the process has.
    second: bool,
    /// The port of the last process, if that was well.
    port: Option<u16>,
    backoff: Backoff,
    /// The processes that drain.
    retiring: JoinSet<()>,
    waiting: Waiting,
}

/// Who waits until the replica has started, or failed to: dropping tells them.
#[derive(Debug, Default)]
struct Waiting {
    _start: Option<mpsc::Sender<()>>,
    _roll: Option<oneshot::Sender<()>>,
}

/// How the life of a process went on.
enum Ended {
    Crashed { lived: Duration },
    Stopped,
}

/// How the start of a process went on.
enum Started {
    Up(SocketAddr),
    Failed,
    Stopped,
}

/// What a slot is given.
pub(super) struct Place {
    pub(super) number: usize,
    pub(super) upstream: Arc<Upstream>,
    pub(super) source: Source,
    pub(super) output: Output,
    pub(super) rolls: mpsc::Receiver<oneshot::Sender<()>>,
    pub(super) stop: watch::Receiver<bool>,
    /// Dropped when the first process accepts connections, or has failed.
    pub(super) started: mpsc::Sender<()>,
}

impl Slot {
    /// Prepares a replica.
    pub(super) fn new(config: ReplicasConfig, place: Place) -> Self {
        let Place { number, upstream, source, output, rolls, stop, started } = place;
        Self {
            number,
            config,
            upstream,
            source,
            output,
            rolls,
            stop,
            second: false,
            port: None,
            backoff: Backoff::default(),
            retiring: JoinSet::new(),
            waiting: Waiting { _start: Some(started), _roll: None },
        }
    }

    /// Starts a process.
    pub(super) fn start(&self) -> std::io::Result<Process> {
        let port = match (self.config.base_port, self.port) {
            (0, Some(port)) => port,
            (0, None) => free_port()?,
            // The check of the configuration has seen that it fits.
            (base, _) => base.saturating_add(
                u16::try_from(self.number - 1 + if self.second { self.config.count } else { 0 }).unwrap_or(u16::MAX),
            ),
        };
        let name = format!("{}.{}", self.upstream.name(), self.number);
        let process = Process::start(&self.config.command, self.number, port, &name, &self.output)?;
        tracing::info!(
            upstream = self.upstream.name(),
            replica = self.number,
            pid = process.pid(),
            port,
            "replica started"
        );
        Ok(process)
    }

    /// Keeps the replica running until it is to stop, beginning with its first process.
    pub(super) async fn run(mut self, first: Process) {
        let mut first = Some(first);
        loop {
            let process = first.take().map_or_else(|| self.start(), Ok);
            let ended = match process {
                Ok(process) => self.live(process).await,
                Err(error) => {
                    tracing::error!(upstream = self.upstream.name(), replica = self.number, %error, "replica cannot start");
                    Ended::Crashed { lived: Duration::ZERO }
                }
            };
            self.waiting = Waiting::default();
            let Ended::Crashed { lived } = ended else { break };
            let pause = self.backoff.after(lived);
            tracing::info!(upstream = self.upstream.name(), replica = self.number, ?pause, "replica is started again");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopped(&mut self.stop) => break,
                // Whoever rolls has repaired what crashes.
                Some(done) = self.rolls.recv() => {
                    self.backoff = Backoff::default();
                    self.waiting._roll = Some(done);
                }
            }
        }
        while self.retiring.join_next().await.is_some() {}
    }

    /// Lets a process serve until it ends or is to stop; successors may take its place meanwhile.
    async fn live(&mut self, mut process: Process) -> Ended {
        match self.wait_up(&mut process).await {
            Started::Up(address) => {
                self.port = Some(process.port());
                self.source.apply(vec![(self.id(), Some(self.endpoint(address, AdminState::Ready)))]).await;
                self.waiting = Waiting::default();
                self.serve(process, address).await
            }
            Started::Failed => {
                // Perhaps its port is somebody else's.
                self.port = None;
                let lived = process.lived();
                process.end(self.config.kill_after).await;
                Ended::Crashed { lived }
            }
            Started::Stopped => {
                process.end(self.config.kill_after).await;
                Ended::Stopped
            }
        }
    }

    async fn serve(&mut self, mut process: Process, mut address: SocketAddr) -> Ended {
        loop {
            let done = tokio::select! {
                status = process.ended() => {
                    let (upstream, replica, pid) = (self.upstream.name(), self.number, process.pid());
                    tracing::warn!(upstream, replica, pid, status, "replica ended");
                    self.source.apply(vec![(self.id(), None)]).await;
                    return Ended::Crashed { lived: process.lived() };
                }
                () = stopped(&mut self.stop) => {
                    process.end(self.config.kill_after).await;
                    return Ended::Stopped;
                }
                Some(done) = self.rolls.recv() => done,
            };
            let before = (self.id(), self.port.take());
            self.second = !self.second;
            let outcome = match self.start() {
                Ok(mut successor) => (self.wait_up(&mut successor).await, Some(successor)),
                Err(error) => {
                    tracing::error!(upstream = self.upstream.name(), replica = self.number, %error, "replica cannot start");
                    (Started::Failed, None)
                }
            };
            match outcome {
                (Started::Up(new_address), Some(successor)) => {
                    let old = self.endpoint(address, AdminState::Drain);
                    let old = EndpointConfig { id: Some(before.0.clone()), ..old };
                    let new = self.endpoint(new_address, AdminState::Ready);
                    self.source.apply(vec![(self.id(), Some(new)), (before.0.clone(), Some(old))]).await;
                    self.port = Some(successor.port());
                    let old = std::mem::replace(&mut process, successor);
                    let old = Retiring { process: old, id: before.0, address, done };
                    self.retiring.spawn(self.retire(old));
                    address = new_address;
                }
                (Started::Stopped, Some(successor)) => {
                    tokio::join!(successor.end(self.config.kill_after), process.end(self.config.kill_after));
                    return Ended::Stopped;
                }
                (_, successor) => {
                    tracing::error!(
                        upstream = self.upstream.name(),
                        replica = self.number,
                        "the new process does not serve; the one before goes on"
                    );
                    (self.second, self.port) = (!self.second, before.1);
                    if let Some(successor) = successor {
                        successor.end(self.config.kill_after).await;
                    }
                }
            }
        }
    }

    /// Waits until a process accepts connections.
    async fn wait_up(&mut self, process: &mut Process) -> Started {
        let (upstream, replica, pid) = (self.upstream.name(), self.number, process.pid());
        let port = process.port();
        tokio::select! {
            address = accepts(port) => Started::Up(address),
            status = process.ended() => {
                tracing::warn!(upstream, replica, pid, status, "replica ended before it accepted connections");
                Started::Failed
            }
            () = tokio::time::sleep(self.config.start_timeout) => {
                let timeout = self.config.start_timeout;
                tracing::warn!(upstream, replica, pid, port, ?timeout, "replica accepts no connections. Does it listen on PORT?");
                Started::Failed
            }
            () = stopped(&mut self.stop) => Started::Stopped,
        }
    }

    /// Lets the sessions of a process end, and then the process.
    fn retire(&self, retiring: Retiring) -> impl Future<Output = ()> + use<> {
        let Retiring { mut process, id, address, done } = retiring;
        let (upstream, source, mut stop) = (Arc::clone(&self.upstream), self.source.clone(), self.stop.clone());
        let (replica, timeout, kill_after) = (self.number, self.config.drain_timeout, self.config.kill_after);
        async move {
            let why = tokio::select! {
                () = without_load(&upstream, address) => "no session is left",
                () = tokio::time::sleep(timeout) => "the time to drain is up",
                _ = process.ended() => "it has ended",
                () = stopped(&mut stop) => "the balancer stops",
            };
            tracing::info!(upstream = upstream.name(), replica, pid = process.pid(), why, "replica is replaced");
            source.apply(vec![(id, None)]).await;
            process.end(kill_after).await;
            drop(done);
        }
    }

    /// Returns the id of the endpoint.
    fn id(&self) -> String {
        format!("replica-{}{}", self.number, if self.second { "-b" } else { "" })
    }

    fn endpoint(&self, address: SocketAddr, state: AdminState) -> EndpointConfig {
        EndpointConfig { id: Some(self.id()), state, ..EndpointConfig::new(address.ip().to_string(), address.port()) }
    }
}

/// Waits until everything is to stop, or whoever says so is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A process whose successor has taken its place.
struct Retiring {
    process: Process,
    id: String,
    address: SocketAddr,
    /// Dropped when it has ended.
    done: oneshot::Sender<()>,
}

/// Waits until an endpoint has had no load for a moment: a request that was on its way when it began to drain must not
/// be missed.
async fn without_load(upstream: &Upstream, address: SocketAddr) {
    let mut looks = 0;
    while looks < 3 {
        tokio::time::sleep(LOOK_EVERY).await;
        let endpoints = upstream.endpoints();
        let load = endpoints.iter().find(|endpoint| endpoint.address() == address).map_or(0, |found| found.load());
        looks = if load == 0 { looks + 1 } else { 0 };
    }
}
