//! Which endpoint a request without a known session goes to next: first where its affinity wants it, then, if it may,
//! wherever the upstream balances it. `when_gone` decides what a gone endpoint means.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::answer::Error;
use super::attempt::Failure;
use super::prepare::Request;
use crate::affinity::modes::Choice;
use crate::client::Client;
use crate::config::{Hash, WhenGone};
use crate::upstream::Upstream;
use crate::upstream::balance::hash::Key;
use crate::upstream::endpoint::{Endpoint, EndpointId};
use crate::worker::Worker;

/// The time between two looks at an endpoint that is waited for.
const LOOK: Duration = Duration::from_millis(100);

/// The choice of an endpoint for one request.
#[derive(Debug)]
pub(super) struct Chosen {
    choice: Choice,
    when_gone: WhenGone,
    /// Since when the endpoint is waited for.
    waiting: Option<Instant>,
}

impl Chosen {
    pub(super) fn new(choice: Choice, upstream: &Upstream) -> Self {
        Self { choice, when_gone: upstream.config().when_gone, waiting: None }
    }

    /// Returns whether the endpoint is gone, so that [`wait`](Self::wait) must say what follows.
    pub(super) fn must_wait(&self) -> bool {
        matches!(self.choice, Choice::Gone(_))
    }

    /// Returns whether the request may go to another endpoint than the one that it is bound to.
    pub(super) fn may_move(&self) -> bool {
        !matches!(self.choice, Choice::Preferred(_)) || self.when_gone == WhenGone::Move
    }

    /// Returns whether the request goes on waiting for an endpoint that has just failed.
    pub(super) fn waits_for(&mut self, endpoint: &Endpoint) -> bool {
        let waits = self.when_gone == WhenGone::Wait && matches!(self.choice, Choice::Preferred(_));
        if waits {
            self.choice = Choice::Gone(endpoint.id());
        }
        waits
    }

    /// Returns the endpoint that it is bound to, unless that was tried.
    pub(super) fn preferred(&self, tried: &[EndpointId]) -> Option<&Arc<Endpoint>> {
        match &self.choice {
            Choice::Preferred(endpoint) => Some(endpoint).filter(|endpoint| !tried.contains(&endpoint.id())),
            Choice::Any | Choice::Hashed(..) | Choice::Gone(_) => None,
        }
    }

    /// Returns the hash and the key that choose its endpoint, if they do.
    pub(super) fn key(&self) -> Option<(Hash, Key<'_>)> {
        match &self.choice {
            Choice::Hashed(hash, key) => Some((*hash, key.as_key())),
            Choice::Any | Choice::Preferred(_) | Choice::Gone(_) => None,
        }
    }

    /// Waits until the endpoint is usable, if that is wanted; after that time the request moves or fails.
    ///
    /// # Errors
    /// [`Error::EndpointGone`] when it fails, or that the client has gone meanwhile.
    pub(super) async fn wait(&mut self, worker: &Worker, client: &mut Client, request: &Request) -> Result<(), Error> {
        let Choice::Gone(id) = self.choice else { return Ok(()) };
        if self.when_gone != WhenGone::Wait {
            return Err(Error::EndpointGone);
        }
        let upstream = &request.upstream;
        let since = *self.waiting.get_or_insert_with(Instant::now);
        loop {
            if since.elapsed() >= upstream.config().wait || worker.is_stopping() {
                if upstream.config().fails_after_wait {
                    return Err(Error::EndpointGone);
                }
                self.choice = Choice::Any;
                return Ok(());
            }
            let mut pause = pin!(sleep(LOOK));
            poll_fn(|cx| {
                if client.body_is_done()
                    && let Poll::Ready(error) = client.poll_gone(cx)
                {
                    return Poll::Ready(Err(Error::from(Failure::Client(error))));
                }
                pause.as_mut().poll(cx).map(Ok)
            })
            .await?;
            if let Some(endpoint) = upstream.find(id).filter(|endpoint| upstream.takes_bound(endpoint)) {
                self.choice = Choice::Preferred(endpoint);
                return Ok(());
            }
        }
    }
}
