//! The rows of the benchmark and the goals that Limpet has to meet in each.

use crate::candidates::Candidate;
use crate::load::Work;

/// What is read in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reading {
    /// CPU microseconds of the proxy for each unit. With a rate, that many round trips are offered each second.
    Cpu {
        /// Round trips each second; `None` is as fast as it goes.
        rate: Option<f64>,
    },
    /// Growth of the proxy's memory for each idle tunnel, in bytes.
    Memory {
        /// Whether the tunnels are upgraded Engine.IO sessions.
        engine_io: bool,
    },
    /// System calls for each round trip.
    Calls,
}

/// A bound on what is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// Who has to meet it.
    pub(crate) subject: Candidate,
    /// Against whom; `None` bounds the value itself.
    pub(crate) against: Option<Candidate>,
    /// The largest ratio or value that meets the goal.
    pub(crate) at_most: f64,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The name for `--row`.
    pub(crate) name: &'static str,
    /// The first column.
    pub(crate) title: &'static str,
    /// What is sent.
    pub(crate) work: Work,
    /// Connections, or idle tunnels.
    pub(crate) connections: usize,
    /// What is read.
    pub(crate) reading: Reading,
    /// Who takes part.
    pub(crate) candidates: &'static [Candidate],
    /// What Limpet has to reach.
    pub(crate) goals: &'static [Goal],
}

impl Row {
    /// The unit of the values.
    pub(crate) fn unit(&self) -> &'static str {
        match (self.reading, self.work) {
            (Reading::Memory { .. }, _) => "bytes/tunnel",
            (Reading::Calls, Work::Poll) => "calls/request",
            (Reading::Calls, Work::Message { .. }) => "calls/round trip",
            (Reading::Calls, Work::Connect) => "calls/connect",
            (Reading::Cpu { .. }, Work::Poll) => "µs/request",
            (Reading::Cpu { .. }, Work::Message { .. }) => "µs/message",
            (Reading::Cpu { .. }, Work::Connect) => "µs/connect",
        }
    }
}

const SATURATED: Reading = Reading::Cpu { rate: None };
const SMALL: Work = Work::Message { payload_bytes: 64 };
const KIB: Work = Work::Message { payload_bytes: 1024 };
const ALL: &[Candidate] = &Candidate::COMPARED;
const WORKERS: &[Candidate] = &[Candidate::Limpet, Candidate::LimpetTwoWorkers];
const NO_DEARER: &[Goal] =
    &[Goal { subject: Candidate::LimpetTwoWorkers, against: Some(Candidate::Limpet), at_most: 1.10 }];

const COOKIES: &[Candidate] = &[Candidate::Limpet, Candidate::LimpetCookie];
const COOKIES_COST_LITTLE: &[Goal] =
    &[Goal { subject: Candidate::LimpetCookie, against: Some(Candidate::Limpet), at_most: 1.05 }];

const fn haproxy(at_most: f64) -> Goal {
    Goal { subject: Candidate::Limpet, against: Some(Candidate::Haproxy), at_most }
}

const fn nginx(at_most: f64) -> Goal {
    Goal { subject: Candidate::Limpet, against: Some(Candidate::Nginx), at_most }
}

const fn value(at_most: f64) -> Goal {
    Goal { subject: Candidate::Limpet, against: None, at_most }
}

/// All rows, in the order in which they are measured and printed.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "http-64",
        title: "Poll, 64 busy connections",
        work: Work::Poll,
        connections: 64,
        reading: SATURATED,
        candidates: ALL,
        goals: &[haproxy(0.65)],
    },
    Row {
        name: "http-512",
        title: "Poll, 512 busy connections",
        work: Work::Poll,
        connections: 512,
        reading: SATURATED,
        candidates: ALL,
        goals: &[haproxy(0.58)],
    },
    Row {
        name: "http-20k",
        title: "Poll, 20,000/s over 256 connections",
        work: Work::Poll,
        connections: 256,
        reading: Reading::Cpu { rate: Some(20_000.0) },
        candidates: ALL,
        goals: &[haproxy(0.82), nginx(0.90)],
    },
    Row {
        name: "ws-64b",
        title: "Message of 64 B, 64 connections",
        work: SMALL,
        connections: 64,
        reading: SATURATED,
        candidates: ALL,
        goals: &[haproxy(0.90), nginx(1.0)],
    },
    Row {
        name: "ws-1k",
        title: "Message of 1 KiB, 64 connections",
        work: KIB,
        connections: 64,
        reading: SATURATED,
        candidates: ALL,
        goals: &[haproxy(0.90), nginx(1.0)],
    },
    Row {
        name: "ws-16k",
        title: "Message of 16 KiB, 64 connections",
        work: Work::Message { payload_bytes: 16 * 1024 },
        connections: 64,
        reading: SATURATED,
        candidates: ALL,
        goals: &[haproxy(0.55)],
    },
    Row {
        name: "ws-60k",
        title: "Message of 64 B, 60,000/s over 1,000 connections",
        work: SMALL,
        connections: 1000,
        reading: Reading::Cpu { rate: Some(30_000.0) },
        candidates: ALL,
        goals: &[haproxy(0.88), nginx(0.94)],
    },
    Row {
        name: "connect",
        title: "Connect, upgrade and close",
        work: Work::Connect,
        connections: 64,
        reading: SATURATED,
        candidates: ALL,
        goals: &[haproxy(0.92), nginx(0.95)],
    },
    Row {
        name: "memory",
        title: "Memory of an idle plain tunnel",
        work: KIB,
        connections: 5000,
        reading: Reading::Memory { engine_io: false },
        candidates: ALL,
        goals: &[value(256.0)],
    },
    Row {
        name: "memory-session",
        title: "Memory of an idle upgraded session",
        work: KIB,
        connections: 5000,
        reading: Reading::Memory { engine_io: true },
        candidates: ALL,
        goals: &[],
    },
    Row {
        name: "calls-http",
        title: "System calls, poll",
        work: Work::Poll,
        connections: 64,
        reading: Reading::Calls,
        candidates: ALL,
        goals: &[value(4.3)],
    },
    Row {
        name: "calls-ws",
        title: "System calls, relayed round trip of 64 B",
        work: SMALL,
        connections: 64,
        reading: Reading::Calls,
        candidates: ALL,
        goals: &[value(4.3)],
    },
    Row {
        name: "calls-connect",
        title: "System calls, connect, upgrade and close",
        work: Work::Connect,
        connections: 64,
        reading: Reading::Calls,
        candidates: ALL,
        goals: &[value(21.0)],
    },
    Row {
        name: "http-workers",
        title: "Poll, 64 busy connections, two workers",
        work: Work::Poll,
        connections: 64,
        reading: SATURATED,
        candidates: WORKERS,
        goals: NO_DEARER,
    },
    Row {
        name: "http-cookie",
        title: "Poll, 64 busy connections, affinity by cookie",
        work: Work::Poll,
        connections: 64,
        reading: SATURATED,
        candidates: COOKIES,
        goals: COOKIES_COST_LITTLE,
    },
    Row {
        name: "connect-cookie",
        title: "Connect, upgrade and close, affinity by cookie",
        work: Work::Connect,
        connections: 64,
        reading: SATURATED,
        candidates: COOKIES,
        goals: COOKIES_COST_LITTLE,
    },
    Row {
        name: "ws-workers",
        title: "Message of 64 B, 64 connections, two workers",
        work: SMALL,
        connections: 64,
        reading: SATURATED,
        candidates: WORKERS,
        goals: NO_DEARER,
    },
];
