//! `cargo xtask chaos`: the long forms of the chaos test, which is in `tests/chaos.rs`.

use anyhow::Result;
use clap::Args;

use crate::install;
use crate::run::{cargo, check};

/// What to run, and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Runs it against Node's own server with its streams adapter. What is lost there is no failure.
    #[arg(long)]
    node: bool,
    /// How long things happen, for each of the runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    #[arg(long, default_value_t = 500)]
    clients: usize,
    #[arg(long, default_value_t = 50)]
    rooms: usize,
    /// Messages each second, to all rooms in turn.
    #[arg(long, default_value_t = 100)]
    rate: usize,
    /// Decides what happens when, and to whom.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these: kill, kill-publishers, roll, cut, cut-all.
    #[arg(long, value_delimiter = ',')]
    run: Vec<String>,
}

/// Builds everything and runs it.
pub(crate) fn run(options: &Options) -> Result<()> {
    install::tools(&install::TEST_TOOLS)?;
    install::node_peers()?;
    let Options { node, seconds, clients, rooms, rate, seed, run } = options;
    let mut words = format!("seconds={seconds} clients={clients} rooms={rooms} rate={rate} seed={seed}");
    if *node {
        words.push_str(" node");
    }
    if !run.is_empty() {
        words.push_str(&format!(" run={}", run.join(",")));
    }
    check(cargo().args(["build", "--package", "limpet-server", "--example", "chaos_fixture"]))?;
    let test = ["test", "--package", "limpet-cli", "--test", "chaos", "--", "--ignored", "--exact", "long_forms"];
    check(cargo().args(test).arg("--nocapture").env("LIMPET_CHAOS", words))
}
