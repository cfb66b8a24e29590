//! What all workers of a process share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::access_log::AccessLog;
use crate::affinity::session::Sessions;
use crate::affinity::tag::TagKeys;
use crate::affinity::user_agent::UserAgents;
use crate::client::crowd::Crowd;
use crate::client::proxy::Refusals;
use crate::config::ListenerConfig;
use crate::limit::InProgress;
use crate::net::limit::Connections;
use crate::route::Routes;

/// What all workers of a process share.
#[derive(Debug)]
pub struct Shared {
    /// The routes, replaced as a whole.
    pub routes: ArcSwap<Routes>,
    /// The keys of the tags, replaced as a whole.
    pub tags: ArcSwap<TagKeys>,
    /// The records of the sessions.
    pub sessions: Sessions,
    /// The names of the user agents in those records.
    pub user_agents: UserAgents,
    /// The listeners, in the order of the configuration.
    pub listeners: Vec<Listener>,
    /// Where exchanges are logged, if anywhere.
    pub access_log: Option<AccessLog>,
    /// How long requests in progress may take to end when the process stops.
    pub shutdown_timeout: Duration,
    stopping: AtomicBool,
}

/// A bound address and its connections.
#[derive(Debug)]
pub struct Listener {
    /// The configuration.
    pub config: ListenerConfig,
    /// The open connections.
    pub connections: Arc<Connections>,
    /// What its clients have in progress.
    pub in_progress: InProgress,
    /// The connections that were refused for their PROXY header.
    pub proxy_refusals: Refusals,
    /// Watches whether nearly all clients share an address; `None` where nothing goes by addresses.
    pub crowd: Option<Crowd>,
}

impl Listener {
    /// Makes a listener without connections.
    pub fn new(config: ListenerConfig, connections: Connections, by_address: bool) -> Self {
        let crowd = by_address.then(Crowd::default);
        let in_progress = InProgress::new(&config);
        let connections = Arc::new(connections);
        Self { config, connections, in_progress, proxy_refusals: Refusals::default(), crowd }
    }
}

impl Shared {
    /// Joins the parts.
    pub fn new(
        routes: Routes,
        tags: TagKeys,
        listeners: Vec<Listener>,
        access_log: Option<AccessLog>,
        shutdown_timeout: Duration,
    ) -> Self {
        Self {
            routes: ArcSwap::from_pointee(routes),
            tags: ArcSwap::from_pointee(tags),
            sessions: Sessions::default(),
            user_agents: UserAgents::default(),
            listeners,
            access_log,
            shutdown_timeout,
            stopping: AtomicBool::new(false),
        }
    }

    /// Returns whether the process is about to end: no connection is kept alive then.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Begins the end of the process.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}
