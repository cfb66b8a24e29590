//! A client on Node that prints what it hears, and sends what it is told to.

use std::cell::Cell;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::peers::node;
use crate::process::Process;

/// With what the lines begin that are answers.
const ANSWER: &str = "answer ";

/// A connected client, and how much of what it heard was looked at. It does not connect again.
#[derive(Debug)]
pub struct Listener {
    /// Its id on the server.
    pub id: String,
    process: Process,
    /// The lines before it was connected.
    first: usize,
    heard: usize,
    answered: usize,
}

impl Listener {
    /// Connects. See the head of `listener.js` for the arguments.
    ///
    /// # Errors
    /// When it does not start, or is not let in.
    pub fn start(address: SocketAddr, arguments: &[&str]) -> Result<Self> {
        let mut command = node("listener.js")?;
        command.args(["--url", &format!("http://{address}"), "--end-with-stdin"]).args(arguments);
        let process = Process::spawn("listener", &mut command)?;
        let connected = Cell::new(0);
        let id = process.wait_for("its id", |line| {
            connected.set(connected.get() + 1);
            Some(line.strip_prefix("connected ")?.to_owned())
        })?;
        Ok(Self { id, process, first: connected.get(), heard: 0, answered: 0 })
    }

    /// Waits for the next line that is no answer: an event, or `disconnected REASON`.
    ///
    /// # Errors
    /// When none comes.
    pub fn line(&mut self) -> Result<String> {
        let line = self.nth(self.heard, |line| !line.starts_with(ANSWER))?;
        self.heard += 1;
        Ok(line)
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// When none comes, or the client is disconnected first.
    pub fn event(&mut self) -> Result<Value> {
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| line)
    }

    /// Waits for the next event of this name; others are left out.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    pub fn event_of(&mut self, name: &str) -> Result<Value> {
        loop {
            let event = self.event()?;
            if event[0] == name {
                return Ok(event);
            }
        }
    }

    /// Sends an event, and waits for what it is acknowledged with.
    ///
    /// # Errors
    /// When no acknowledgement comes.
    pub fn ask(&mut self, event: &Value) -> Result<Value> {
        self.process.send_line(&event.to_string())?;
        let line = self.nth(self.answered, |line| line.starts_with(ANSWER))?;
        self.answered += 1;
        Ok(serde_json::from_str(line.trim_start_matches(ANSWER))?)
    }

    fn nth(&self, number: usize, is_wanted: impl Fn(&str) -> bool) -> Result<String> {
        let passed = Cell::new(0);
        self.process.wait_for_after(self.first, "what it hears", |line| {
            if !is_wanted(line) {
                return None;
            }
            passed.set(passed.get() + 1);
            (passed.get() > number).then(|| line.to_owned())
        })
    }
}
