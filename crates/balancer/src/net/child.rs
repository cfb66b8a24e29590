//! Starts child processes that end with this one, however it ends.
#![expect(unsafe_code, reason = "the kernel's promise to end a child must be asked for between fork and exec")]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use tokio::process::{Child, Command as AsyncCommand};

/// Starts a command in a process group of its own, whose number is that of the child. The kernel kills the child when
/// the calling thread ends, so only a thread that lives as long as this process may call. It is killed as well when the
/// value is dropped. Neither reaches the child's own children.
///
/// # Errors
/// What the system says when the program cannot be started.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    let parent = getpid();
    command.process_group(0);
    let ask = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have ended just before the question.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec only what is async-signal-safe may be called: two system calls, and no allocation,
    // since an error made of a kind or of a number has none.
    unsafe { command.pre_exec(ask) };
    AsyncCommand::from(command).kill_on_drop(true).spawn()
}
