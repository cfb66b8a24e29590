//! Polls without sleeping, for load generator and endpoints.
//!
//! A send to a sleeping process pays for waking it, on a virtual machine with an exit to the hypervisor. That price
//! depends on how idle the load's side happens to be, so a lean proxy would pay more of it than a slow one. Clients and
//! endpoints of a real proxy are on other machines, where it pays nothing of the kind. So the load's side never sleeps:
//! its processes hand their core to each other when they have nothing to do.

use std::io;
use std::time::Duration;

use mio::{Events, Poll};

/// Takes the events that are there. Without any, lets another process of this core run first.
///
/// # Errors
///
/// Fails when the poll does; an interrupted call is not an error.
pub(crate) fn poll(poll: &mut Poll, events: &mut Events) -> io::Result<()> {
    match poll.poll(events, Some(Duration::ZERO)) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
        _ => {}
    }
    if events.is_empty() {
        std::thread::yield_now();
    }
    Ok(())
}
