//! Bounds the look-ups of version 3 sessions whose endpoint is not known: one per sid at a time, and a rate in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

/// Look-ups per second and upstream, after a burst of twice as many. Each offers a request to every endpoint, so
/// that invented sids must not become a flood.
const RATE: f64 = 200.0;
const BURST: f64 = 400.0;

/// Look-ups in progress; more are refused.
const MAX_LOOKUPS: usize = 1024;

/// The look-ups of one upstream.
#[derive(Debug)]
pub struct Locator(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What others wait on ends when the look-up leaves this map.
    running: HashMap<Box<str>, watch::Sender<()>>,
    tokens: f64,
    refilled: Instant,
}

/// What a request with an unknown sid may do.
#[derive(Debug)]
pub enum Turn {
    /// Look the session up; others wait until this is dropped.
    Search(Search),
    /// Another request looks the same session up; wait for it, then ask again.
    Wait(Running),
    /// There are too many look-ups.
    Refused,
}

/// A look-up in progress.
#[derive(Debug)]
pub struct Running(watch::Receiver<()>);

impl Running {
    /// Waits until the look-up is over, also if that was before.
    pub async fn over(mut self) {
        // Nothing is ever sent; the error says that the sender is gone.
        while self.0.changed().await.is_ok() {}
    }
}

/// The right to look one session up.
#[derive(Debug)]
pub struct Search {
    sid: Box<str>,
    state: Arc<Mutex<State>>,
}

impl Default for Locator {
    fn default() -> Self {
        let state = State { running: HashMap::new(), tokens: BURST, refilled: Instant::now() };
        Self(Arc::new(Mutex::new(state)))
    }
}

impl Locator {
    /// Asks for the right to look a session up.
    pub fn begin(&self, sid: &str, now: Instant) -> Turn {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = state.running.get(sid) {
            return Turn::Wait(Running(running.subscribe()));
        }
        let elapsed = now.saturating_duration_since(state.refilled).as_secs_f64();
        state.tokens = elapsed.mul_add(RATE, state.tokens).min(BURST);
        state.refilled = now;
        if state.tokens < 1.0 || state.running.len() >= MAX_LOOKUPS {
            return Turn::Refused;
        }
        state.tokens -= 1.0;
        state.running.insert(sid.into(), watch::Sender::new(()));
        Turn::Search(Search { sid: sid.into(), state: Arc::clone(&self.0) })
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).running.remove(&self.sid);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn whoever_waits_goes_on_also_when_the_lookup_was_over_before() {
        let locator = Locator::default();
        let Turn::Search(search) = locator.begin("a", Instant::now()) else { panic!("the first may search") };
        let Turn::Wait(running) = locator.begin("a", Instant::now()) else { panic!("the second waits") };
        drop(search);
        running.over().await;
    }

    #[test]
    fn one_lookup_per_sid_and_a_rate_in_all() {
        let locator = Locator::default();
        let now = Instant::now();
        let Turn::Search(search) = locator.begin("a", now) else { panic!("the first may search") };
        assert!(matches!(locator.begin("a", now), Turn::Wait(_)));
        drop(search);
        assert!(matches!(locator.begin("a", now), Turn::Search(_)));
        let allowed = (0..1000).filter(|n| matches!(locator.begin(&n.to_string(), now), Turn::Search(_))).count();
        assert_eq!(allowed, 398, "the burst is 400 and two are spent");
        let later = now + Duration::from_secs(1);
        let allowed = (0..1000).filter(|n| matches!(locator.begin(&n.to_string(), later), Turn::Search(_))).count();
        assert_eq!(allowed, 200);
    }
}
