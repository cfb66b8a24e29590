//! Starts everything, runs the control thread, and stops everything.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

use crate::access_log::AccessLog;
use crate::admin;
use crate::affinity::key::{KeyOrigin, KeyRing};
use crate::affinity::tag::TagKeys;
use crate::client::crowd;
use crate::config::Config;
use crate::control::{self, Signals, Until};
use crate::discovery::{Discovery, Endpoints};
use crate::error::Error;
use crate::net::{limit::Connections, listen};
use crate::replicas::Replicas;
use crate::route::Routes;
use crate::shared::{Listener, Shared};
use crate::upstream::Upstream;
use crate::worker::thread;

/// Descriptors that are not connections: listeners, reactors, logs, probes.
const OTHER_DESCRIPTORS: u64 = 128;

/// How much longer than the shutdown time workers may take to end before the process leaves without them.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// Runs the balancer until SIGTERM or SIGINT, and then until requests in progress have ended or the shutdown time is up.
///
/// # Errors
/// [`Error`] when it cannot start.
pub fn run(config: Config) -> Result<(), Error> {
    live(config, Role::Process)
}

/// Starts the balancer within this process, on threads of its own, and returns when it accepts connections; names and
/// probes may take some seconds. Signals are left to the process.
///
/// # Errors
/// [`Error`] when it cannot start.
pub fn start(config: Config) -> Result<Running, Error> {
    let (ready, is_ready) = mpsc::sync_channel(1);
    let (stop, stopped) = oneshot::channel();
    let control = std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || live(config, Role::Part { ready, stopped }))?;
    match is_ready.recv() {
        Ok(Ready { addresses, endpoints, upstreams }) => {
            Ok(Running { addresses, endpoints, upstreams, stop: Some(stop), control })
        }
        // It has ended instead.
        Err(_) => Err(control.join().map_or(Error::Worker, |result| result.err().unwrap_or(Error::Worker))),
    }
}

/// A balancer that runs within this process. When it is dropped, it stops by itself.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<(String, SocketAddr)>,
    endpoints: Endpoints,
    upstreams: Vec<Arc<Upstream>>,
    stop: Option<oneshot::Sender<()>>,
    control: JoinHandle<Result<(), Error>>,
}

impl Running {
    /// Returns the listeners and the addresses that they have got, in the order of the configuration.
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// Returns the handle that delivers endpoints.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Returns the upstreams, to look at.
    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// Stops it and waits until requests in progress have ended or the shutdown time is up.
    ///
    /// # Errors
    /// [`Error`] when a worker has failed.
    pub fn stop(mut self) -> Result<(), Error> {
        drop(self.stop.take());
        self.wait()
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// [`Error`] when a worker has failed.
    pub fn wait(self) -> Result<(), Error> {
        self.control.join().unwrap_or(Err(Error::Worker))
    }
}

/// What a balancer is to this process.
enum Role {
    /// All of it: it prints what runs, and signals end it.
    Process,
    /// A part of it.
    Part { ready: mpsc::SyncSender<Ready>, stopped: oneshot::Receiver<()> },
}

/// What is known once connections are accepted.
struct Ready {
    addresses: Vec<(String, SocketAddr)>,
    endpoints: Endpoints,
    upstreams: Vec<Arc<Upstream>>,
}

/// Runs the balancer with this thread as its control thread.
fn live(config: Config, role: Role) -> Result<(), Error> {
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ring, key_origin) = KeyRing::load(&config.key)?;
    let upstreams: Vec<Arc<Upstream>> =
        config.upstreams.iter().cloned().map(|upstream| Arc::new(Upstream::new(upstream))).collect();
    let names: Vec<String> = config.listeners.iter().map(|listener| listener.name.clone()).collect();
    let routes = Routes::new(&config.routes, upstreams.clone(), &names).map_err(Error::Route)?;

    let max_connections = max_connections(config.max_connections);
    let total = Arc::new(AtomicUsize::new(0));
    let mut sockets = Vec::new();
    let mut listeners = Vec::new();
    let mut bound = Vec::new();
    for listener in &config.listeners {
        let (for_workers, address) = listen::bind(listener.bind, config.workers).map_err(|source| Error::Bind {
            name: listener.name.clone(),
            address: listener.bind,
            source,
        })?;
        sockets.push(for_workers.into_iter());
        bound.push(address);
        let connections = Connections::new(
            Arc::clone(&total),
            max_connections,
            listener.max_connections,
            listener.max_connections_per_client,
        );
        listeners.push(Listener::new(listener.clone(), connections, crowd::matters(&config, listener)));
    }
    let admin = config.admin.map(|address| bind_admin(address, &runtime)).transpose()?;
    let (access_log, log_writer) = AccessLog::start(config.access_log).unzip();
    let shared = Arc::new(Shared::new(routes, TagKeys::new(&ring), listeners, access_log, config.shutdown_timeout));

    let mut discovery = Discovery::new(&upstreams, config.dns.clone())?;
    let mut replicas = {
        let _within = runtime.enter();
        Replicas::start(&upstreams, &discovery.handle())?
    };
    runtime.block_on(async {
        discovery.begin().await;
        tokio::select! {
            () = discovery.run() => {}
            () = replicas.started() => {}
        }
        for upstream in &upstreams {
            crate::upstream::probe::first_round(upstream).await;
        }
    });

