//! A cluster behind the balancer, clients that must notice nothing, and what happens to it all, decided by a seed.
//!
//! Nodes are those of `chaos_fixture` or of `chaos-node.js`, joined by a Redis. `chaos-clients.js` counts what its clients
//! hear and gives the verdict; one node more than those behind the balancer takes what is published and is left alone.

mod ordeal;
mod stage;
mod store;

use std::time::Duration;

use anyhow::Result;
pub use ordeal::Ordeal;

use crate::conformance::Maker;
use crate::peers::Verdict;
use stage::Stage;

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who wrote the nodes.
    pub maker: Maker,
    /// What happens to them.
    pub ordeal: Ordeal,
    /// Nodes behind the balancer.
    pub nodes: usize,
    /// Clients, all of one process.
    pub clients: usize,
    /// Rooms; each client is in one or two.
    pub rooms: usize,
    /// Messages each second, to all rooms in turn.
    pub rate: usize,
    /// How long things happen.
    pub duration: Duration,
    /// The shortest and the longest pause between two of them.
    pub pause: (Duration, Duration),
    /// Whether Redis is restarted once in the middle.
    pub restarts_redis: bool,
    /// How long clients wait for what is missing while nothing else comes.
    pub patience: Duration,
    /// Decides what happens when, and to whom.
    pub seed: u64,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the clients say.
    pub verdict: Verdict,
    /// Nodes that were killed or stopped, and cuts.
    pub blows: usize,
    /// What happened, in order.
    pub story: Vec<String>,
}

impl Report {
    /// The head of a table in Markdown, for [`row`](Self::row).
    pub const HEAD: &'static str = "| Server | What happens | Times | Reconnects | Not recovered | Messages | Deliveries due | Lost | Twice \
        | Out of order | Away, median (longest) |\n|---|---|---|---|---|---|---|---|---|---|---|";

    /// One line of what was counted.
    #[must_use]
    pub fn summary(&self) -> String {
        let words = COUNTS.map(|name| format!("{name} {}", self.verdict.number(name)));
        format!("{} blows, {}, away {}", self.blows, words.join(", "), self.away())
    }

    /// A line of a table in Markdown.
    #[must_use]
    pub fn row(&self, settings: &Settings) -> String {
        let counts = COUNTS.map(|name| self.verdict.number(name).to_string());
        let maker = format!("{:?}", settings.maker);
        let ordeal = settings.ordeal.title();
        format!("| {maker} | {ordeal} | {} | {} | {} |", self.blows, counts.join(" | "), self.away())
    }

    fn away(&self) -> String {
        format!("{} ms ({})", self.verdict.number("away/median"), self.verdict.number("away/longest"))
    }
}

/// What a run is judged by, as the verdict names it.
const COUNTS: [&str; 7] = ["reconnects", "notRecovered", "accepted", "expected", "lost", "repeated", "disordered"];

/// Brings the clients in, lets things happen to what they are connected to, and asks them what they heard.
///
/// # Errors
/// When something does not start, or the clients give no verdict. A bad verdict is no error.
pub fn run(balancer: &str, settings: &Settings) -> Result<Report> {
    let mut stage = Stage::start(balancer, settings)?;
    stage.begin_traffic()?;
    let blows = ordeal::inflict(&mut stage, settings)?;
    stage.finish(blows)
}
