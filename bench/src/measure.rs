//! Reads what processes have used: CPU time, memory, system calls.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::Signal;

use crate::network::Network;
use crate::process::{LOAD_CORE, Running};

/// CPU time of the program under test and of the load's side, from the scheduler's own counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Time that its threads ran.
    pub(crate) ran: Duration,
    /// Time that the kernel's own threads ran to receive for it.
    pub(crate) receiving: Duration,
    /// Time that its threads were ready to run and had to wait.
    pub(crate) waited: Duration,
    /// Time that they ran outside the kernel, in steps of a clock tick.
    pub(crate) user: Duration,
    /// Time that load generator and endpoints ran.
    pub(crate) load_ran: Duration,
}

impl Usage {
    /// What the program under test has cost in all.
    pub(crate) fn cost(self) -> Duration {
        self.ran + self.receiving
    }

    /// The difference to an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            ran: self.ran.saturating_sub(earlier.ran),
            receiving: self.receiving.saturating_sub(earlier.receiving),
            waited: self.waited.saturating_sub(earlier.waited),
            user: self.user.saturating_sub(earlier.user),
            load_ran: self.load_ran.saturating_sub(earlier.load_ran),
        }
    }
}

/// The processes whose CPU time is read.
pub(crate) struct Meter {
    subject: Vec<u32>,
    load: Vec<u32>,
    receiving: Vec<u32>,
}

impl Meter {
    /// Measures these processes, with all their threads.
    pub(crate) fn new(subject: Vec<u32>, load: Vec<u32>) -> Self {
        Self { subject, load, receiving: Vec::new() }
    }

    /// Measures also the kernel's threads that do the receiving of the program under test across this network.
    ///
    /// # Errors
    ///
    /// Fails when they cannot be seen.
    pub(crate) fn across(mut self, network: Network) -> anyhow::Result<Self> {
        self.receiving = network.receiving_threads()?;
        Ok(self)
    }

    /// What they have used since they started.
    ///
    /// # Errors
    ///
    /// Fails when a process is gone.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let (ran, waited) = scheduled(&self.subject)?;
        let (load_ran, _) = scheduled(&self.load)?;
        let (receiving, _) = scheduled(&self.receiving)?;
        let user = self.subject.iter().map(|pid| user(*pid)).sum::<anyhow::Result<_>>()?;
        Ok(Usage { ran, receiving, waited, user, load_ran })
    }

    /// Proportional set size of the program under test, in bytes.
    ///
    /// # Errors
    ///
    /// Fails when a process is gone.
    pub(crate) fn memory_bytes(&self) -> anyhow::Result<u64> {
        let mut kibibytes = 0;
        for pid in &self.subject {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss in smaps_rollup")?;
            kibibytes += line.trim().trim_end_matches("kB").trim().parse::<u64>()?;
        }
        Ok(kibibytes * 1024)
    }

    /// Counts its system calls while `work` runs.
    ///
    /// # Errors
    ///
    /// Fails when `strace` cannot attach, or with the error of the work.
    pub(crate) fn count_calls<T>(
        &self,
        directory: &Path,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Vec<(String, u64)>)> {
        let summary = directory.join("calls");
        let mut arguments: Vec<String> = ["-c", "-f", "-qq", "-o"].map(str::to_owned).to_vec();
        arguments.push(summary.display().to_string());
        for pid in &self.subject {
            arguments.extend(["-p".to_owned(), pid.to_string()]);
        }
        let mut strace = Running::start(LOAD_CORE, Path::new("strace"), &arguments, directory)?;
        let asked = Instant::now();
        while !self.is_traced()? {
            if strace.has_ended() || asked.elapsed() > Duration::from_secs(5) {
                bail!("strace did not attach: {}", strace.output());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let outcome = work()?;
        anyhow::ensure!(strace.stop(Signal::INT, Duration::from_secs(5)), "strace does not end");
        Ok((outcome, parse_calls(&fs::read_to_string(summary)?)))
    }

    fn is_traced(&self) -> anyhow::Result<bool> {
        for pid in &self.subject {
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let status = fs::read_to_string(task?.path().join("status"))?;
                if status.lines().any(|line| line.starts_with("TracerPid:") && line.ends_with("\t0")) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Sums time run and time waited over all threads.
fn scheduled(pids: &[u32]) -> anyhow::Result<(Duration, Duration)> {
    let (mut ran, mut waited) = (0, 0);
    for pid in pids {
        for task in fs::read_dir(format!("/proc/{pid}/task")).context("the process has ended")? {
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            let mut fields = text.split_whitespace().map(str::parse::<u64>);
            ran += fields.next().context("empty schedstat")??;
            waited += fields.next().context("short schedstat")??;
        }
    }
    Ok((Duration::from_nanos(ran), Duration::from_nanos(waited)))
}

/// Time in user mode, from the twelfth field behind the name, which may contain spaces.
fn user(pid: u32) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process has ended")?;
    let (_, rest) = text.rsplit_once(')').context("no name in stat")?;
    let ticks: u64 = rest.split_whitespace().nth(11).context("short stat")?.parse()?;
    Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}

/// Reads the summary of `strace -c`: percent, seconds, microseconds per call, calls, errors if any, name.
fn parse_calls(summary: &str) -> Vec<(String, u64)> {
    let mut calls: Vec<(String, u64)> = summary
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let name = fields.last()?;
            let count = fields.get(3)?.parse().ok()?;
            (*name != "total").then(|| ((*name).to_owned(), count))
        })
        .collect();
    calls.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    calls
}

#[cfg(test)]
mod tests {
    use super::parse_calls;

    #[test]
    fn reads_a_summary_with_and_without_errors() {
        let summary = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            60.00    0.001200           1      1000           sendto\n \
            40.00    0.000800           1      1200        12 recvfrom\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.002000           0      2200        12 total\n";
        assert_eq!(parse_calls(summary), [("recvfrom".to_owned(), 1200), ("sendto".to_owned(), 1000)]);
    }
}
