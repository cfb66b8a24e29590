//! The source of endpoints that are replicas: every change of what runs becomes a whole set.

use std::collections::BTreeMap;

use tokio::sync::{mpsc, oneshot};

use super::handle::{Endpoints, Refusal};
use crate::config::EndpointConfig;

/// The name of the source.
const SOURCE: &str = "replicas";

/// Changes that may wait; whoever has more waits.
const WAITING: usize = 16;

/// What becomes of endpoints, by their id; `None` takes one away.
type Changes = Vec<(String, Option<EndpointConfig>)>;

/// Delivers what runs to one upstream. Clones deliver to the same.
#[derive(Clone, Debug)]
pub(crate) struct Source(mpsc::Sender<(Changes, oneshot::Sender<()>)>);

impl Source {
    /// Makes the source of an upstream, and the task that delivers, which ends when every clone is dropped.
    pub(crate) fn new(upstream: String, endpoints: Endpoints) -> (Self, impl Future<Output = ()>) {
        let (changes, waiting) = mpsc::channel(WAITING);
        (Self(changes), deliver(upstream, endpoints, waiting))
    }

    /// Applies changes, all at once; when this returns, new sessions are placed accordingly.
    pub(crate) async fn apply(&self, changes: Changes) {
        let (done, applied) = oneshot::channel();
        if self.0.send((changes, done)).await.is_ok() {
            // It ends without a word only when the balancer does.
            let _ = applied.await;
        }
    }
}

async fn deliver(upstream: String, endpoints: Endpoints, mut waiting: mpsc::Receiver<(Changes, oneshot::Sender<()>)>) {
    let mut running = BTreeMap::new();
    while let Some((changes, done)) = waiting.recv().await {
        for (id, endpoint) in changes {
            match endpoint {
                Some(endpoint) => _ = running.insert(id, endpoint),
                None => _ = running.remove(&id),
            }
        }
        match endpoints.set(&upstream, SOURCE, running.values().cloned().collect()).await {
            Ok(()) | Err(Refusal::Ended) => {}
            Err(error) => tracing::error!(upstream, %error, "replicas cannot be endpoints"),
        }
        // Whoever asked may have stopped waiting.
        let _ = done.send(());
    }
}
