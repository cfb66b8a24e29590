//! Side by side: Node's socket.io, socketioxide and Limpet's server library run the same application.

mod candidates;
mod descriptors;
mod floor;
pub(crate) mod load;
mod report;
mod rounds;
mod rows;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use self::candidates::{Candidate, Programs};
use self::rounds::Settings;
use self::rows::ROWS;
use crate::network::Network;
use crate::process;

pub(crate) use self::floor::serve as serve_floor;

/// Options of `limpet-bench server`.
#[derive(Args)]
pub(crate) struct Options {
    /// The application on Limpet, built for release.
    #[arg(long, default_value = "target/release/limpet-bench-server")]
    limpet: PathBuf,
    /// The application on socketioxide, built for release.
    #[arg(long, default_value = "target/peers/release/bench-socketioxide")]
    socketioxide: PathBuf,
    /// The application for Node.
    #[arg(long, default_value = "bench/peers/node/server.js")]
    node: PathBuf,
    /// Measures only these candidates.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Candidate>,
    /// Measures only these rows.
    #[arg(long, value_delimiter = ',', value_parser = row_names())]
    row: Vec<String>,
    /// One short round: for a look, not for a claim.
    #[arg(long)]
    quick: bool,
    /// Rounds of the CPU rows; at most three of the others.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measured seconds of each CPU measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// What is between the server and its clients.
    #[arg(long, value_enum, default_value_t = Network::Loopback)]
    network: Network,
    /// Niceness of everything that takes part. -15 (as root) keeps other work of a busy machine off the cores.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    nice: i8,
}

/// Measures, and prints the tables.
///
/// # Errors
///
/// Fails before anything is measured: when a program is missing or the machine does not let enough files be open.
pub(crate) fn measure(options: Options) -> anyhow::Result<()> {
    let network = options.network.enter()?;
    let wanted = |name: &str| options.row.is_empty() || options.row.iter().any(|row| row == name);
    let rows: Vec<_> = ROWS.iter().filter(|row| wanted(row.name)).copied().collect();
    let chosen = |candidate: &Candidate| options.only.is_empty() || options.only.contains(candidate);
    let candidates: Vec<_> = Candidate::ALL.into_iter().filter(chosen).collect();
    descriptors::allow(rows.iter().map(|row| row.clients).max().unwrap_or(0))?;
    process::pin_self()?;
    let _niceness = process::Niceness::set(options.nice)?;
    let programs = Programs {
        limpet: std::path::absolute(&options.limpet)?,
        socketioxide: std::path::absolute(&options.socketioxide)?,
        node: std::path::absolute(&options.node)?,
        bench: std::env::current_exe()?,
    };
    for candidate in &candidates {
        let file = programs.file(*candidate);
        file.metadata().with_context(|| format!("{}: `cargo xtask bench server` builds it", file.display()))?;
    }
    let settings = Settings {
        programs,
        network,
        rounds: if options.quick { 1 } else { options.rounds },
        warm_up: Duration::from_millis(if options.quick { 300 } else { 1000 }),
        measured: Duration::from_secs_f64(if options.quick { 0.7 } else { options.seconds }),
        candidates,
        rows,
    };
    let samples = rounds::run(&settings);
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    report::print(&settings, &samples, format!("cargo xtask bench server {}", arguments.join(" ")).trim_end());
    Ok(())
}

fn row_names() -> clap::builder::PossibleValuesParser {
    ROWS.iter().map(|row| row.name).collect::<Vec<_>>().into()
}
