//! Raises the limit of open files, which the servers inherit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a server and the load generator need beside one for each client.
const RESERVE: u64 = 300;

/// Lets this process and its children hold a socket for each of so many clients.
///
/// # Errors
///
/// Fails when the hard limit is too low and may not be raised; the error says what to do.
pub(super) fn allow(clients: usize) -> anyhow::Result<()> {
    let needed = clients as u64 + RESERVE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is no limit.
    if maximum.is_none_or(|maximum| maximum >= needed) {
        if current.is_some_and(|current| Some(current) != maximum) {
            setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
        }
        return Ok(());
    }
    let raised = Rlimit { current: Some(needed), maximum: Some(needed) };
    setrlimit(Resource::Nofile, raised).map_err(|error| {
        anyhow::anyhow!(
            "{clients} clients need {needed} open files in a process, {} are allowed ({error}): raise the hard limit, \
             for example with `ulimit -Hn {needed}` as root, or leave the rows with so many clients out with --row",
            maximum.unwrap_or_default()
        )
    })
}
