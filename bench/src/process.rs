//! Child processes: pinned to a core, ended with their guard, and with this process if it dies.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

/// The core of the proxies.
pub(crate) const PROXY_CORES: &str = "0";
/// The core of the load generator and the endpoints.
pub(crate) const LOAD_CORE: &str = "1";

const AUTOGROUP: &str = "/proc/self/autogroup";

/// A running child whose end is asked for when the guard goes.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a program on the given cores. What it writes goes to a file in `directory`.
    ///
    /// # Errors
    ///
    /// Fails when the program cannot be started.
    pub(crate) fn start(cores: &str, program: &Path, arguments: &[String], directory: &Path) -> anyhow::Result<Self> {
        let log = directory.join("output.log");
        let output = File::create(&log)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "--cpu-list", cores])
            .arg(program)
            .args(arguments)
            .current_dir(directory)
            .env("HOME", directory)
            .env("GOMAXPROCS", "1")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, log })
    }

    /// The child and the processes that it started.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.child.id()];
        let mut next = 0;
        while let Some(pid) = pids.get(next).copied() {
            next += 1;
            let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            pids.extend(list.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
        }
        pids
    }

    /// True when the child has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What the child wrote.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks the child to end with a signal and waits for it, at most for `patience`.
    pub(crate) fn stop(&mut self, signal: Signal, patience: Duration) -> bool {
        if self.has_ended() {
            return true;
        }
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            // It may have ended in between.
            let _ = kill_process(pid, signal);
        }
        let asked = Instant::now();
        while asked.elapsed() < patience {
            if self.has_ended() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.stop(Signal::TERM, Duration::from_millis(500)) {
            // Nothing can be done about a process that cannot be ended.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Pins this process to the load's core.
///
/// # Errors
///
/// Fails when `taskset` is missing or the machine has no such core.
pub(crate) fn pin_self() -> anyhow::Result<()> {
    run("taskset", &["--all-tasks", "--cpu-list", "--pid", LOAD_CORE, &std::process::id().to_string()])
}

/// A niceness of this process and its children, for as long as the guard lives.
pub(crate) struct Niceness(Option<String>);

impl Niceness {
    /// Sets it. Where the scheduler groups processes by session, the niceness of the session is what counts.
    ///
    /// # Errors
    ///
    /// Fails when the niceness is not permitted.
    pub(crate) fn set(niceness: i8) -> anyhow::Result<Self> {
        if niceness == 0 {
            return Ok(Self(None));
        }
        let value = niceness.to_string();
        run("renice", &["-n", &value, "-p", &std::process::id().to_string()])?;
        // "/autogroup-18 nice 0", or no such file.
        let earlier =
            fs::read_to_string(AUTOGROUP).ok().and_then(|text| Some(text.split_whitespace().last()?.to_owned()));
        if earlier.is_some() {
            fs::write(AUTOGROUP, value).context(AUTOGROUP)?;
        }
        Ok(Self(earlier))
    }
}

impl Drop for Niceness {
    fn drop(&mut self) {
        if let Some(earlier) = &self.0 {
            // The session keeps its niceness if this fails; nothing else depends on it.
            let _ = fs::write(AUTOGROUP, earlier);
        }
    }
}

/// Runs a tool to its end.
///
/// # Errors
///
/// Fails when it is missing or does; the error holds what it wrote.
pub(crate) fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).output().with_context(|| program.to_owned())?;
    anyhow::ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// A directory that is removed with its guard.
pub(crate) struct ScratchDirectory(PathBuf);

impl ScratchDirectory {
    /// Makes a new one below the system's directory for temporary files.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be made.
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
        let path = std::env::temp_dir().join(format!("limpet-bench-{}-{name}-{stamp}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchDirectory {
    fn drop(&mut self) {
        // What is left behind lies in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
