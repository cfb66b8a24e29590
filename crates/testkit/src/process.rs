//! Child processes that end with the test: spawned, watched line by line, killed on drop.
//!
//! A process is addressed by its pidfd, so a signal can never reach another process that got the same pid.

mod usage;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The longest time that any wait of this module takes before it fails with what the process has printed.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How many of the last lines a failure message shows.
const SHOWN_LINES: usize = 60;

/// A running child process with its captured output.
///
/// It is killed and reaped on drop; if the test is failing, its last lines are printed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pidfd: OwnedFd,
    stdin: Option<ChildStdin>,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts a command with captured output and a pipe as standard input.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        Self::spawn_with_stdin(name, command, Stdio::piped())
    }

    /// Starts a command whose standard input is given, for example a listening socket ([`crate::port::Bound`]).
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn_with_stdin(name: &str, command: &mut Command, stdin: Stdio) -> Result<Self> {
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}: {}", command.get_program().display()))?;
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        let output = Arc::new(Output::default());
        let readers = [
            child.stdout.take().map(|pipe| collect(pipe, &output)),
            child.stderr.take().map(|pipe| collect(pipe, &output)),
        ];
        let stdin = child.stdin.take();
        let readers = readers.into_iter().flatten().collect();
        Ok(Self { name: name.to_owned(), child, pidfd, stdin, output, readers })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the first line of output, past or to come, for which `pick` gives a value.
    ///
    /// # Errors
    /// When the process ends before, or after [`PATIENCE`]; the error shows what it printed.
    pub fn wait_for<T>(&self, what: &str, pick: impl Fn(&str) -> Option<T>) -> Result<T> {
        self.wait_for_after(0, what, pick)
    }

    /// As [`Self::wait_for`], but looks only at lines from number `first` on ([`Self::line_count`] before an action).
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub fn wait_for_after<T>(&self, first: usize, what: &str, pick: impl Fn(&str) -> Option<T>) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        let mut next = first;
        let mut captured = self.output.lock();
        loop {
            while let Some(line) = captured.lines.get(next) {
                if let Some(found) = pick(line) {
                    return Ok(found);
                }
                next += 1;
            }
            let left = end.saturating_duration_since(Instant::now());
            if captured.ended_pipes == 2 || left.is_zero() {
                drop(captured);
                let why = if left.is_zero() { "was too slow" } else { "ended" };
                bail!("{} {why} before it printed {what}\n{}", self.name, self.tail());
            }
            captured = match self.output.grown.wait_timeout(captured, left) {
                Ok((guard, _)) => guard,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// The number of lines captured so far.
    #[must_use]
    pub fn line_count(&self) -> usize {
        self.output.lock().lines.len()
    }

    /// Everything printed so far, standard output and standard error in order of arrival.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lock().lines.join("\n")
    }

    /// Writes a line to standard input.
    ///
    /// # Errors
    /// When the process has no pipe as standard input or has closed it.
    pub fn send_line(&mut self, line: &str) -> Result<()> {
        let Some(stdin) = &mut self.stdin else { bail!("{} has no pipe as standard input", self.name) };
        writeln!(stdin, "{line}").with_context(|| format!("{} does not read", self.name))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        pidfd_send_signal(&self.pidfd, signal).with_context(|| format!("{} is gone", self.name))
    }

    /// Whether the process has not ended yet.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for the end of the process and of its output.
    ///
    /// # Errors
    /// After [`PATIENCE`]; the error shows what it printed.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.wait_within(PATIENCE)
    }

    /// Waits for the end of the process, at most for `limit`.
    ///
    /// # Errors
    /// When the limit has passed; the error shows what it printed.
    pub fn wait_within(&mut self, limit: Duration) -> Result<ExitStatus> {
        let timeout = Timespec::try_from(limit)?;
        let ready = poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&timeout))?;
        if ready == 0 {
            bail!("{} did not end within {limit:?}\n{}", self.name, self.tail());
        }
        let status = self.child.wait()?;
        for reader in self.readers.drain(..) {
            // A reader only ends by panicking if the test process is out of memory.
            let _ = reader.join();
        }
        Ok(status)
    }

    /// Asks the process to end with SIGTERM and waits for it.
    ///
    /// # Errors
    /// When it does not end within [`PATIENCE`].
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait()
    }

    /// Ends the process at once, as a crash would.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.wait()
    }

    /// The last lines of output, for failure messages.
    #[must_use]
    pub fn tail(&self) -> String {
        let captured = self.output.lock();
        let first = captured.lines.len().saturating_sub(SHOWN_LINES);
        let mut text = format!("--- last output of {}:", self.name);
        for line in captured.lines.iter().skip(first) {
            text.push('\n');
            text.push_str(line);
        }
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the process has ended, which is what is wanted.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("{}", self.tail());
        }
    }
}

/// Whether a program can be found in `PATH`.
#[must_use]
pub fn is_installed(program: impl AsRef<OsStr>) -> bool {
    let program = program.as_ref();
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).is_file()))
}

/// A program of the system by name: from `PATH`, else from `/usr/sbin`, which is not in the path of every user.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let in_sbin = Path::new("/usr/sbin").join(name);
    if !is_installed(name) && in_sbin.is_file() { in_sbin } else { name.into() }
}

#[derive(Debug, Default)]
struct Output {
    captured: Mutex<Captured>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Captured {
    lines: Vec<String>,
    ended_pipes: usize,
}

impl Output {
    fn lock(&self) -> std::sync::MutexGuard<'_, Captured> {
        self.captured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn collect(pipe: impl Read + Send + 'static, output: &Arc<Output>) -> JoinHandle<()> {
    let output = Arc::clone(output);
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            output.lock().lines.push(text);
            output.grown.notify_all();
            line.clear();
        }
        output.lock().ended_pipes += 1;
        output.grown.notify_all();
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process::spawn("shell", Command::new("sh").arg("-c").arg(script)).expect("sh starts")
    }

    #[test]
    fn finds_a_line_of_either_stream_and_ends_the_child_on_drop() {
        let process = shell("echo one; echo two >&2; exec cat");
        let two = process.wait_for("two", |line| line.strip_prefix("tw").map(str::to_owned)).expect("printed");
        assert_eq!(two, "o");
        let pid = Pid::from_child(&process.child);
        drop(process);
        assert!(rustix::process::test_kill_process(pid).is_err(), "the child is gone");
    }

    #[test]
    fn says_what_was_printed_when_the_child_ends_early() {
        let process = shell("echo last words");
        let error = process.wait_for("ready", |line| (line == "ready").then_some(())).expect_err("never ready");
        assert!(error.to_string().contains("last words"), "{error}");
    }

    #[test]
    fn answers_lines_and_reports_the_status() {
        let mut process = shell("read line; echo got $line; exit 3");
        process.send_line("hello").expect("it reads");
        process.wait_for("the answer", |line| (line == "got hello").then_some(())).expect("it answers");
        assert_eq!(process.wait().expect("it ends").code(), Some(3));
    }
}
