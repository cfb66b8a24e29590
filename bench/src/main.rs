//! Side-by-side benchmarks of Limpet on one machine: the balancer with HAProxy, nginx and Caddy, the server library and the
//! bus between its nodes with those of Node's socket.io and socketioxide.
//!
//! `proxy`, `server` and `bus` measure, `endpoint` is what the first starts behind each proxy. Linux with two cores, `taskset`,
//! `setpriv` and `strace` are needed.

mod bus;
mod candidates;
mod endpoint;
mod load;
mod measure;
mod network;
mod process;
mod report;
mod rounds;
mod rows;
mod server;
mod spin;
mod stats;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::candidates::Candidate;
use crate::network::Network;
use crate::rounds::Settings;
use crate::rows::ROWS;

/// Side-by-side benchmarks of Limpet's balancer and server library.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measures what a unit of work costs each proxy and prints a Markdown table.
    Proxy(ProxyOptions),
    /// Measures what sessions and messages cost each server library and prints a Markdown table.
    Server(server::Options),
    /// Measures what events cost the nodes of a cluster and prints a Markdown table.
    Bus(bus::Options),
    /// Plays two endpoints on free ports of an address and prints them.
    #[command(hide = true)]
    Endpoint { address: Ipv4Addr },
    /// Answers the clients of `server` with next to no work, on a free port of an address, and prints it.
    #[command(hide = true)]
    Floor { address: Ipv4Addr },
    /// Tries whether a cable can be laid in the namespaces that it is started in.
    #[command(hide = true)]
    Cable,
}

#[derive(Args)]
struct ProxyOptions {
    /// The limpet binary, built for release.
    #[arg(long, default_value = "target/release/limpet")]
    limpet: PathBuf,
    /// Measures only these candidates.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Candidate>,
    /// Measures only these rows.
    #[arg(long, value_delimiter = ',', value_parser = row_names())]
    row: Vec<String>,
    /// One short round: for a look, not for a claim.
    #[arg(long)]
    quick: bool,
    /// Rounds of the CPU rows.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measured seconds of each measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Microseconds between two moments at which round trips of a fixed rate start; 0 spreads them evenly, so that the
    /// proxy sleeps and wakes up for nearly each.
    #[arg(long, default_value_t = 100)]
    tick: u64,
    /// What is between the proxy and its clients and endpoints.
    #[arg(long, value_enum, default_value_t = Network::Loopback)]
    network: Network,
    /// Niceness of everything that takes part. -15 (as root) keeps other work of a busy machine off the cores.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    nice: i8,
}

fn main() -> anyhow::Result<()> {
    match Options::parse().task {
        Task::Proxy(options) => measure(options),
        Task::Server(options) => server::measure(options),
        Task::Bus(options) => bus::measure(options),
        Task::Endpoint { address } => endpoint::serve(address),
        Task::Floor { address } => server::serve_floor(address),
        Task::Cable => network::lay_cable(1),
    }
}

fn measure(options: ProxyOptions) -> anyhow::Result<()> {
    let network = options.network.enter()?;
    process::pin_self()?;
    let _niceness = process::Niceness::set(options.nice)?;
    let limpet = std::path::absolute(&options.limpet)?;
    let mut candidates: Vec<Candidate> =
        Candidate::COMPARED.into_iter().chain([Candidate::LimpetTwoWorkers, Candidate::LimpetCookie]).collect();
    if !options.only.is_empty() {
        let limpet = options.only.contains(&Candidate::Limpet);
        candidates.retain(|candidate| options.only.contains(candidate) || (limpet && candidate.is_limpet()));
    }
    if candidates.iter().any(|candidate| candidate.is_limpet()) {
        let hint = "build it, or leave it out with --only haproxy,nginx,caddy";
        limpet.metadata().with_context(|| format!("{}: {hint}", limpet.display()))?;
    }
    let wanted = |name: &str| options.row.is_empty() || options.row.iter().any(|row| row == name);
    let mut rows: Vec<_> = ROWS.iter().filter(|row| wanted(row.name)).copied().collect();
    rows.retain(|row| row.candidates.iter().any(|candidate| candidates.contains(candidate)));
    let settings = Settings {
        limpet,
        network,
        rounds: if options.quick { 1 } else { options.rounds },
        warm_up: Duration::from_millis(if options.quick { 200 } else { 400 }),
        measured: Duration::from_secs_f64(if options.quick { 0.6 } else { options.seconds }),
        tick: Duration::from_micros(options.tick),
        candidates,
        rows,
    };
    let samples = rounds::run(&settings);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = format!("cargo run --release -p limpet-bench -- {}", arguments.join(" "));
    report::print(&settings, &samples, &command);
    Ok(())
}

fn row_names() -> clap::builder::PossibleValuesParser {
    ROWS.iter().map(|row| row.name).collect::<Vec<_>>().into()
}
