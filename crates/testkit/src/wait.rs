//! Waiting for a condition: the one place where tests pause.
//!
//! A wait is long, since a busy machine may keep any process waiting for seconds, and ends with its condition. How long
//! something may take is asserted by itself where it matters.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

/// The longest time that a wait for a condition takes before its test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long after a look the next one is.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until a condition holds; `what` names it.
///
/// # Panics
/// After [`PATIENCE`].
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    until_some(what, || condition().then_some(()));
}

/// Waits until there is a value, and returns it; `what` names it.
///
/// # Panics
/// After [`PATIENCE`].
#[track_caller]
pub fn until_some<T>(what: &str, mut value: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = value() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::sleep(PAUSE);
    }
}

/// Waits until what is seen is right, and returns it; `what` names it. What was seen last stands in the panic.
///
/// # Panics
/// After [`PATIENCE`].
#[track_caller]
pub fn until_seen<T: Debug>(what: &str, mut look: impl FnMut() -> T, is_right: impl Fn(&T) -> bool) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if is_right(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "waited in vain: {what}; at last there was {seen:#?}");
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_again_until_it_holds() {
        let mut looks = 0;
        until("three looks", || {
            looks += 1;
            looks == 3
        });
        assert_eq!(until_some("a value", || Some(looks)), 3);
        let look = || {
            looks += 1;
            looks
        };
        assert_eq!(until_seen("five looks", look, |looks| *looks == 5), 5);
    }
}
