//! Runs the rows in alternating rounds: every candidate once in each round, in an order that rotates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::candidates::{Candidate, Stage};
use crate::load::{ConnectLoad, ExchangeLoad, IdleTunnels, Outcome, Plan, Work};
use crate::measure::Meter;
use crate::network::Network;
use crate::process::ScratchDirectory;
use crate::rows::{Reading, Row};

/// Tunnels that touch the proxy's code and fill its first allocations before the memory is read the first time.
const WARM_TUNNELS: usize = 64;
/// Memory hardly scatters, and system calls do not.
const MEMORY_ROUNDS: usize = 3;
const CALL_ROUNDS: usize = 1;
/// A proxy that waits more than this share of the time is not measured at its limit.
pub(crate) const SATURATED_SHARE: f64 = 0.90;
/// A rate counts as reached from this share on.
const REACHED_SHARE: f64 = 0.98;

/// What to run.
pub(crate) struct Settings {
    /// The binary under test.
    pub(crate) limpet: PathBuf,
    /// What is between the proxy and the others.
    pub(crate) network: Network,
    /// Rounds of the CPU rows.
    pub(crate) rounds: usize,
    /// Unmeasured time at the start of each measurement.
    pub(crate) warm_up: Duration,
    /// Measured time of each measurement.
    pub(crate) measured: Duration,
    /// Time between two moments at which round trips of a fixed rate start.
    pub(crate) tick: Duration,
    /// Who takes part.
    pub(crate) candidates: Vec<Candidate>,
    /// What is measured.
    pub(crate) rows: Vec<Row>,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// In the unit of the row.
    pub(crate) value: f64,
    /// False when the proxy was not at its limit, or the rate was not reached.
    pub(crate) counts: bool,
    /// Share of the time in which threads of the proxy were ready and had no core.
    pub(crate) waited: f64,
}

