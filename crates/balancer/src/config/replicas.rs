//! `[upstream.NAME.replicas]`: a command that is started several times, each process an endpoint.

use std::fmt;
use std::time::Duration;

use toml::de::DeValue;

use super::part::{Part, default, example};
use super::reader::{Entry, Reader, kind, unread};
use super::value::{self, Parsed};

/// The most replicas of one upstream.
const MAX_COUNT: usize = 256;

/// A command that is started several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicasConfig {
    /// The program and its arguments; no shell reads them.
    pub command: Vec<String>,
    /// How many processes run; the number of cores by default.
    pub count: usize,
    /// The first of their ports; 0 for ports that are free. A replica has two, for the process that follows it in a roll.
    pub base_port: u16,
    /// Time for a process to accept connections; then it is ended and counts as crashed. 60 s by default.
    pub start_timeout: Duration,
    /// How long the sessions of a process may go on when another has taken its place. 30 s by default.
    pub drain_timeout: Duration,
    /// Time for a process to end after SIGTERM, before SIGKILL. 10 s by default.
    pub kill_after: Duration,
}

impl ReplicasConfig {
    /// Makes replicas with the documented defaults.
    pub fn new(command: Vec<String>) -> Self {
        Self {
            command,
            count: super::cores(),
            base_port: 0,
            start_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
            kill_after: Duration::from_secs(10),
        }
    }

    /// Returns whether every process has its ports.
    pub(super) fn has_ports(&self) -> bool {
        self.base_port == 0 || usize::from(self.base_port) + 2 * self.count <= usize::from(u16::MAX) + 1
    }
}

impl fmt::Display for ReplicasConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} times {}", self.count, self.command.join(" "))?;
        match self.base_port {
            0 => Ok(()),
            base => write!(f, ", ports from {base}"),
        }
    }
}

pub(super) const PART: Part = Part {
    title: "[upstream.NAME.replicas]",
    header: "#[upstream.app.replicas]",
    doc: "Starts a server several times on this machine; each process is an endpoint. It finds its port in PORT and its\n\
        number in LIMPET_REPLICA. What crashes is started again; SIGHUP replaces all, one after the other.",
    keys: &[
        example(
            "command",
            "[\"node\", \"server.js\"]",
            "The program and its arguments. No shell reads them. Required.",
        ),
        default("count", "0", "How many processes; 0 for one per core."),
        default(
            "base_port",
            "0",
            "The first of their ports, on 127.0.0.1; 0 for free ones. Twice as many as processes are used, one for each\n\
             and one for its successor.",
        ),
        default("start_timeout", "\"60s\"", "Time for a process to accept connections; then it counts as crashed."),
        default(
            "drain_timeout",
            "\"30s\"",
            "How long the sessions of a process may go on after SIGHUP, when another has taken its place.",
        ),
        default("kill_after", "\"10s\"", "Time for a process to end after SIGTERM; then it is killed."),
    ],
};

pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>) -> Option<ReplicasConfig> {
    let table = reader.table(entry, "{ command = [\"node\", \"server.js\"], count = 4 }")?;
    let mut replicas = ReplicasConfig::new(Vec::new());
    let it = &mut replicas;
    reader.part(&PART, entry.path, table, |reader, entry| match entry.key {
        "command" if matches!(entry.value, DeValue::Array(_)) => {
            reader.set_list(entry, |text| Ok(text.to_owned()), &mut it.command);
        }
        "command" => reader
            .complain(entry, format!("expected a list, found {}; write [\"node\", \"server.js\"]", kind(entry.value))),
        "count" => reader.set(entry, count, &mut it.count),
        "base_port" => reader.set(entry, port, &mut it.base_port),
        "start_timeout" => reader.set(entry, value::duration, &mut it.start_timeout),
        "drain_timeout" => reader.set(entry, value::duration, &mut it.drain_timeout),
        "kill_after" => reader.set(entry, value::duration, &mut it.kill_after),
        _ => unread(reader, entry),
    });
    Some(replicas)
}

/// Reads a number of processes; 0 stands for one per core.
pub(super) fn count(text: &str) -> Parsed<usize> {
    match text.parse() {
        Ok(0) => Ok(super::cores()),
        Ok(number @ 1..=MAX_COUNT) => Ok(number),
        _ => Err(format!("{text:?} is not a number of processes from 0 to {MAX_COUNT}")),
    }
}

/// Reads the first port; 0 stands for free ones.
pub(super) fn port(text: &str) -> Parsed<u16> {
    text.parse().map_err(|_| format!("{text:?} is not a port; ports are numbers up to 65535"))
}
