//! Decides how the lines of standard input become events: in their order, as many at a time as there are, and at once when
//! there are no more for now.

use std::io::{self, Read as _, stdin};
use std::mem;
use std::thread;

use anyhow::{Context as _, bail};
use limpet_bus::{Bulk, BusError, Emitter};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::aim;

/// How many blocks of lines are read ahead. One is what the input has at a time, or a line that is longer.
const AHEAD: usize = 4;

/// How much is read at a time.
const READ: usize = 64 * 1024;

/// An event as a line says it that is no list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Detailed<'a> {
    event: String,
    #[serde(default, borrow)]
    args: Vec<&'a RawValue>,
    namespace: Option<String>,
    #[serde(default)]
    rooms: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
}

/// Emits what the lines say. What was read before a line that is wrong is emitted.
pub(super) async fn emit(emitter: &Emitter) -> anyhow::Result<()> {
    let (sender, mut blocks) = mpsc::channel(AHEAD);
    // A line may be long in coming, and what came before it goes on meanwhile.
    thread::spawn(move || read(&sender));
    let mut lines = Lines { bulk: emitter.bulk().await.context("the bus")?, numbers: Vec::new(), number: 0 };
    loop {
        let block = match blocks.try_recv() {
            Ok(block) => block,
            Err(TryRecvError::Disconnected) => return lines.send().await,
            Err(TryRecvError::Empty) => {
                lines.send().await?;
                let Some(block) = blocks.recv().await else { return Ok(()) };
                block
            }
        };
        let block: Vec<u8> = match block {
            Ok(block) => block,
            Err(error) => {
                lines.send().await?;
                return Err(error).context("standard input");
            }
        };
        // The last line may have no end.
        let block = block.strip_suffix(b"\n").unwrap_or(&block);
        for line in block.split(|byte| *byte == b'\n') {
            lines.add(emitter, line).await?;
        }
    }
}

/// What is being emitted.
struct Lines {
    bulk: Bulk,
    /// Of the events that wait, where they are from.
    numbers: Vec<u64>,
    /// The number of the last line.
    number: u64,
}

impl Lines {
    /// Adds what a line says.
    async fn add(&mut self, emitter: &Emitter, line: &[u8]) -> anyhow::Result<()> {
        self.number += 1;
        if self.bulk.is_full() {
            self.send().await?;
        }
        match add(&mut self.bulk, emitter, line) {
            Ok(()) => {
                // An empty line is no event.
                self.numbers.resize(self.bulk.len(), self.number);
                Ok(())
            }
            Err(error) => {
                self.send().await?;
                Err(error.context(format!("line {}", self.number)))
            }
        }
    }

    /// Sends what waits.
    async fn send(&mut self) -> anyhow::Result<()> {
        let numbers = mem::take(&mut self.numbers);
        self.bulk.send().await.map_err(|unsent| {
            let number = numbers.get(unsent.index).copied().unwrap_or(self.number);
            anyhow::Error::new(unsent.error).context(format!("line {number}"))
        })
    }
}

fn add(bulk: &mut Bulk, emitter: &Emitter, line: &[u8]) -> anyhow::Result<()> {
    let line = str::from_utf8(line).context("it is no text")?.trim();
    match line.as_bytes().first() {
        None => {}
        Some(b'[') => {
            bulk.add_json(emitter, line).map_err(plain)?;
        }
        Some(b'{') => {
            let Detailed { event, args, namespace, rooms, except } = serde_json::from_str(line)?;
            let mut text = format!("[{}", serde_json::to_string(&event)?);
            for value in args {
                text.extend([",", value.get()]);
            }
            text.push(']');
            let emitter = namespace.map_or_else(|| emitter.clone(), |namespace| emitter.of(&namespace));
            bulk.add_json(&aim(emitter, &rooms, &except), &text).map_err(plain)?;
        }
        Some(_) => bail!("a line is a list, [\"event\", argument, …], or an object, {{\"event\": …}}"),
    }
    Ok(())
}

/// What is wrong with a line is no matter of nodes.
fn plain(error: BusError) -> anyhow::Error {
    match error {
        BusError::Malformed(text) => anyhow::Error::msg(text),
        error => error.into(),
    }
}

/// Reads whole lines, as many as come at a time, until nobody wants them.
fn read(sender: &mpsc::Sender<io::Result<Vec<u8>>>) {
    let (mut input, mut begun) = (stdin().lock(), Vec::new());
    loop {
        let mut block = mem::take(&mut begun);
        let start = block.len();
        block.resize(start + READ, 0);
        let count = match input.read(&mut block[start..]) {
            Ok(count) => count,
            // Nothing was read.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                block.truncate(start);
                begun = block;
                continue;
            }
            Err(error) => return drop(sender.blocking_send(Err(error))),
        };
        block.truncate(start + count);
        let is_over = count == 0;
        match block[start..].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => begun = block.split_off(start + end + 1),
            None if is_over => {}
            None => {
                begun = block;
                continue;
            }
        }
        if (!block.is_empty() && sender.blocking_send(Ok(block)).is_err()) || is_over {
            return;
        }
    }
}
