//! Two programs that are sent the same seeded sequence of requests, and what they answer differently.
//!
//! ```text
//! Script (seed) ── Step ──┬─▶ the original ─┐
//!                         └─▶ the other    ─┴─▶ Recorder endpoints (shared; they go down and up for both)
//! ```
//!
//! One connection per request, one request at a time, so that a choice depends on nothing but the sequence. Each
//! program has cookie jars of its own: a client gives back what *this* program gave it.

mod client;
mod random;
mod recorder;
mod script;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::Result;

pub use client::{Body, Cookies, Outcome, Step};
pub use random::Random;
pub use recorder::{Recorder, Recorders};
pub use script::{Habits, Script, texts};

use client::Jars;

/// How many differences a report shows.
const SHOWN: usize = 16;

/// How many requests are shown that were answered alike before one that was not.
const BEFORE: usize = 3;

/// A running comparison.
#[derive(Debug)]
pub struct Comparison {
    name: &'static str,
    seed: u64,
    cookie: Option<&'static str>,
    sides: [Side; 2],
    /// What of an answer is compared.
    looks: Looks,
    /// What is done to cookie lines before they are compared.
    normal: fn(&str) -> String,
    /// Whether each program is knocked at behind each request.
    knocks: bool,
    /// What time it is, where answers depend on that.
    time: Option<fn() -> i64>,
    sent: usize,
    /// The last requests that were answered alike.
    recent: VecDeque<String>,
    differing: usize,
    /// What is shown of them.
    differences: Vec<String>,
}

/// What of an answer is compared besides status and endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks {
    /// Every Set-Cookie line.
    pub set_cookie: bool,
    /// Whether the Set-Cookie lines are compared one by one; otherwise joined by commas.
    pub set_cookie_lines: bool,
    /// Every Cache-Control line of an endpoint's answer. What programs write on error pages of their own is theirs.
    pub cache_control: bool,
    /// The Cookie lines that the endpoint saw.
    pub seen_cookie: bool,
    /// The address lines that the endpoint saw: X-Forwarded-For and X-Real-IP.
    pub seen_address: bool,
    /// The Host line that the endpoint saw.
    pub seen_host: bool,
}

#[derive(Debug)]
struct Side {
    name: &'static str,
    address: SocketAddr,
    jars: Jars,
}

