//! `limpet demo`: three nodes of the chat behind the balancer, in one process, to look at and to play with.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use tokio::sync::mpsc;

use crate::chat::address;
use crate::demo::command::{Command, HELP};
use crate::demo::nodes::Nodes;
use crate::failure::{Failure, print};
use crate::stop;

mod balancer;
mod command;
mod nodes;

/// How many nodes there are at first.
const NODES: u32 = 3;
/// The longest line that is read as a command.
const LONGEST_LINE: u64 = 1024;

/// Runs the whole system in one process: three chat nodes, joined by a bus, behind the balancer.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    limpet demo    # then open http://127.0.0.1:8000 in two windows, and type \"stop 2\" here\n\n\
    Commands are read from standard input; help shows them.")]
pub(crate) struct Demo {
    /// Address of the balancer: IP:PORT, or :PORT for all addresses, IPv4 and IPv6
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000", value_parser = address)]
    listen: SocketAddr,
}

/// What is read from standard input.
enum Input {
    Line(String),
    /// The terminal was closed, or Ctrl-D was typed.
    End,
}

impl Demo {
    /// Runs until told to stop.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let started = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
        runtime.block_on(self.live(started))
    }

    async fn live(self, started: Instant) -> Result<(), Failure> {
        let balancer = balancer::begin(self.listen)?;
        let address = balancer.addresses().first().map_or(self.listen, |(_, address)| *address);
        let (later, mut said_later) = mpsc::channel(16);
        let base_port = if self.listen.port() == 0 { 0 } else { address.port() };
        let mut nodes = Nodes::new(balancer.endpoints().clone(), base_port, later);
        nodes.begin(NODES).await.context("the nodes cannot start")?;
        let told = stop::listen().context("cannot listen to signals")?;
        let mut input = read_input();
        print(&greeting(address, &nodes, started))?;

        tokio::pin!(told);
        loop {
            let line = tokio::select! {
                () = &mut told => break,
                Some(said) = said_later.recv() => {
                    print(&format!("{said}\n"))?;
                    continue;
                }
                Some(line) = input.recv() => line,
            };
            let command = match line {
                Input::Line(line) => Command::read(&line),
                Input::End => break,
            };
            let said = match command {
                Ok(None) => continue,
                Ok(Some(Command::Quit)) => break,
                Ok(Some(command)) => run(command, &mut nodes).await,
                Err(error) => error,
            };
            print(&format!("{}\n", said.trim_end_matches('\n')))?;
        }
        nodes.end().await;
        tokio::task::spawn_blocking(|| balancer.stop()).await.context("the balancer")?.context("the balancer")?;
        Ok(())
    }
}

/// Does what was typed, and returns what to say.
async fn run(command: Command, nodes: &mut Nodes) -> String {
    let said = match command {
        Command::Stop(number) => nodes.stop(number).await,
        Command::Kill(number) => nodes.kill(number).await,
        Command::Start(number) => nodes.start(number).await,
        Command::Drain(number) => nodes.drain(number).await,
        Command::Add => nodes.add().await,
        Command::List => Ok(nodes.list()),
        Command::Help | Command::Quit => Ok(HELP.to_owned()),
    };
    said.unwrap_or_else(|error| format!("{error:#}"))
}

/// Says what runs, what to open, and what to try.
fn greeting(address: SocketAddr, nodes: &Nodes, started: Instant) -> String {
    let mut open = address;
    if open.ip().is_unspecified() {
        open.set_ip([127, 0, 0, 1].into());
    }
    format!(
        "limpet {version}: {NODES} chat nodes behind the balancer\n\n  \
        open    http://{open}/         in two windows, under two names\n  \
        look    http://{open}/stats    at what the balancer sees\n\n\
        {nodes}\n  \
        type    stop 2, and watch the users move; start 2, kill 3, drain 1, add, list, help, quit\n\n\
        listener demo http://{address}\n\
        ready in {milliseconds} ms\n",
        version = env!("CARGO_PKG_VERSION"),
        nodes = nodes.list(),
        milliseconds = started.elapsed().as_millis(),
    )
}

/// Reads commands on a thread of its own, which ends with the process.
///
/// The end of a terminal is the end of the demonstration. Without a terminal, as in a container, standard input may end
/// at once, and only a signal ends it.
fn read_input() -> mpsc::Receiver<Input> {
    let (lines, input) = mpsc::channel(16);
    let reader = move || {
        let stdin = io::stdin();
        let is_terminal = stdin.is_terminal();
        let mut stdin = stdin.lock();
        loop {
            let mut line = Vec::new();
            match stdin.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                // The rest of a line that is too long is no command of its own.
                Ok(_) if line.len() as u64 == LONGEST_LINE && !line.ends_with(b"\n") => {
                    if stdin.skip_until(b'\n').is_err() {
                        break;
                    }
                }
                Ok(_) => {}
            }
            if lines.blocking_send(Input::Line(String::from_utf8_lossy(&line).into_owned())).is_err() {
                return;
            }
        }
        if is_terminal {
            // It may be ending anyway.
            let _ = lines.blocking_send(Input::End);
        }
    };
    if let Err(error) = thread::Builder::new().name("input".to_owned()).spawn(reader) {
        tracing::warn!(%error, "no commands can be read");
    }
    input
}
