//! Development commands: `cargo xtask test | bench | chaos | fuzz`.
//!
//! Each installs what a fresh Debian machine with Rust and Node lacks, says so, and then runs.

mod bench;
mod chaos;
mod fuzz;
mod install;
mod run;
mod test;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Development commands of Limpet.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Command {
    /// Installs the real peers where they are missing, then runs every test of the workspace.
    Test {
        /// Arguments for `cargo test`, for example `-p limpet-cli --test browser`, or `-- filter`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Compares the balancer and the server library with others, side by side.
    #[command(subcommand)]
    Bench(Bench),
    /// Kills nodes, restarts Redis and cuts connections under clients that must notice nothing; prints a Markdown table.
    Chaos(chaos::Options),
    /// Feeds the decoders with made-up input, on the stable toolchain.
    Fuzz {
        /// How long each target runs.
        #[arg(long, default_value_t = fuzz::SECONDS)]
        seconds: u32,
        /// The only target to run, for example `proxy_header`.
        target: Option<String>,
    },
}

/// What to compare.
#[derive(Subcommand)]
enum Bench {
    /// The proxy: requests and tunnels against HAProxy, nginx and Caddy.
    Proxy {
        /// Arguments for the bench program.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The server library: sessions, messages and broadcasts against Node's socket.io and socketioxide.
    Server {
        /// Arguments for the bench program.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The bus: what events cost the nodes of a cluster, against Node's adapters and socketioxide's.
    Bus {
        /// Arguments for the bench program.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The choice of an endpoint: nanoseconds by algorithm and number of endpoints.
    Choose,
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Test { .. } => test::run(&words_after("test")),
        Command::Bench(Bench::Proxy { arguments }) => bench::proxy(&arguments),
        Command::Bench(Bench::Server { arguments }) => bench::server(&arguments),
        Command::Bench(Bench::Bus { arguments }) => bench::bus(&arguments),
        Command::Bench(Bench::Choose) => bench::choose(),
        Command::Chaos(options) => chaos::run(&options),
        Command::Fuzz { seconds, target } => fuzz::run(seconds, target.as_deref()),
    }
}

/// The words after this subcommand as they were typed: the parser would drop a leading `--`, which `cargo test` needs.
fn words_after(subcommand: &str) -> Vec<String> {
    std::env::args().skip_while(|word| word != subcommand).skip(1).collect()
}
