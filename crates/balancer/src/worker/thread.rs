//! The life of a worker's thread: it accepts, keeps house, and ends.

use std::cell::RefCell;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Worker;
use crate::client::proxy::{self, Expected};
use crate::client::{Origin, connection};
use crate::clock;
use crate::net::accept::Acceptor;
use crate::net::deadline;
use crate::net::limit::{Permit, Refusal};
use crate::net::socket::Socket;
use crate::shared::Shared;
use crate::tunnel::Engine;

/// The time between two looks at the idle connections.
const SWEEP: Duration = Duration::from_secs(1);

/// The pause after a failed accept, when descriptors or memory have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How much of the shutdown time tunnels are closed over, so that not all clients come back at once.
const CLOSE_TUNNELS_WITHIN: f64 = 0.5;

/// WebSocket close code "going away" (RFC 6455 section 7.4.1).
const GOING_AWAY: u16 = 1001;

/// Runs a worker on this thread until `stop` changes and everything in progress has ended, or the shutdown time is up.
///
/// # Errors
/// What the kernel says when the worker cannot begin.
pub fn run(shared: Arc<Shared>, listeners: Vec<TcpListener>, stop: watch::Receiver<bool>) -> io::Result<()> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(work(shared, listeners, stop))
}

async fn work(shared: Arc<Shared>, listeners: Vec<TcpListener>, mut stop: watch::Receiver<bool>) -> io::Result<()> {
    let worker = Rc::new(Worker { engine: Engine::new(Arc::clone(&shared))?, shared, pool: RefCell::default() });
    let mut upkeep = JoinSet::new();
    upkeep.spawn_local(deadline::run());
    upkeep.spawn_local(sweep_pool(Rc::clone(&worker)));
    let tunnels = Rc::clone(&worker);
    upkeep.spawn_local(async move { tunnels.engine.run().await });
    let mut accepting = JoinSet::new();
    for (index, listener) in listeners.into_iter().enumerate() {
        accepting.spawn_local(accept(Rc::clone(&worker), index, Acceptor::new(listener)?));
    }

    // The sender never goes away while workers run; if it does, that means stop.
    let _ = stop.wait_for(|stop| *stop).await;
    accepting.shutdown().await;
    deadline::wake_all();
    let timeout = worker.shared.shutdown_timeout;
    let all_ended = async {
        worker.engine.close_all(GOING_AWAY, timeout.mul_f64(CLOSE_TUNNELS_WITHIN)).await;
        worker.engine.wait_until_empty().await;
        while worker.shared.listeners.iter().any(|listener| listener.connections.open() > 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(timeout, all_ended).await;
    upkeep.shutdown().await;
    Ok(())
}

/// Accepts connections while there is room for them; the kernel holds the others.
async fn accept(worker: Rc<Worker>, index: usize, acceptor: Acceptor) {
    let shared = Arc::clone(&worker.shared);
    let listener = &shared.listeners[index];
    loop {
        while listener.connections.is_full() {
            tokio::time::sleep(ACCEPT_PAUSE / 10).await;
        }
        let (client, peer) = match acceptor.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = listener.config.name, %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let ip = peer.ip().to_canonical();
        let trusted = listener.config.trusted.iter().any(|network| network.contains(&ip));
        let permit: Result<Permit, Refusal> = match proxy::expected(&listener.config, ip) {
            // Whose connection it is will be known when its header has come.
            Expected::Header => listener.connections.enter_unnamed(),
            _ => listener.connections.enter(ip),
        };
        // The connection's task ends with its connection, or with the runtime; its permit counts it until then.
        // Boxed, since the runtime moves what it is given several times.
        tokio::task::spawn_local(Box::pin(connection::serve(
            Rc::clone(&worker),
            Socket::accepted(client),
            Origin::new(peer, trusted, index),
            permit,
        )));
    }
}

async fn sweep_pool(worker: Rc<Worker>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        worker.pool.borrow_mut().sweep(clock::coarse_ms());
    }
}
