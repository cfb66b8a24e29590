//! The programs side by side, and when they have noticed that an endpoint went down or up.

use std::net::SocketAddr;

use limpet_testkit::apache::Apache;
use limpet_testkit::haproxy::Haproxy;
use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::nginx::Nginx;
use limpet_testkit::oracle::{Comparison, Recorder, Step};
use limpet_testkit::process::Process;
use limpet_testkit::wait;

/// A running program with a configuration of an example.
#[derive(Debug)]
pub(crate) enum Program {
    /// HAProxy; its log names servers as `NODES/NAME`.
    Haproxy(Haproxy),
    /// nginx.
    Nginx(Nginx),
    /// Apache.
    Apache(Apache),
    /// Limpet.
    Limpet(Limpet),
}

impl Program {
    /// Starts the program to which a file of this name belongs.
    pub(crate) fn original(file: &str, text: &str) -> Self {
        match file {
            "haproxy.cfg" => Self::Haproxy(Haproxy::start(text).unwrap()),
            "nginx.conf" => Self::Nginx(Nginx::start(text).unwrap()),
            "apache.conf" => Self::Apache(Apache::start(text).unwrap()),
            _ => panic!("nobody reads {file}"),
        }
    }

    /// Starts Limpet with one worker.
    pub(crate) fn limpet(text: &str) -> Self {
        let binary = std::env::var("LIMPET_ORACLE_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_limpet").into());
        let launch = Launch::run(&binary, text).arg("--workers").arg("1");
        Self::Limpet(launch.start().unwrap())
    }

    /// Its name in reports.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Haproxy(_) => "haproxy",
            Self::Nginx(_) => "nginx",
            Self::Apache(_) => "apache",
            Self::Limpet(_) => "limpet",
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Haproxy(program) => program.address,
            Self::Nginx(program) => program.address,
            Self::Apache(program) => program.address,
            Self::Limpet(program) => program.address,
        }
    }

    fn process(&self) -> &Process {
        match self {
            Self::Haproxy(program) => &program.process,
            Self::Nginx(program) => &program.process,
            Self::Apache(program) => &program.process,
            Self::Limpet(program) => &program.process,
        }
    }

    /// Waits until a line of the log, from this one on, says that a probed endpoint changed. `server` is what HAProxy
    /// calls it.
    fn wait_until_noticed(&self, first: usize, server: &str, address: SocketAddr, up: bool) {
        let word = if up { "up" } else { "down" };
        let (what, address) = (format!("{server} {word}"), address.to_string());
        let is_it = |line: &str| match self {
            Self::Haproxy(_) => line.contains(&format!("Server {server} is {}", word.to_uppercase())),
            // At the start `endpoint ADDRESS id ID down`, later `endpoint down ... address=ADDRESS ...`.
            _ => line.contains("endpoint ") && line.contains(&format!(" {word}")) && line.contains(&address),
        };
        self.process().wait_for_after(first, &what, |line| is_it(line).then_some(())).unwrap();
    }
}

/// Takes endpoints down or up, each given with HAProxy's name of it, and waits until the probes of both programs show it.
///
/// One after the other: the order in which they are noticed decides which one is next.
pub(crate) fn turn(programs: &[Program; 2], up: bool, endpoints: &[(&Recorder, &str)]) {
    for (recorder, server) in endpoints {
        let before = programs.each_ref().map(|program| program.process().line_count());
        if up { recorder.up() } else { recorder.down() }.unwrap();
        for (program, first) in programs.iter().zip(before) {
            program.wait_until_noticed(first, server, recorder.address, up);
        }
    }
}

/// Waits until programs that have just started know that these endpoints are down.
pub(crate) fn wait_until_down(programs: &[Program; 2], endpoints: &[(&Recorder, &str)]) {
    for program in programs {
        for (recorder, server) in endpoints {
            program.wait_until_noticed(0, server, recorder.address, false);
        }
    }
}

/// Waits until each program answers a request from this endpoint: those that send no probes find out by trying.
pub(crate) fn wait_until_used(comparison: &Comparison, endpoint: &str, step: &Step) {
    for program in 0..2 {
        wait::until(&format!("program {program} uses {endpoint} again"), || {
            comparison.ask(program, step).unwrap().endpoint.as_deref() == Some(endpoint)
        });
    }
}
