//! Runs the rows in alternating rounds: every candidate once in each round, in an order that rotates.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::candidates::{Candidate, Programs, Stage};
use super::load::{Arrival, Crowd, PollingLoad, Question, ask_each_once, ask_on, tell_all};
use super::rows::{Row, Work};
use crate::load::{Outcome, Plan};
use crate::measure::Meter;
use crate::network::Network;
use crate::process::ScratchDirectory;
use crate::rounds::{SATURATED_SHARE, in_turn, told};

/// Clients that touch the server's code and fill its first allocations before the memory is read the first time.
const WARM_CLIENTS: usize = 256;
/// What an event carries.
const PAYLOAD_BYTES: usize = 64;
/// How many events of a client are under way in a burst.
const UNDER_WAY: usize = 8;
/// What a session has carried before it keeps still.
const LAST_PAYLOAD_BYTES: usize = 1024;
/// These scatter less, or take long.
const FEW_ROUNDS: usize = 3;
/// System calls do not scatter.
const CALL_ROUNDS: usize = 1;

/// What to run.
pub(super) struct Settings {
    /// The servers.
    pub(super) programs: Programs,
    /// What is between server and clients.
    pub(super) network: Network,
    /// Rounds of the CPU rows.
    pub(super) rounds: usize,
    /// Unmeasured time at the start of each measurement.
    pub(super) warm_up: Duration,
    /// Measured time of each measurement.
    pub(super) measured: Duration,
    /// Who takes part.
    pub(super) candidates: Vec<Candidate>,
    /// What is measured.
    pub(super) rows: Vec<Row>,
}

