//! `limpet key`: the keys that sign sids.

use clap::{Args, Subcommand};
use limpet_balancer::affinity::key;

use crate::failure::{Failure, print};

/// Makes keys that sign sids.
#[derive(Args)]
#[command(after_help = "Example:\n  (umask 077; limpet key new > limpet.key)\n\n\
    To change keys without ending sessions: add the new line at the end of the file on every balancer,\n\
    then move it to the top everywhere, then drop the old line once its sessions are over.")]
pub(crate) struct Key {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints a new key line for a key file
    #[command(after_help = "Example:\n  (umask 077; limpet key new --slot 1 >> limpet.key)")]
    New {
        /// Number that names the key in sids; each line of a file needs its own, from 0 to 255
        #[arg(long, value_name = "N", default_value_t = 0)]
        slot: u8,
    },
}

impl Key {
    /// Does what was asked for.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::New { slot } => print(&format!("{}\n", key::generate_line(slot))),
        }
    }
}
