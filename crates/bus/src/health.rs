//! Decides how it is said that a bus does not work: what is wrong, since when, and what that has cost in numbers.
//!
//! A log line says once that it began, and one that it is over, whatever happens in between.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How an adapter is. The numbers count from its start and never go down, but for `queued`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether it reaches the other nodes.
    pub state: State,
    /// Messages that the bus has taken.
    pub published: u64,
    /// Messages that came; with pub/sub those of this process too, and those for rooms that nobody here is in.
    pub received: u64,
    /// Messages that the bus did not take, or of which nobody knows: the connection broke before the answer.
    pub lost: u64,
    /// Messages that were refused at once because too many waited: the application was told.
    pub refused: u64,
    /// Messages that wait now, or are under way.
    pub queued: u64,
    /// What came and was no message: foreign, malformed or hostile. It was dropped.
    pub malformed: u64,
    /// How often the state became [`State::Degraded`].
    pub outages: u64,
}

/// Whether an adapter works.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum State {
    /// It does, as far as is known.
    #[default]
    Ok,
    /// This node is cut off from others: wholly or in part. Its own clients get what it sends.
    Degraded {
        /// What is wrong.
        reason: String,
        /// For how long.
        lasting: Duration,
    },
}

impl Health {
    /// Returns whether it works.
    pub fn is_ok(&self) -> bool {
        self.state == State::Ok
    }

    /// Returns it as JSON, for pages and probes; `state` is `ok` or `degraded`.
    pub fn to_json(&self) -> Value {
        let mut object = json!({
            "state": "ok", "published": self.published, "received": self.received, "lost": self.lost,
            "refused": self.refused, "queued": self.queued, "malformed": self.malformed, "outages": self.outages,
        });
        if let State::Degraded { reason, lasting } = &self.state {
            object["state"] = "degraded".into();
            object["reason"] = reason.as_str().into();
            object["seconds"] = lasting.as_secs_f32().into();
        }
        object
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Ok => f.write_str("ok"),
            State::Degraded { reason, lasting } => write!(f, "degraded for {} s: {reason}", lasting.as_secs()),
        }
    }
}

/// What counts for an adapter.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) published: Counter,
    pub(crate) received: Counter,
    pub(crate) lost: Counter,
    pub(crate) refused: Counter,
    pub(crate) malformed: Counter,
    outages: Counter,
    troubles: Mutex<Vec<Trouble>>,
}

#[derive(Debug)]
struct Trouble {
    part: &'static str,
    reason: String,
    since: Instant,
    lost: u64,
}

/// A number that goes up.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Meter {
    /// Says that a part does not work. Parts are few and have fixed names. Says so once in the log.
    pub(crate) fn begin(&self, part: &'static str, reason: impl fmt::Display) {
        let mut troubles = self.lock();
        let reason = reason.to_string();
        if let Some(known) = troubles.iter_mut().find(|trouble| trouble.part == part) {
            known.reason = reason;
            return;
        }
        if troubles.is_empty() {
            self.outages.add(1);
            tracing::error!(part, reason, "the bus does not work: this node is cut off from others");
        }
        troubles.push(Trouble { part, reason, since: Instant::now(), lost: self.lost.get() });
    }

    /// Says that a part works.
    pub(crate) fn end(&self, part: &'static str) {
        let mut troubles = self.lock();
        let Some(place) = troubles.iter().position(|trouble| trouble.part == part) else { return };
        let Trouble { since, lost, .. } = troubles.remove(place);
        if let Some(first) = troubles.first_mut() {
            // The outage goes on, and began where its first part did.
            first.since = first.since.min(since);
            first.lost = first.lost.min(lost);
            return;
        }
        let lost = self.lost.get() - lost;
        tracing::info!(seconds = since.elapsed().as_secs_f32(), lost, "the bus works again");
    }

    /// Returns the numbers, with what waits.
    pub(crate) fn health(&self, queued: u64) -> Health {
        let troubles = self.lock();
        let state = match troubles.first() {
            None => State::Ok,
            Some(Trouble { reason, since, .. }) => State::Degraded { reason: reason.clone(), lasting: since.elapsed() },
        };
        Health {
            state,
            published: self.published.get(),
            received: self.received.get(),
            lost: self.lost.get(),
            refused: self.refused.get(),
            queued,
            malformed: self.malformed.get(),
            outages: self.outages.get(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Trouble>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_ends_with_its_last_part() {
        let meter = Meter::default();
        assert!(meter.health(0).is_ok());
        meter.begin("publishing", "refused");
        meter.begin("listening", "closed");
        meter.begin("publishing", "still refused");
        let health = meter.health(3);
        assert_eq!((health.outages, health.queued), (1, 3));
        let json = health.to_json();
        assert_eq!((&json["state"], &json["reason"]), (&json!("degraded"), &json!("still refused")));
        meter.end("publishing");
        assert!(meter.health(0).to_string().ends_with("closed"), "{}", meter.health(0));
        meter.end("publishing");
        assert!(!meter.health(0).is_ok());
        meter.end("listening");
        assert_eq!(meter.health(0).to_json()["state"], "ok");
    }
}
