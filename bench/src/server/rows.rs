//! The rows of the benchmark and the goals that Limpet has to meet in each.

use super::candidates::Candidate;

/// What is done and read in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Bytes that an idle WebSocket session adds to the server's memory.
    Memory,
    /// CPU microseconds for an event and the event that answers it.
    Echo,
    /// The same with several events of each client under way.
    EchoBurst,
    /// CPU microseconds for an event and its acknowledgement.
    Ask,
    /// CPU microseconds for each delivery of an event that goes to every client.
    News,
    /// The same for several events that the application sends to everybody in one turn.
    NewsBurst,
    /// CPU microseconds for a polling session: handshake, connect, its answer, close.
    Polling,
    /// Seconds until all clients are in that come at once.
    Storm,
    /// Seconds until all clients are in again that were cut and come back at once.
    StormAgain,
    /// System calls for an event and the event that answers it.
    EchoCalls,
}

impl Work {
    /// Whether CPU time is read.
    pub(super) fn is_cpu(self) -> bool {
        matches!(self, Self::Echo | Self::EchoBurst | Self::Ask | Self::News | Self::NewsBurst | Self::Polling)
    }
}

/// A bound on what is read, for Limpet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    /// Against whom; `None` bounds the value itself.
    pub(super) against: Option<Candidate>,
    /// The largest ratio or value that meets the goal.
    pub(super) at_most: f64,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The name for `--row`.
    pub(super) name: &'static str,
    /// The first column.
    pub(super) title: &'static str,
    /// What is done and read.
    pub(super) work: Work,
    /// How many clients there are.
    pub(super) clients: usize,
    /// What Limpet has to reach.
    pub(super) goals: &'static [Goal],
}

impl Row {
    /// The unit of the values.
    pub(super) fn unit(&self) -> &'static str {
        match self.work {
            Work::Memory => "bytes/session",
            Work::Echo | Work::EchoBurst | Work::Ask => "µs/round trip",
            Work::News | Work::NewsBurst => "µs/delivery",
            Work::Polling => "µs/session",
            Work::Storm | Work::StormAgain => "s",
            Work::EchoCalls => "calls/round trip",
        }
    }
}

const fn node(at_most: f64) -> Goal {
    Goal { against: Some(Candidate::Node), at_most }
}

const fn socketioxide(at_most: f64) -> Goal {
    Goal { against: Some(Candidate::Socketioxide), at_most }
}

const fn value(at_most: f64) -> Goal {
    Goal { against: None, at_most }
}

/// All rows, in the order in which they are measured and printed.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "memory",
        title: "Memory of an idle WebSocket session",
        work: Work::Memory,
        clients: 5000,
        goals: &[value(6144.0)],
    },
    Row {
        name: "echo",
        title: "Event and event back, 64 clients",
        work: Work::Echo,
        clients: 64,
        goals: &[node(0.25), socketioxide(0.7)],
    },
    Row {
        name: "echo-8",
        title: "Event and event back, 64 clients, 8 under way for each",
        work: Work::EchoBurst,
        clients: 64,
        goals: &[node(0.25), socketioxide(0.7)],
    },
    Row {
        name: "ask",
        title: "Event and acknowledgement, 64 clients",
        work: Work::Ask,
        clients: 64,
        goals: &[node(0.25), socketioxide(0.7)],
    },
    Row {
        name: "news",
        title: "Event to 10,000 clients",
        work: Work::News,
        clients: 10_000,
        goals: &[node(0.15), socketioxide(0.5)],
    },
    Row {
        name: "news-4",
        title: "Four events at once to 10,000 clients",
        work: Work::NewsBurst,
        clients: 10_000,
        goals: &[node(0.15), socketioxide(0.5)],
    },
    Row {
        name: "polling",
        title: "Polling: handshake, connect and close, 64 at a time",
        work: Work::Polling,
        clients: 64,
        goals: &[node(0.25)],
    },
    Row {
        name: "storm",
        title: "15,000 clients at once, until all are in",
        work: Work::Storm,
        clients: 15_000,
        goals: &[value(5.0)],
    },
    Row {
        name: "storm-again",
        title: "15,000 clients, all cut and back at once, until all are in",
        work: Work::StormAgain,
        clients: 15_000,
        goals: &[value(5.0)],
    },
    Row {
        name: "calls-echo",
        title: "System calls, event and event back",
        work: Work::EchoCalls,
        clients: 64,
        goals: &[],
    },
];
