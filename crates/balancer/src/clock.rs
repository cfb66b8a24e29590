//! Coarse time since the process began, which all threads share.

use std::cell::Cell;
use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::limit::bucket::Millis;
use crate::table::Seconds;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

thread_local! {
    static COARSE_MS: Cell<u64> = const { Cell::new(0) };
}

/// Returns the seconds since the process began.
pub fn now() -> Seconds {
    Seconds::between(*START, Instant::now())
}

/// Returns the whole seconds since 1970, which cookies carry.
pub fn unix() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

/// Returns the milliseconds since the process began.
pub fn millis() -> Millis {
    Millis(u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Returns the seconds since the process began as of the worker's last tick; costs no system call.
pub fn coarse() -> Seconds {
    Seconds(u32::try_from(coarse_ms() / 1000).unwrap_or(u32::MAX))
}

/// Returns the milliseconds since the process began as of the worker's last tick.
pub(crate) fn coarse_ms() -> u64 {
    COARSE_MS.get()
}

/// Brings this thread's coarse time up to date.
pub(crate) fn tick() {
    let elapsed = START.elapsed().as_millis();
    COARSE_MS.set(u64::try_from(elapsed).unwrap_or(u64::MAX - 1));
}
