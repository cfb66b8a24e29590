//! Limpet: a Socket.IO-aware sticky load balancer.
//!
//! Exit codes: 0 all is well, 1 something failed while running, 2 the command line or the configuration is wrong.

mod chat;
mod check;
mod config;
mod demo;
mod emit;
mod failure;
mod key;
mod load;
mod log;
mod proxy;
mod run;
mod stop;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// A Socket.IO-aware sticky load balancer.
#[derive(Parser)]
#[command(name = "limpet", version, arg_required_else_help = true, subcommand_required = true)]
#[command(after_help = "Examples:\n  limpet demo\n  limpet proxy :8000 app01:3000 app02:3000\n\n\
    Exit codes: 0 fine, 1 failed while running, 2 wrong command line or configuration.")]
struct Cli {
    /// What to log to standard error: off, error, warn, info, debug or trace [default: info; warn for demo].
    #[arg(long, global = true, env = "LIMPET_LOG", hide_env_values = true, display_order = 900)]
    #[arg(value_name = "LEVEL", value_parser = log::level)]
    log: Option<log::Level>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Proxy(Box<proxy::Proxy>),
    Run(run::Run),
    Check(check::Check),
    Emit(emit::Emit),
    Config(config::Config),
    Key(key::Key),
    Chat(chat::Chat),
    Demo(demo::Demo),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Whoever types commands there has little use for what goes well.
    let is_interactive = matches!(cli.command, Command::Demo(_));
    log::start(cli.log.unwrap_or(if is_interactive { log::Level::WARN } else { log::Level::INFO }));
    let result = match cli.command {
        Command::Proxy(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Emit(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Key(command) => command.run(),
        Command::Chat(command) => command.run(),
        Command::Demo(command) => command.run(),
    };
    result.map_or_else(Failure::report, |()| ExitCode::SUCCESS)
}
