//! Does what the keeper says is due, in a task that lives as long as the cluster. What is due when that ends is tried once
//! more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::Shared;
use super::keeper::{Job, Save};
use crate::log::{Hold, Offset, Session};

/// How much is asked of the log at once.
const MAX_RUNNING: usize = 64;

/// How long the log may take for one thing. What comes of it later is not seen.
const LOG_TIME: Duration = Duration::from_secs(10);

pub(super) async fn drive(shared: Arc<Shared>) {
    let mut running = FuturesUnordered::new();
    loop {
        let is_closed = shared.is_closed.load(Ordering::Acquire);
        while running.len() < MAX_RUNNING {
            let job = shared.keeper().next(shared.places.done(), Instant::now());
            let Some(job) = job else { break };
            running.push(work(&shared, job));
        }
        if is_closed && running.is_empty() {
            return;
        }
        let cluster = shared.cluster.upgrade();
        if let Some(cluster) = &cluster {
            cluster.let_go_late();
        }
        let deadlines = [shared.keeper().deadline(), cluster.and_then(|cluster| cluster.deadline())];
        let is_full = running.len() >= MAX_RUNNING;
        let deadline = deadlines.into_iter().flatten().min().filter(|_| !is_full);
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(()) = running.next(), if !running.is_empty() => {}
            () = shared.wake.notified() => {}
            () = timer => {}
        }
    }
}

async fn work(shared: &Shared, job: Job) {
    let now = Instant::now;
    match job {
        Job::Save(task) => {
            let outcome = save(shared, &task).await;
            let fenced = shared.keeper().saved(&task, outcome, now());
            shared.fence(fenced.as_ref());
        }
        Job::Forget(holding) => {
            let forget = shared.log.forget(&shared.namespace, holding.secret(), holding.lease());
            let is_done = matches!(tokio::time::timeout(LOG_TIME, forget).await, Ok(Ok(())));
            shared.keeper().forgotten(&holding, is_done, now());
        }
        Job::Refresh(holdings) => {
            let held = |holding: &super::Holding| (holding.secret().clone(), holding.lease().clone());
            let sessions: Vec<_> = holdings.iter().map(held).collect();
            let refresh = tokio::time::timeout(LOG_TIME, shared.log.refresh(&shared.namespace, &sessions)).await;
            let refreshed = refresh.ok().and_then(Result::ok).unwrap_or_default();
            for (index, holding) in holdings.iter().enumerate() {
                let fenced = shared.keeper().refreshed(holding, refreshed.get(index).copied(), now());
                shared.fence(fenced.as_ref());
            }
        }
    }
}

async fn save(shared: &Shared, task: &Save) -> Option<(Hold, Option<Offset>)> {
    let holding = &task.holding;
    // Read first: everything up to here is then among what was sent.
    let applied = shared.places.done();
    let live = match task.is_last {
        true => None,
        false => shared.sockets.upgrade().and_then(|sockets| sockets.snapshot(holding)),
    };
    let as_of = if live.is_some() { applied } else { task.as_of };
    let snapshot = live.or_else(|| task.snapshot.clone())?;
    let session = Session {
        id: holding.id().clone(),
        secret: holding.secret().clone(),
        rooms: snapshot.rooms,
        data: snapshot.data,
        progress: holding.progress(as_of, task.is_last),
    };
    let saved = tokio::time::timeout(LOG_TIME, shared.log.save(&shared.namespace, &session, holding.lease())).await;
    match saved {
        Ok(Ok(hold)) => Some((hold, as_of)),
        Ok(Err(error)) => {
            tracing::debug!(socket = %holding.id(), %error, "a session is not saved");
            None
        }
        Err(_) => None,
    }
}
