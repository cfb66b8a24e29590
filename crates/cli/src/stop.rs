//! Decides when a command that runs until it is told to stop has been told: by SIGTERM or SIGINT.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Begins to listen to signals, on the current runtime, and returns what waits for one.
///
/// Until then each of them ends the process at once; so it should be called before the process says that it is ready.
pub(crate) fn listen() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