    let (stop, stopping) = watch::channel(false);
    let workers = (0..config.workers.max(1))
        .map(|number| {
            let listeners = sockets.iter_mut().filter_map(Iterator::next).collect();
            let (shared, stopping) = (Arc::clone(&shared), stopping.clone());
            std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || thread::run(shared, listeners, stopping))
        })
        .collect::<Result<Vec<_>, _>>()?;

    let admin_address = admin.as_ref().map(|(_, address)| *address);
    // It is served for as long as this thread runs the control plane and waits for the workers.
    let _admin = admin.map(|(listener, _)| runtime.spawn(admin::run(listener, Arc::clone(&shared))));
    let until = match role {
        Role::Process => {
            // Whoever reads that it is ready may send a signal at once.
            let signals = {
                let _within = runtime.enter();
                Signals::listen()?
            };
            announce(&config, &bound, admin_address, &upstreams, &key_origin, max_connections, started);
            Until::Signals(signals)
        }
        Role::Part { ready, stopped } => {
            let addresses = names.into_iter().zip(bound).collect();
            // Nobody waits for it any more: then `stopped` says so too.
            let _ = ready.send(Ready { addresses, endpoints: discovery.handle(), upstreams });
            Until::Told(stopped)
        }
    };
    runtime.block_on(control::run(&shared, &config.key, discovery, &replicas, until));
    shared.stop();
    let _ = stop.send(true);
    let result = runtime.block_on(async {
        let result = join(workers, config.shutdown_timeout + SHUTDOWN_GRACE).await;
        // Requests in progress needed them until now.
        replicas.stop().await;
        result
    });
    drop(shared);
    if let (Some(writer), Ok(())) = (log_writer, &result) {
        let _ = writer.join();
    }
    result
}

/// Waits for the workers to end, but no longer than `timeout`.
async fn join(workers: Vec<JoinHandle<std::io::Result<()>>>, timeout: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + timeout;
    for worker in workers {
        while !worker.is_finished() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if worker.is_finished() {
            worker.join().map_err(|_| Error::Worker)??;
        }
    }
    Ok(())
}

/// Binds the admin listener on the control thread's runtime.
fn bind_admin(address: SocketAddr, runtime: &Runtime) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Bind { name: "admin".to_owned(), address, source };
    let (sockets, bound) = listen::bind(address, 1).map_err(failed)?;
    let socket = sockets.into_iter().next().ok_or_else(|| failed(std::io::ErrorKind::AddrNotAvailable.into()))?;
    let _inside = runtime.enter();
    Ok((TcpListener::from_std(socket).map_err(failed)?, bound))
}

/// Decides how many client connections there may be: two descriptors each.
fn max_connections(configured: usize) -> usize {
    let descriptors = raise_descriptor_limit();
    let possible = usize::try_from(descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2).unwrap_or(usize::MAX).max(1);
    if configured > possible {
        tracing::warn!(
            "max_connections = {configured} needs more descriptors than the {descriptors} that this process may have; \
             {possible} connections are possible. Raise the limit (ulimit -n, LimitNOFILE=)"
        );
    }
    if configured == 0 { possible } else { configured.min(possible) }
}

/// Raises the soft limit of descriptors to the hard one, and returns it.
fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.or(limit.current).unwrap_or(1024 * 1024);
    limit.current = Some(most);
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => most,
        Err(_) => getrlimit(Resource::Nofile).current.unwrap_or(1024),
    }
}

/// Prints what runs, on standard error.
fn announce(
    config: &Config,
    bound: &[SocketAddr],
    admin: Option<SocketAddr>,
    upstreams: &[Arc<Upstream>],
    key: &KeyOrigin,
    max_connections: usize,
    started: Instant,
) {
    let mut out = std::io::stderr().lock();
    let mut line = |text: String| {
        // Nobody reads it: nothing to be done about that.
        let _ = writeln!(out, "{text}");
    };
    line(format!("limpet {}", env!("CARGO_PKG_VERSION")));
    for (listener, address) in config.listeners.iter().zip(bound) {
        line(format!("listener {} http://{address}", listener.name));
    }
    if let Some(address) = admin {
        line(format!("admin http://{address}"));
        if !address.ip().is_loopback() {
            line(format!("warning: whoever reaches {address} can read the metrics; bind it to a private address"));
        }
    }
    for upstream in upstreams {
        let config = upstream.config();
        let affinity: Vec<&str> = config.affinity.iter().map(|affinity| affinity.as_str()).collect();
        let affinity = if affinity.is_empty() { "none".to_owned() } else { affinity.join(", ") };
        let endpoints = upstream.endpoints();
        line(format!(
            "upstream {}: {} endpoints, balance {}, affinity {affinity}",
            upstream.name(),
            endpoints.len(),
            config.balance.as_str()
        ));
        if let Some(replicas) = &config.replicas {
            line(format!("replicas {}: {replicas}", upstream.name()));
        }
        for endpoint in endpoints.iter() {
            let state = match (config.probe.is_some(), endpoint.health().is_down()) {
                (false, _) => "not probed",
                (true, false) => "up",
                (true, true) => "down",
            };
            let address = endpoint.address().to_string();
            let name = if endpoint.name() == address { String::new() } else { format!(" ({})", endpoint.name()) };
            line(format!("endpoint {address}{name} id {} {state}", endpoint.id()));
        }
    }
    line(format!("key {key}"));
    if let Some(warning) = key.warning() {
        line(format!("warning: {warning}"));
    }
    line(format!(
        "ready in {} ms, {} workers, at most {max_connections} connections",
        started.elapsed().as_millis(),
        config.workers
    ));
}
