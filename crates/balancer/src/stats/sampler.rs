//! What only time shows: rates per second and peaks, sampled once a second on the control thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::counters::{Count, Counters};
use crate::clock;
use crate::shared::Shared;

/// The time between two samples.
const PERIOD: Duration = Duration::from_secs(1);

/// How often something happens: in the last whole second, and in the busiest one.
#[derive(Debug, Default)]
pub struct Rate {
    last_total: AtomicU64,
    current: AtomicU64,
    max: AtomicU64,
}

impl Rate {
    /// Returns how often it happened in the last whole second.
    pub fn current(&self) -> u64 {
        self.current.load(Ordering::Relaxed)
    }

    /// Returns how often it happened in the busiest second.
    pub fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// Takes the total at the end of a second. Only one thread calls it.
    pub fn sample(&self, total: u64) -> u64 {
        let happened = total.saturating_sub(self.last_total.swap(total, Ordering::Relaxed));
        self.current.store(happened, Ordering::Relaxed);
        self.max.fetch_max(happened, Ordering::Relaxed);
        happened
    }
}

/// Samples every second for as long as it is polled.
pub async fn run(shared: Arc<Shared>) {
    let mut seconds = tokio::time::interval(PERIOD);
    // After a pause, one sample for all of it is a peak that never was.
    seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        for listener in &shared.listeners {
            let counters = listener.connections.counters();
            counters.connection_rate.sample(counters.sum(Count::Connections));
            sample(counters, counters.sum(Count::Requests));
        }
        for upstream in shared.routes.load().upstreams() {
            for endpoint in upstream.endpoints().iter() {
                let counters = endpoint.counters();
                counters.note_peak(counters.sum(Count::Current));
                counters.connection_rate.sample(counters.sum(Count::NewConnections));
                sample(counters, counters.sum(Count::Requests));
            }
            let group = upstream.stats();
            group.fold_departed();
            let totals = group.totals();
            group.own().note_peak(totals.get(Count::Current));
            sample(group.own(), totals.get(Count::Requests));
        }
    }
}

fn sample(counters: &Counters, requests: u64) {
    if counters.request_rate.sample(requests) > 0 {
        counters.last_request.store(u64::from(clock::now().0) + 1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_last_second_and_of_the_busiest() {
        let rate = Rate::default();
        let rates = [5, 25, 25, 30].map(|total| {
            rate.sample(total);
            (rate.current(), rate.max())
        });
        assert_eq!(rates, [(5, 5), (20, 20), (0, 20), (5, 20)]);
    }
}
