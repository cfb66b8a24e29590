//! One process of a replica: started with its port, watched, and ended with everything it has started.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::output::{Output, Target};
use crate::net::child;

/// The time between two tries to connect to a process that has just been started.
const TRY_EVERY: Duration = Duration::from_millis(25);

/// The longest try: on loopback a connection is accepted or refused at once, unless the backlog is full.
const TRY: Duration = Duration::from_secs(1);

/// How long the output of an ended process is still read, should something else hold its pipes.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A running process.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// The number of the child and of its process group.
    pid: Option<Pid>,
    port: u16,
    started: Instant,
    output: JoinSet<()>,
}

impl Process {
    /// Starts a command. `name` stands in front of the lines that it prints.
    pub(super) fn start(
        command: &[String],
        replica: usize,
        port: u16,
        name: &str,
        output: &Output,
    ) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut start = Command::new(program);
        start.args(arguments).env("PORT", port.to_string()).env("LIMPET_REPLICA", replica.to_string());
        // The keys of the balancer are none of its business.
        start.env_remove("LIMPET_KEY").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child::spawn(start)?;
        let mut copies = JoinSet::new();
        let prefix = || format!("[{name}] ");
        if let Some(pipe) = child.stdout.take() {
            copies.spawn(output.clone().copy(pipe, Target::Out, prefix()));
        }
        if let Some(pipe) = child.stderr.take() {
            copies.spawn(output.clone().copy(pipe, Target::Err, prefix()));
        }
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        Ok(Self { child, pid, port, started: Instant::now(), output: copies })
    }

    /// Returns the number of the process.
    pub(super) fn pid(&self) -> i32 {
        self.pid.map_or(0, Pid::as_raw_pid)
    }

    /// Returns its port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Returns for how long it has run.
    pub(super) fn lived(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until it has ended by itself, and ends what it leaves behind. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        self.signal(Signal::KILL);
        // Its last lines say why.
        let _ = tokio::time::timeout(LAST_WORDS, async { while self.output.join_next().await.is_some() {} }).await;
        status.map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string())
    }

    /// Ends it: SIGTERM to its process group, and SIGKILL to what is left of that after this time.
    pub(super) async fn end(mut self, kill_after: Duration) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(kill_after, self.child.wait()).await.is_err() {
            tracing::warn!(pid = self.pid(), "it does not end within {kill_after:?} after SIGTERM and is killed");
            self.signal(Signal::KILL);
        }
        self.ended().await;
    }

    /// Signals the process group. The number of a group is not given away while anything of it is left; after that, this
    /// fails.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            let _ = kill_process_group(pid, signal);
        }
    }
}

/// Waits until something on this machine accepts connections on this port, and returns where.
pub(super) async fn accepts(port: u16) -> SocketAddr {
    // A server that asks for "localhost" may listen on either.
    let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    loop {
        for address in addresses {
            let address = SocketAddr::new(address, port);
            if let Ok(Ok(_)) = tokio::time::timeout(TRY, TcpStream::connect(address)).await {
                return address;
            }
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

/// Returns a port of 127.0.0.1 that nobody uses now. Somebody else may take it before its process does, which then
/// counts as crashed and gets another.
pub(super) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