impl Settings {
    fn plan(&self) -> Plan {
        Plan { warm_up: self.warm_up, measured: self.measured, rate: None, tick: Duration::ZERO }
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// In the unit of the row.
    pub(super) value: f64,
    /// False when the server was to be at its limit and was not.
    pub(super) counts: bool,
}

/// Samples by row and candidate, then by round. A measurement that failed has none.
pub(super) type Samples = BTreeMap<(&'static str, Candidate), Vec<Option<Sample>>>;

/// Runs all rounds and reports each measurement on standard error. Failures are reported and leave a gap.
pub(super) fn run(settings: &Settings) -> Samples {
    let mut samples = Samples::new();
    for round in 0..settings.rounds {
        for row in &settings.rows {
            let rounds = match row.work {
                work if work.is_cpu() => settings.rounds,
                Work::EchoCalls => CALL_ROUNDS,
                _ => settings.rounds.min(FEW_ROUNDS),
            };
            if round >= rounds {
                continue;
            }
            for candidate in in_turn(settings.candidates.clone(), round) {
                let label = format!("{}/{rounds} {:11} {:12}", round + 1, row.name, candidate.title());
                let sample = told(&label, row.unit(), measure(row, candidate, settings), |sample| sample.value);
                samples.entry((row.name, candidate)).or_default().push(sample);
            }
        }
    }
    samples
}

fn measure(row: &Row, candidate: Candidate, settings: &Settings) -> anyhow::Result<(Sample, String)> {
    settings.network.expect(row.clients)?;
    let stage = Stage::start(candidate, &settings.programs, settings.network)?;
    let meter = Meter::new(stage.pids(), vec![std::process::id()]).across(settings.network)?;
    let measured = match row.work {
        Work::Memory => memory(row, &stage, &meter),
        Work::Echo => echo(row, &Question::echo(PAYLOAD_BYTES), 1, &stage, settings, &meter),
        Work::EchoBurst => echo(row, &Question::echo(PAYLOAD_BYTES), UNDER_WAY, &stage, settings, &meter),
        Work::Ask => echo(row, &Question::ask(PAYLOAD_BYTES), 1, &stage, settings, &meter),
        Work::News => news(row, &Question::news(PAYLOAD_BYTES), &stage, settings, &meter),
        Work::NewsBurst => news(row, &Question::burst(PAYLOAD_BYTES), &stage, settings, &meter),
        Work::Polling => PollingLoad::open(stage.address(), row.clients)
            .and_then(|mut load| load.run(settings.plan(), &meter))
            .map(|outcome| cpu(&outcome, true)),
        Work::Storm => storm(row, &stage, &meter, false),
        Work::StormAgain => storm(row, &stage, &meter, true),
        Work::EchoCalls => calls(row, &stage, settings, &meter),
    };
    measured.map_err(|error| match stage.complaints() {
        complaints if complaints.is_empty() => error,
        complaints => error.context(complaints),
    })
}

fn crowd(stage: &Stage, count: usize) -> anyhow::Result<Crowd> {
    let mut crowd = Crowd::new(stage.address(), count)?;
    crowd.bring_in(Arrival::CALM)?;
    Ok(crowd)
}

fn echo(
    row: &Row,
    question: &Question,
    under_way: usize,
    stage: &Stage,
    settings: &Settings,
    meter: &Meter,
) -> anyhow::Result<(Sample, String)> {
    let outcome = ask_on(&mut crowd(stage, row.clients)?, question, under_way, settings.plan(), meter)?;
    Ok(cpu(&outcome, true))
}

/// The next event starts when the last client has the one before, so the server has pauses, and they cost nothing.
fn news(
    row: &Row,
    question: &Question,
    stage: &Stage,
    settings: &Settings,
    meter: &Meter,
) -> anyhow::Result<(Sample, String)> {
    let mut crowd = crowd(stage, row.clients)?;
    let outcome = tell_all(&mut crowd, question, settings.plan(), meter)?;
    Ok(cpu(&outcome, false))
}

fn cpu(outcome: &Outcome, saturated: bool) -> (Sample, String) {
    let wall = outcome.wall.as_secs_f64();
    let ran = outcome.usage.ran.as_secs_f64();
    let cost = outcome.usage.cost().as_secs_f64();
    // A runnable server that somebody keeps from its core is at its limit too.
    let waited = outcome.usage.waited.as_secs_f64();
    let counts = !saturated || (ran + waited) / wall >= SATURATED_SHARE;
    let remark = format!(
        "server ran {:3.0} % ({:.0} % of it in user mode), waited {:3.0} %, its receiving ran {:3.0} %, load ran {:3.0} %, {:.0} units/s{}",
        ran / wall * 100.0,
        outcome.usage.user.as_secs_f64() / ran * 100.0,
        waited / wall * 100.0,
        outcome.usage.receiving.as_secs_f64() / wall * 100.0,
        outcome.usage.load_ran.as_secs_f64() / wall * 100.0,
        outcome.round_trips as f64 / wall,
        if counts { "" } else { " (not at its limit)" },
    );
    (Sample { value: cost * 1e6 / outcome.round_trips as f64, counts }, remark)
}

fn memory(row: &Row, stage: &Stage, meter: &Meter) -> anyhow::Result<(Sample, String)> {
    let question = Question::echo(LAST_PAYLOAD_BYTES);
    let mut warm = crowd(stage, WARM_CLIENTS)?;
    ask_each_once(&mut warm, &question)?;
    settle();
    let before = meter.memory_bytes()?;
    let mut crowd = crowd(stage, row.clients)?;
    ask_each_once(&mut crowd, &question)?;
    settle();
    let after = meter.memory_bytes()?;
    let value = (after as f64 - before as f64) / crowd.count() as f64;
    let remark = format!("from {} to {} KiB", before / 1024, after / 1024);
    Ok((Sample { value, counts: true }, remark))
}

/// Lets the server finish what the last message set off: freeing buffers, collecting garbage. The length is part of the
/// definition of the row.
fn settle() {
    std::thread::sleep(Duration::from_secs(1));
}

fn storm(row: &Row, stage: &Stage, meter: &Meter, again: bool) -> anyhow::Result<(Sample, String)> {
    let mut crowd = Crowd::new(stage.address(), row.clients)?;
    if again {
        crowd.bring_in(Arrival::CALM)?;
        crowd.cut();
    }
    let (started, usage) = (Instant::now(), meter.usage()?);
    crowd.bring_in(Arrival::STORM)?;
    let wall = started.elapsed().as_secs_f64();
    let usage = meter.usage()?.since(usage);
    let remark = format!(
        "server {:.0} µs and load {:.0} µs for each client, {} turned away, {} MiB",
        usage.cost().as_secs_f64() * 1e6 / row.clients as f64,
        usage.load_ran.as_secs_f64() * 1e6 / row.clients as f64,
        crowd.turned_away(),
        meter.memory_bytes()? / 1024 / 1024,
    );
    Ok((Sample { value: wall, counts: true }, remark))
}

fn calls(row: &Row, stage: &Stage, settings: &Settings, meter: &Meter) -> anyhow::Result<(Sample, String)> {
    let question = Question::echo(PAYLOAD_BYTES);
    let mut crowd = crowd(stage, row.clients)?;
    let plan = Plan { warm_up: Duration::ZERO, ..settings.plan() };
    let directory = ScratchDirectory::new("strace")?;
    let (outcome, calls) = meter.count_calls(directory.path(), || ask_on(&mut crowd, &question, 1, plan, meter))?;
    let round_trips = outcome.all_round_trips as f64;
    let total: u64 = calls.iter().map(|(_, count)| count).sum();
    let parts: Vec<String> = calls
        .iter()
        .map(|(name, count)| (name, *count as f64 / round_trips))
        .filter(|(_, share)| *share >= 0.01)
        .map(|(name, share)| format!("{name} {share:.2}"))
        .collect();
    Ok((Sample { value: total as f64 / round_trips, counts: true }, parts.join(", ")))
}
