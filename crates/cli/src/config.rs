//! `limpet config`: what can be configured.

use clap::Args;
use limpet_balancer::config::defaults;

use crate::failure::{Failure, print};

/// Prints a configuration file to start from.
#[derive(Args)]
#[command(arg_required_else_help = true)]
#[command(after_help = "Example:\n  limpet config --defaults > limpet.toml    # then fill in the endpoints")]
pub(crate) struct Config {
    /// Print a file with every key, its default and its meaning
    #[arg(long)]
    defaults: bool,
}

impl Config {
    /// Prints what was asked for.
    pub(crate) fn run(self) -> Result<(), Failure> {
        if self.defaults { print(&defaults::text()) } else { Ok(()) }
    }
}
