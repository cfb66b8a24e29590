//! What a process uses of the machine, as Linux tells it.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Process;

impl Process {
    /// The memory of the process in bytes, shared pages by their share (Linux's PSS).
    ///
    /// # Errors
    /// When the process is gone.
    pub fn memory_bytes(&self) -> Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid()))?;
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
        let kib: u64 = pss.context("smaps_rollup has no Pss")?.trim().parse()?;
        Ok(kib * 1024)
    }

    /// How long the process has kept processors busy, in its own code and in the kernel. Coarse: 10 ms.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn processor_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        // The name, in parentheses, is the second field; user and system time are the 14th and 15th.
        let (_, behind) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
        let ticks = behind.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        // USER_HZ is 100 for programs, whatever the kernel's own ticks are.
        Ok(Duration::from_millis(ticks * 10))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::wait::until;

    fn shell(script: &str) -> Process {
        Process::spawn("shell", Command::new("sh").arg("-c").arg(script)).expect("sh starts")
    }

    #[test]
    fn tells_work_from_waiting() {
        let busy = shell("while :; do :; done");
        until("it has worked", || busy.processor_time().expect("it runs") > Duration::from_millis(50));
        let idle = shell("echo up; exec cat");
        idle.wait_for("up", |line| (line == "up").then_some(())).expect("printed");
        assert!(idle.processor_time().expect("it runs") < Duration::from_secs(1));
    }
}