impl Comparison {
    /// Begins a comparison of two running programs. `cookie` is the name that clients keep.
    #[must_use]
    pub fn new(
        name: &'static str,
        seed: u64,
        cookie: Option<&'static str>,
        looks: Looks,
        programs: [(&'static str, SocketAddr); 2],
    ) -> Self {
        let sides = programs.map(|(name, address)| Side { name, address, jars: Jars::default() });
        Self {
            name,
            seed,
            cookie,
            sides,
            looks,
            normal: str::to_owned,
            knocks: false,
            time: None,
            sent: 0,
            recent: VecDeque::new(),
            differing: 0,
            differences: Vec::new(),
        }
    }

    /// Rewrites every cookie line before it is compared, for what no two programs can have in common: times.
    #[must_use]
    pub fn with_cookies_as(mut self, normal: fn(&str) -> String) -> Self {
        self.normal = normal;
        self
    }

    /// Sends no request before the programs have noticed that the one before is over, where their choice depends on it.
    #[must_use]
    pub fn with_knocks(mut self) -> Self {
        self.knocks = true;
        self
    }

    /// Answers depend on the time, which goes on in steps. A request during which it does is not compared, for each
    /// program may have answered in another step, and its client forgets its cookie.
    #[must_use]
    pub fn with_time(mut self, time: fn() -> i64) -> Self {
        self.time = Some(time);
        self
    }

    /// Goes on with other processes of the same programs; clients keep what they have.
    pub fn go_on_with(&mut self, addresses: [SocketAddr; 2]) {
        for (side, address) in self.sides.iter_mut().zip(addresses) {
            side.address = address;
        }
    }

    /// Sends each step to both programs, one after the other, and notes what differs.
    ///
    /// # Errors
    /// When a connection cannot be made: a program has ended.
    pub fn run(&mut self, steps: impl IntoIterator<Item = Step>) -> Result<()> {
        for step in steps {
            self.sent += 1;
            let began = self.time.map(|time| time());
            let [original, other] = &mut self.sides;
            let expected = step.send(original.address, self.cookie, &mut original.jars)?;
            let found = step.send(other.address, self.cookie, &mut other.jars)?;
            if self.knocks {
                client::knock(original.address)?;
                client::knock(other.address)?;
            }
            if self.time.map(|time| time()) != began {
                for side in &mut self.sides {
                    side.jars.remove(&step.client);
                }
                continue;
            }
            let (expected, found) = (self.looks.at(expected, self.normal), self.looks.at(found, self.normal));
            let (original, other) = (original.name, other.name);
            let line = format!("request {}: {step}\n    {original}: {expected}\n    {other}: {found}", self.sent);
            self.note(line, expected == found);
        }
        Ok(())
    }

    fn note(&mut self, line: String, alike: bool) {
        if alike {
            self.recent.push_back(line);
            if self.recent.len() > BEFORE {
                self.recent.pop_front();
            }
            return;
        }
        self.differing += 1;
        // What a program chooses depends on what it did before.
        let before = self.recent.drain(..).map(|line| format!("(alike) {line}"));
        self.differences.extend(before.chain([line]).take(SHOWN.saturating_sub(self.differences.len())));
    }

    /// Sends one request to one of the programs (0 or 1) outside of the sequence and returns the answer, to see a state.
    ///
    /// # Errors
    /// When a connection cannot be made.
    pub fn ask(&self, program: usize, step: &Step) -> Result<Outcome> {
        let side = self.sides.get(program).unwrap_or(&self.sides[0]);
        step.send(side.address, None, &mut Jars::default())
    }

    /// The number of requests that each program was sent.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Returns all that differed as text, or `None`.
    #[must_use]
    pub fn report(&self) -> Option<String> {
        if self.differing == 0 {
            return None;
        }
        let mut text = format!(
            "{}, seed {}: {} of {} requests were answered differently",
            self.name, self.seed, self.differing, self.sent
        );
        for difference in &self.differences {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  {difference}");
        }
        Some(text)
    }

    /// Fails the test unless every request was answered alike and there were enough of them.
    ///
    /// # Panics
    /// With the first differences.
    #[track_caller]
    pub fn assert_equal(&self, at_least: usize) {
        if let Some(report) = self.report() {
            panic!("{report}");
        }
        assert!(self.sent >= at_least, "{}: only {} requests were compared", self.name, self.sent);
    }
}

impl Looks {
    /// All of it.
    pub const ALL: Self = Self {
        set_cookie: true,
        set_cookie_lines: true,
        cache_control: true,
        seen_cookie: true,
        seen_address: true,
        seen_host: true,
    };

    /// Drops from an answer what is not compared, and rewrites its cookie lines.
    fn at(self, mut outcome: Outcome, normal: fn(&str) -> String) -> Outcome {
        for line in outcome.set_cookie.iter_mut().chain(&mut outcome.seen_cookie) {
            *line = normal(line);
        }
        if !self.set_cookie_lines && outcome.set_cookie.len() > 1 {
            outcome.set_cookie = vec![outcome.set_cookie.join(", ")];
        }
        let kept = [
            (self.set_cookie, &mut outcome.set_cookie),
            (self.cache_control && outcome.endpoint.is_some(), &mut outcome.cache_control),
            (self.seen_cookie, &mut outcome.seen_cookie),
            (self.seen_address, &mut outcome.seen_address),
            (self.seen_host, &mut outcome.seen_host),
        ];
        for (keep, lines) in kept {
            if !keep {
                lines.clear();
            }
        }
        outcome
    }
}
