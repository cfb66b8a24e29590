//! What it costs to emit from outside, in bulk: `limpet emit --lines` and Node's emitter.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::candidates::{Candidate, Programs};
use super::stage::Redis;
use crate::process::{PROXY_CORES, ScratchDirectory};

/// Events of the longer run; the shorter one has one event, and its cost is subtracted: the start of a program.
const EVENTS: usize = 100_000;

/// CPU microseconds for an event.
///
/// # Errors
///
/// Fails when an emitter does.
pub(super) fn measure(candidate: Candidate, programs: &Programs) -> anyhow::Result<f64> {
    let redis = Redis::start()?;
    let start = run(candidate, programs, &redis, 1)?;
    let all = run(candidate, programs, &redis, EVENTS)?;
    Ok(all.saturating_sub(start).as_secs_f64() * 1e6 / (EVENTS - 1) as f64)
}

fn run(candidate: Candidate, programs: &Programs, redis: &Redis, events: usize) -> anyhow::Result<Duration> {
    let directory = ScratchDirectory::new("emitter")?;
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", PROXY_CORES]).stdout(Stdio::null());
    if candidate == Candidate::NodeRedis {
        command.arg("node").arg(programs.node.join("emitter.js")).args([redis.url(), events.to_string()]);
    } else {
        let file = directory.path().join("lines");
        let mut line = String::new();
        writeln!(line, r#"["news","{}"]"#, "x".repeat(64))?;
        fs::write(&file, line.repeat(events))?;
        command.arg(&programs.emitter).args(["emit", "--bus", &redis.url(), "--room", "room", "--lines"]);
        command.stdin(File::open(file)?);
    }
    let before = children()?;
    let status = command.status().context("the emitter")?;
    anyhow::ensure!(status.success(), "the emitter: {status}");
    Ok(children()?.saturating_sub(before))
}

/// What all children that have ended had used, in steps of a clock tick: the fourteenth and fifteenth field behind the name.
fn children() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = text.rsplit_once(')').context("no name in stat")?;
    let fields: Vec<u64> = rest.split_whitespace().skip(13).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(fields.iter().sum::<u64>() * 1000 / rustix::param::clock_ticks_per_second()))
}
