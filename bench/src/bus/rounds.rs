//! Runs all works for all candidates in alternating rounds, in an order that rotates.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::candidates::{Candidate, Programs};
use super::emitter;
use super::load::{Pairs, Speed};
use super::stage::{Node, Redis};
use crate::measure::{Meter, Usage};
use crate::rounds::in_turn;

/// Events that a speaker causes at a time.
pub(super) const BATCH: usize = 8;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Work {
    /// As many events as come through, eight at a time.
    Most,
    /// Events at a fixed rate, eight at a time.
    Fixed,
    /// Events at half the rate, each alone, so that everybody sleeps and wakes up for each.
    Single,
    /// Events at a fixed rate to rooms that nobody is in at the receiving node.
    Elsewhere,
    /// Events in bulk from a program that is no node.
    Emitter,
}

impl Work {
    /// In the order of the table.
    pub(super) const ALL: [Self; 5] = [Self::Most, Self::Fixed, Self::Single, Self::Elsewhere, Self::Emitter];
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reading {
    /// CPU microseconds of the receiving node for an event.
    Receiving,
    /// CPU microseconds of the publishing node for an event.
    Publishing,
    /// CPU microseconds of Redis for an event.
    Redis,
    /// Events each second.
    Rate,
    /// Half of the events were heard within so many milliseconds.
    Median,
    /// 99 of 100 events were heard within so many milliseconds.
    Tail,
    /// CPU microseconds of the emitter for an event.
    Emitting,
    /// Of 100 events so many were heard before one that was said earlier.
    Disordered,
}

/// What to run.
pub(super) struct Settings {
    /// The applications.
    pub(super) programs: Programs,
    /// How often.
    pub(super) rounds: usize,
    /// Unmeasured time at the start of each measurement.
    pub(super) warm_up: Duration,
    /// Measured time of each measurement.
    pub(super) measured: Duration,
    /// Events each second where it is fixed.
    pub(super) rate: u32,
    /// Who takes part.
    pub(super) candidates: Vec<Candidate>,
    /// What is done.
    pub(super) works: Vec<Work>,
}

/// Values by work, reading and candidate, then by round. A measurement that failed has none.
pub(super) type Samples = BTreeMap<(Work, Reading, Candidate), Vec<Option<f64>>>;

/// Runs all rounds and reports each measurement on standard error. Failures are reported and leave a gap.
pub(super) fn run(settings: &Settings) -> Samples {
    let mut samples = Samples::new();
    for round in 0..settings.rounds {
        for work in &settings.works {
            for candidate in in_turn(settings.candidates.clone(), round) {
                if !candidate.does(*work) {
                    continue;
                }
                let label = format!("{}/{} {work:?} {}", round + 1, settings.rounds, candidate.title());
                let outcome = measure(*work, candidate, settings);
                match &outcome {
                    Ok(values) => {
                        let words: Vec<String> =
                            values.iter().map(|(reading, value)| format!("{reading:?} {value:.2}")).collect();
                        eprintln!("{label}: {}", words.join(", "));
                    }
                    Err(error) => eprintln!("{label} failed: {error:#}"),
                }
                for (reading, value) in outcome.unwrap_or_default() {
                    let taken: &mut Vec<Option<f64>> = samples.entry((*work, reading, candidate)).or_default();
                    taken.resize(round, None);
                    taken.push(Some(value));
                }
            }
        }
    }
    samples
}

fn measure(work: Work, candidate: Candidate, settings: &Settings) -> anyhow::Result<Vec<(Reading, f64)>> {
    if work == Work::Emitter {
        return Ok(vec![(Reading::Emitting, emitter::measure(candidate, &settings.programs)?)]);
    }
    let redis = Redis::start()?;
    let publishing = Node::start(candidate, &settings.programs, &redis)?;
    let receiving = Node::start(candidate, &settings.programs, &redis)?;
    let values = nodes(work, settings, &redis, &publishing, &receiving);
    values.map_err(|error| error.context(format!("{}{}", publishing.complaints(), receiving.complaints())))
}

/// Reads the CPU time of all three at the ends of the measured time.
fn nodes(
    work: Work,
    settings: &Settings,
    redis: &Redis,
    publishing: &Node,
    receiving: &Node,
) -> anyhow::Result<Vec<(Reading, f64)>> {
    let load = vec![std::process::id()];
    let meters = [receiving.pids(), publishing.pids(), redis.pids()].map(|pids| Meter::new(pids, load.clone()));
    let usage = || meters.iter().map(Meter::usage).collect::<anyhow::Result<Vec<Usage>>>();
    let batch = if work == Work::Single { 1 } else { BATCH };
    let mut pairs = Pairs::gather(publishing, receiving, batch, work == Work::Elsewhere)?;
    let speed = match work {
        Work::Most => Speed::Most,
        Work::Single => Speed::Fixed(f64::from(settings.rate) / 2.0),
        _ => Speed::Fixed(settings.rate.into()),
    };
    let mut latencies = Vec::new();
    let began = Instant::now();
    pairs.run(speed, &mut latencies, |_| Ok(began.elapsed() >= settings.warm_up))?;
    let disordered = pairs.disordered();
    latencies.clear();
    let (opened, before) = (Instant::now(), usage()?);
    let mut events = 0;
    pairs.run(speed, &mut latencies, |complete| {
        events = complete;
        Ok(opened.elapsed() >= settings.measured)
    })?;
    let (wall, after) = (opened.elapsed(), usage()?);
    anyhow::ensure!(events > 0, "nothing was heard");
    let disordered = (pairs.disordered() - disordered) as f64 * 100.0 / events as f64;
    let mut values = vec![(Reading::Rate, events as f64 / wall.as_secs_f64()), (Reading::Disordered, disordered)];
    let readings = [Reading::Receiving, Reading::Publishing, Reading::Redis];
    for (reading, (after, before)) in readings.into_iter().zip(after.into_iter().zip(before)) {
        values.push((reading, after.since(before).ran.as_secs_f64() * 1e6 / events as f64));
    }
    if matches!(work, Work::Fixed | Work::Single) {
        latencies.sort_unstable();
        let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or_default();
        values.push((Reading::Median, at(0.5).as_secs_f64() * 1e3));
        values.push((Reading::Tail, at(0.99).as_secs_f64() * 1e3));
    }
    Ok(values)
}
