//! Sends the work whose cost is measured. One thread, and as few system calls for each unit as the proxy allows.

mod client;
mod connect;
mod exchange;
mod idle;
mod pace;

use std::time::Duration;

use crate::measure::{Meter, Usage};

pub(crate) use self::client::{BROWSER_HEADERS, Session, UPGRADE_HEADERS, bound_socket};
pub(crate) use self::connect::ConnectLoad;
pub(crate) use self::exchange::ExchangeLoad;
pub(crate) use self::idle::IdleTunnels;

/// What is sent again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A long-polling request with ten browser headers.
    Poll,
    /// A binary WebSocket message of so many bytes, and its echo.
    Message {
        /// Length of the message.
        payload_bytes: usize,
    },
    /// TCP connect, upgrade and close.
    Connect,
}

impl Work {
    /// Units counted for one round trip: an echoed message passes the proxy twice.
    pub(crate) fn units_per_round_trip(self) -> u64 {
        match self {
            Self::Message { .. } => 2,
            Self::Poll | Self::Connect => 1,
        }
    }
}

/// How long to run, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Unmeasured time at the start.
    pub(crate) warm_up: Duration,
    /// Measured time.
    pub(crate) measured: Duration,
    /// Round trips each second. `None` sends the next one when the answer is there.
    pub(crate) rate: Option<f64>,
    /// Time between two moments at which round trips of a rate start. Zero spreads them evenly.
    pub(crate) tick: Duration,
}

/// What happened in the measured time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Completed round trips in the measured time.
    pub(crate) round_trips: u64,
    /// Completed round trips in all, warm-up and tail included.
    pub(crate) all_round_trips: u64,
    /// Length of the measured time.
    pub(crate) wall: Duration,
    /// What the program under test used in the measured time.
    pub(crate) usage: Usage,
}

/// Follows the phases of a plan while a load runs.
pub(crate) struct Stopwatch<'a> {
    plan: Plan,
    meter: &'a Meter,
    started: std::time::Instant,
    opened: Option<(std::time::Instant, u64, Usage)>,
    closed: Option<(Duration, u64, Usage)>,
}

impl<'a> Stopwatch<'a> {
    /// Starts with the warm-up.
    pub(crate) fn start(plan: Plan, meter: &'a Meter) -> Self {
        Self { plan, meter, started: std::time::Instant::now(), opened: None, closed: None }
    }

    /// Takes the samples that are due. True once the measured time is over.
    ///
    /// # Errors
    ///
    /// Fails when a measured process is gone.
    pub(crate) fn check(&mut self, round_trips: u64) -> anyhow::Result<bool> {
        let elapsed = self.started.elapsed();
        match self.opened {
            None if elapsed >= self.plan.warm_up => {
                let usage = self.meter.usage()?;
                self.opened = Some((std::time::Instant::now(), round_trips, usage));
            }
            Some((opened, before, usage)) if self.closed.is_none() => {
                let wall = opened.elapsed();
                if wall >= self.plan.measured {
                    self.closed = Some((wall, round_trips - before, self.meter.usage()?.since(usage)));
                }
            }
            _ => {}
        }
        Ok(self.closed.is_some())
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// What was measured.
    ///
    /// # Errors
    ///
    /// Fails when the measured time is not over, or empty.
    pub(crate) fn outcome(&self, all_round_trips: u64) -> anyhow::Result<Outcome> {
        let (wall, round_trips, usage) = self.closed.ok_or_else(|| anyhow::anyhow!("the load ended early"))?;
        anyhow::ensure!(round_trips > 0, "nothing was answered in the measured time");
        Ok(Outcome { round_trips, all_round_trips, wall, usage })
    }
}
