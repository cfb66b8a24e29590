//! Side by side: what an event costs the node that publishes it and the node that receives it, by library and by bus.

mod candidates;
mod emitter;
mod load;
mod report;
mod rounds;
mod stage;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use self::candidates::{Candidate, Programs};
use self::rounds::Settings;
use crate::process;

/// Options of `limpet-bench bus`.
#[derive(Args)]
pub(crate) struct Options {
    /// The application on Limpet, built for release.
    #[arg(long, default_value = "target/release/limpet-bench-bus")]
    limpet: PathBuf,
    /// The limpet binary, for its emitter.
    #[arg(long, default_value = "target/release/limpet")]
    emitter: PathBuf,
    /// The application on socketioxide, built for release.
    #[arg(long, default_value = "target/peers/release/bench-socketioxide-bus")]
    socketioxide: PathBuf,
    /// The folder of the applications for Node.
    #[arg(long, default_value = "bench/peers/node")]
    node: PathBuf,
    /// Measures only these candidates.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Candidate>,
    /// Measures only these: most, fixed, single, elsewhere, emitter.
    #[arg(long, value_delimiter = ',')]
    work: Vec<rounds::Work>,
    /// One short round: for a look, not for a claim.
    #[arg(long)]
    quick: bool,
    /// How often everything is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measured seconds of each measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Events each second of the rows with a fixed rate.
    #[arg(long, default_value_t = 4000)]
    rate: u32,
    /// Niceness of everything that takes part. -15 (as root) keeps other work of a busy machine off the cores.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    nice: i8,
}

/// Measures, and prints the tables.
///
/// # Errors
///
/// Fails before anything is measured, when a program is missing.
pub(crate) fn measure(options: Options) -> anyhow::Result<()> {
    let chosen = |candidate: &Candidate| options.only.is_empty() || options.only.contains(candidate);
    let candidates: Vec<_> = Candidate::ALL.into_iter().filter(chosen).collect();
    let wanted = |work: &rounds::Work| options.work.is_empty() || options.work.contains(work);
    process::pin_self()?;
    let _niceness = process::Niceness::set(options.nice)?;
    let programs = Programs {
        limpet: std::path::absolute(&options.limpet)?,
        emitter: std::path::absolute(&options.emitter)?,
        socketioxide: std::path::absolute(&options.socketioxide)?,
        node: std::path::absolute(&options.node)?,
    };
    for candidate in &candidates {
        let file = programs.file(*candidate);
        file.metadata().with_context(|| format!("{}: `cargo xtask bench bus` builds it", file.display()))?;
    }
    let settings = Settings {
        programs,
        rounds: if options.quick { 1 } else { options.rounds },
        warm_up: Duration::from_millis(if options.quick { 300 } else { 600 }),
        measured: Duration::from_secs_f64(if options.quick { 0.7 } else { options.seconds }),
        rate: options.rate,
        candidates,
        works: rounds::Work::ALL.into_iter().filter(wanted).collect(),
    };
    let samples = rounds::run(&settings);
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    report::print(&settings, &samples, format!("cargo xtask bench bus {}", arguments.join(" ")).trim_end());
    Ok(())
}
