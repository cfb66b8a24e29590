//! Decides when memory that a crowd of sessions used is given back to the system.
//!
//! glibc keeps the pages of what was freed below anything that is still used, which after a crowd is nearly all of them. So
//! when three of four sessions have gone, it is asked once for its free pages. That takes some ten milliseconds for each
//! 100 MB, in a thread of its own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// How many sessions are a crowd.
const CROWD: usize = 1000;

/// How long those who go may take: what the last of them used is to be free by then.
const SETTLED: Duration = Duration::from_secs(1);

/// Watches how many sessions there are.
#[derive(Debug, Default)]
pub(super) struct Spare {
    /// The most sessions since memory was last given back.
    most: AtomicUsize,
    is_due: AtomicBool,
}

impl Spare {
    /// Notes that a session has come, and how many there are now.
    pub(super) fn came(&self, count: usize) {
        if count > self.most.load(Ordering::Relaxed) {
            self.most.fetch_max(count, Ordering::Relaxed);
        }
    }

    /// Notes that a session has gone, and how many are left. Returns whether a crowd has gone: then memory is to be
    /// [given back](Self::give_back), by whoever is told so.
    pub(super) fn went(&self, count: usize) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        most >= CROWD && count <= most / 4 && !self.is_due.swap(true, Ordering::Relaxed)
    }

    /// Gives memory back, a moment later.
    pub(super) async fn give_back(&self, count: impl FnOnce() -> usize) {
        tokio::time::sleep(SETTLED).await;
        self.most.store(count(), Ordering::Relaxed);
        self.is_due.store(false, Ordering::Relaxed);
        if tokio::task::spawn_blocking(trim).await.is_err() {
            tracing::debug!("the runtime ended before memory was given back");
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc has no other way to be asked")]
fn trim() {
    // SAFETY: it takes no pointer, and may be called by any thread at any time (MT-Safe, malloc_trim(3)).
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give memory back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn memory_is_given_back_once_when_a_crowd_has_gone() {
        let spare = Spare::default();
        (1..=CROWD).for_each(|count| spare.came(count));
        assert!(!spare.went(CROWD / 4 + 1), "most are still there");
        assert!(spare.went(CROWD / 4));
        assert!(!spare.went(CROWD / 4 - 1), "it is about to be done");
        spare.give_back(|| 100).await;
        assert!(!spare.went(0), "there was no crowd since");
        (101..=CROWD * 2).for_each(|count| spare.came(count));
        assert!(spare.went(0));
    }

    #[test]
    fn a_few_sessions_are_no_crowd() {
        let spare = Spare::default();
        (1..CROWD).for_each(|count| spare.came(count));
        assert!(!spare.went(0));
    }
}