/// Samples by row and candidate, then by round. A measurement that failed has none.
pub(crate) type Samples = BTreeMap<(&'static str, Candidate), Vec<Option<Sample>>>;

/// Runs all rounds and reports each measurement on standard error. Failures are reported and leave a gap.
pub(crate) fn run(settings: &Settings) -> Samples {
    let mut samples = Samples::new();
    for round in 0..settings.rounds {
        for row in &settings.rows {
            let rounds = match row.reading {
                Reading::Cpu { .. } => settings.rounds,
                Reading::Memory { .. } => MEMORY_ROUNDS,
                Reading::Calls => CALL_ROUNDS,
            };
            if round >= rounds {
                continue;
            }
            let mut order: Vec<Candidate> = row.candidates.to_vec();
            order.retain(|candidate| settings.candidates.contains(candidate));
            for candidate in in_turn(order, round) {
                let label = format!("{}/{rounds} {:14} {:17}", round + 1, row.name, candidate.title());
                let sample = told(&label, row.unit(), measure(row, candidate, settings), |sample| sample.value);
                samples.entry((row.name, candidate)).or_default().push(sample);
            }
        }
    }
    samples
}

/// Returns the order of a round: each begins with another one.
pub(crate) fn in_turn<C>(mut candidates: Vec<C>, round: usize) -> Vec<C> {
    let shift = round % candidates.len().max(1);
    candidates.rotate_left(shift);
    candidates
}

/// Reports a measurement on standard error, and returns its sample if it did not fail.
pub(crate) fn told<S>(
    label: &str,
    unit: &str,
    measured: anyhow::Result<(S, String)>,
    value: impl Fn(&S) -> f64,
) -> Option<S> {
    match measured {
        Ok((sample, remark)) => {
            eprintln!("{label} {:9.2} {unit} {remark}", value(&sample));
            Some(sample)
        }
        Err(error) => {
            eprintln!("{label} failed: {error:#}");
            None
        }
    }
}

fn measure(row: &Row, candidate: Candidate, settings: &Settings) -> anyhow::Result<(Sample, String)> {
    settings.network.expect(row.connections)?;
    let stage = Stage::start(candidate, &settings.limpet, settings.network)?;
    let meter = Meter::new(stage.proxy_pids(), stage.load_pids()).across(settings.network)?;
    match row.reading {
        Reading::Cpu { rate } => {
            let plan = Plan { warm_up: settings.warm_up, measured: settings.measured, rate, tick: settings.tick };
            let outcome = Load::open(&stage, row)?.run(plan, &meter)?;
            Ok(cpu(row, rate, &outcome))
        }
        Reading::Memory { engine_io } => memory(row, &stage, &meter, engine_io),
        Reading::Calls => {
            let mut load = Load::open(&stage, row)?;
            // Opens the connections to the endpoints that the work needs.
            let warm = Plan { warm_up: Duration::ZERO, measured: settings.warm_up, rate: None, tick: settings.tick };
            load.run(warm, &meter)?;
            let plan = Plan { warm_up: Duration::ZERO, measured: settings.measured, rate: None, tick: settings.tick };
            let directory = ScratchDirectory::new("strace")?;
            calls(directory.path(), &meter, |meter| load.run(plan, meter))
        }
    }
}

fn cpu(row: &Row, rate: Option<f64>, outcome: &Outcome) -> (Sample, String) {
    let wall = outcome.wall.as_secs_f64();
    let units = outcome.round_trips * row.work.units_per_round_trip();
    let ran = outcome.usage.ran.as_secs_f64();
    let cost = outcome.usage.cost().as_secs_f64();
    // A runnable proxy that somebody keeps from its core is at its limit too.
    let waited = outcome.usage.waited.as_secs_f64() / wall;
    let busy = ran / wall + waited;
    let reached = outcome.round_trips as f64 / wall;
    let counts = rate.map_or(busy >= SATURATED_SHARE, |rate| reached >= rate * REACHED_SHARE);
    let remark = format!(
        "proxy ran {:3.0} %, waited {:3.0} %, its receiving ran {:3.0} %, load ran {:3.0} %, {:.0} units/s{}",
        ran / wall * 100.0,
        waited * 100.0,
        outcome.usage.receiving.as_secs_f64() / wall * 100.0,
        outcome.usage.load_ran.as_secs_f64() / wall * 100.0,
        units as f64 / wall,
        if counts { "" } else { " (does not count)" },
    );
    (Sample { value: cost * 1e6 / units as f64, counts, waited }, remark)
}

fn memory(row: &Row, stage: &Stage, meter: &Meter, engine_io: bool) -> anyhow::Result<(Sample, String)> {
    let warm = IdleTunnels::open(stage.address(), WARM_TUNNELS, engine_io)?;
    settle();
    let before = meter.memory_bytes()?;
    let tunnels = IdleTunnels::open(stage.address(), row.connections, engine_io)?;
    settle();
    let after = meter.memory_bytes()?;
    let value = (after as f64 - before as f64) / tunnels.count() as f64;
    drop(warm);
    let remark = format!("from {} to {} KiB", before / 1024, after / 1024);
    Ok((Sample { value, counts: true, waited: 0.0 }, remark))
}

/// Lets the proxy finish what the last message set off: freeing buffers, collecting garbage. The length is part of the
/// definition of the row.
fn settle() {
    std::thread::sleep(Duration::from_secs(1));
}

fn calls(
    directory: &Path,
    meter: &Meter,
    work: impl FnOnce(&Meter) -> anyhow::Result<Outcome>,
) -> anyhow::Result<(Sample, String)> {
    let (outcome, calls) = meter.count_calls(directory, || work(meter))?;
    let round_trips = outcome.all_round_trips as f64;
    let total: u64 = calls.iter().map(|(_, count)| count).sum();
    let parts: Vec<String> = calls
        .iter()
        .map(|(name, count)| (name, *count as f64 / round_trips))
        .filter(|(_, share)| *share >= 0.01)
        .map(|(name, share)| format!("{name} {share:.2}"))
        .collect();
    Ok((Sample { value: total as f64 / round_trips, counts: true, waited: 0.0 }, parts.join(", ")))
}

/// The two loads with a running phase.
enum Load {
    Exchange(ExchangeLoad),
    Connect(ConnectLoad),
}

impl Load {
    fn open(stage: &Stage, row: &Row) -> anyhow::Result<Self> {
        Ok(match row.work {
            Work::Connect => Self::Connect(ConnectLoad::open(stage.address(), row.connections)?),
            work => Self::Exchange(ExchangeLoad::open(stage.address(), work, row.connections)?),
        })
    }

    fn run(&mut self, plan: Plan, meter: &Meter) -> anyhow::Result<Outcome> {
        match self {
            Self::Exchange(load) => load.run(plan, meter),
            Self::Connect(load) => load.run(plan, meter),
        }
    }
}
