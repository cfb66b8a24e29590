//! `limpet run`: the balancer from a configuration file.

use std::path::PathBuf;

use clap::Args;
use limpet_balancer::balancer;
use limpet_balancer::config::Config;

use crate::failure::Failure;
use crate::load::{Flags, load};

/// Runs the balancer from a configuration file.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    limpet config --defaults > limpet.toml    # then fill in the endpoints\n  \
    limpet run -c limpet.toml\n\n\
    Flags count before environment variables, those before the file.")]
pub(crate) struct Run {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

impl Run {
    /// Balances until told to stop.
    pub(crate) fn run(self) -> Result<(), Failure> {
        balance(load(Some(&self.config), |draft| self.flags.apply(draft))?)
    }
}

/// Runs the balancer until it is told to stop.
pub(crate) fn balance(config: Config) -> Result<(), Failure> {
    balancer::run(config).map_err(|error| Failure::Running(error.into()))
}
